"""The few operations that video models spend their time on between layers, in plain torch and in Triton.

A function here says what is computed. Which program computes it is chosen in `programs`, and where that cannot run,
plain torch does.
"""
