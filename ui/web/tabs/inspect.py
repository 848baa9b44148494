"""The tab Inspect: what may be trusted about any file. A script draws it; files never pass through gradio."""

from __future__ import annotations

from dataclasses import dataclass

import gradio as gr

from ui.web.frame.shell import Shell
from ui.web.frame.widget import widget
from ui.web.words import say


@dataclass(frozen=True)
class InspectTab:
    """Its components."""

    desk: gr.HTML


def build(_shell: Shell) -> InspectTab:
    """Put the tab together."""
    return InspectTab(desk=widget("inspect", label=say("inspect.title")))
