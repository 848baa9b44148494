"""Many requests in one file: reading it, refusing it whole where anything is wrong, and reporting what became of it."""
