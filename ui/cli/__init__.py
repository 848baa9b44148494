"""The terminal front end: ``studio``."""

from ui.cli.start import main

__all__ = ["main"]
