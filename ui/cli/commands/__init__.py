"""One module for each group of commands. Each parses, calls `studio.app`, presents; heavy imports wait until then."""
