"""What works behind the page and is remembered there, in the server's own process: all of it ends with the server."""
