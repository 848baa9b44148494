"""Training code of the small weights that ship: worlds, optimiser, checkpoints, one module per model."""
