"""The tab Library: a grid of all clips, what people say of them, and everything that is done with many at once."""

from __future__ import annotations

from dataclasses import dataclass

import gradio as gr

from ui.web.frame.shell import Shell
from ui.web.frame.widget import widget
from ui.web.words import say


@dataclass(frozen=True)
class LibraryTab:
    """Its components. grid: drawn by `static/library.js`, which reads and writes `/studio/library`."""

    grid: gr.HTML


def build(_shell: Shell) -> LibraryTab:
    """Put the tab together. Errands (``do: show``) are heard by the script."""
    return LibraryTab(grid=widget("library", label=say("library.label")))
