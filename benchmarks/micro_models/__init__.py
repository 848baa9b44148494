"""How well the two micro models that ship do what they were trained for, measured without any neural network."""
