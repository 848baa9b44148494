"""Temporal consistency: small checks that look at every frame of every clip, and one report."""
