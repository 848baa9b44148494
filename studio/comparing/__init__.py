"""Comparisons: one request on several generators or with several parameters, votes on what came out, a ranking."""
