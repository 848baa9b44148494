"""The terminal front end: ``studio``."""

from ui.cli.entry import main

__all__ = ["main"]
