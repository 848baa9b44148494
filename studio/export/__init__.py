"""The way out: the only place that encodes, watermarks and signs."""
