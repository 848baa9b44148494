"""The library: one database of jobs and assets, and the sealed files beside it."""
