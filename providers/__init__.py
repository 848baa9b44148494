"""Remote generators: providers reached over HTTP."""
