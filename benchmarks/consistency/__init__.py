"""Measures the consistency checks: faults of known strength in clean clips, harmless edits beside them, thresholds."""
