"""What the scripts of the page read and write over HTTP, one module for each part of it."""
