"""What every tab is built with: the studio's services, and the courier that brings errands from other tabs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from studio.app import Studio
from ui.web.backstage.bench import Bench
from ui.web.frame.answering import answering

# Listeners are the page's own business: none of them is an endpoint for programs, those have /v1.
PRIVATE: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
AT_ONCE: dict[str, Any] = {**PRIVATE, "queue": False}
"""Keywords of a listener that answers within a moment: it does not stand in line behind others."""


@dataclass(frozen=True)
class Shell:
    """studio: the services. bench: what the form works with. courier: carries errands from scripts to Python.

    An errand is ``{"to": tab, "do": what, ...ids}``. A script calls ``send({to: "create", do: "again", asset: ID})`` of
    `static/studio.js`; the tab is shown, scripts that called ``onErrand("create", f)`` hear of it, and so do Python
    listeners registered by `on_errand`.
    """

    studio: Studio
    bench: Bench
    courier: gr.HTML

    def on_errand(
        self, to: str, handler: Callable[..., Any], *, outputs: Sequence[Any], inputs: Sequence[Any] = ()
    ) -> None:
        """Call ``handler(errand, request, *inputs)`` for each errand to this tab. Of others nothing is changed."""

        # gradio passes the request to whoever annotates a parameter with its type.
        def listen(errand: dict[str, Any] | None, request: gr.Request, *rest: Any) -> Any:
            if not errand or errand.get("to") != to:
                return gr.skip() if len(outputs) == 1 else tuple(gr.skip() for _ in outputs)
            return answering(handler)(errand, request, *rest)

        self.courier.errand(listen, inputs=[self.courier, *inputs], outputs=list(outputs), **AT_ONCE)
