"""Local generators: diffusion models run with torch on this machine."""
