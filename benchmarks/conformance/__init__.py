"""Whether what the studio writes into its files is what C2PA asks for, judged by others' tools."""
