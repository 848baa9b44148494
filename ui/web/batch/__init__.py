"""Batch files that come over HTTP: looked at before anything starts, and files to begin with."""
