"""The tab Queue: what runs, waits, is held and ended lately, and the upload of batches. A script draws all of it."""

from __future__ import annotations

from dataclasses import dataclass

import gradio as gr

from ui.web.frame.shell import Shell
from ui.web.frame.widget import widget
from ui.web.words import say


@dataclass(frozen=True)
class QueueTab:
    """Its one component: `static/queue.js` reads and writes through `/studio/jobs` and `/studio/batches`."""

    table: gr.HTML


def build(_shell: Shell) -> QueueTab:
    """Put the tab together."""
    return QueueTab(table=widget("queue", label=say("queue.title")))
