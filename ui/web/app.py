"""`build_app(studio, bench)`: the page, put together from its tabs."""

from __future__ import annotations

from typing import Any

import gradio as gr

from studio.app import Studio
from ui.web.backstage.bench import Bench
from ui.web.frame.shell import AT_ONCE, Shell
from ui.web.frame.widget import widget
from ui.web.tabs import compare, create, inspect, library, queue, settings
from ui.web.visitor import visitor_of
from ui.web.words import say

_TABS = {"create": create, "compare": compare, "queue": queue, "library": library, "inspect": inspect,
         "settings": settings}  # fmt: skip

# How often is looked, and how old a picture in a form may become, in seconds; a job has a copy of its own.
_UPLOADS_KEPT = (3600, 86400)


def build_app(studio: Studio, bench: Bench) -> gr.Blocks:
    """Return the page over a studio, whose database is opened. `ui.web.site` serves it, with theme, styles and scripts.

    bench: that of the server, which its routes use too.

    Truth is in the database: what the page holds are ids, and it looks again and again.
    """
    with gr.Blocks(
        title=say("shell.title"), analytics_enabled=False, fill_width=True, delete_cache=_UPLOADS_KEPT
    ) as page:
        header = widget("header", label=say("shell.title"))
        courier = widget("courier", label="", events=("errand",))
        shell = Shell(studio=studio, bench=bench, courier=courier)
        with gr.Tabs(elem_id="tabs"):
            for name, tab in _TABS.items():
                with gr.Tab(say(f"shell.tabs.{name}"), id=name, elem_id=f"tab-{name}"):
                    tab.build(shell)
        page.load(_visitor, outputs=[header], **AT_ONCE)
    return page


def _visitor(request: gr.Request) -> dict[str, Any]:
    visitor = visitor_of(request)
    return {"name": visitor.name, "role": visitor.role.value}
