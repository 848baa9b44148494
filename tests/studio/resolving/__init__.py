"""From a wish to a request that can be run, by small rows made for it."""
