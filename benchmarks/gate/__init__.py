"""How fast the gate seals a clip, and how much memory that takes."""
