"""The tab Compare: one request on several models or settings, looked at in step, voted on and ranked."""

from __future__ import annotations

from dataclasses import dataclass

import gradio as gr

from ui.web.frame.shell import Shell
from ui.web.frame.widget import widget
from ui.web.words import say


@dataclass(frozen=True)
class CompareTab:
    """desk: drawn by `static/compare.js`, which reads and writes `/studio/comparisons`."""

    desk: gr.HTML


def build(_shell: Shell) -> CompareTab:
    """Put the tab together."""
    return CompareTab(desk=widget("compare", label=say("shell.tabs.compare")))
