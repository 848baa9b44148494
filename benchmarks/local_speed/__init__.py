"""How fast local generation is beside stock diffusers: on a GPU at full size, and end to end with the small models."""
