"""A part of the page that is drawn by a script of its own, `static/NAME.js`, inside a gradio component.

The script exports ``mount({element, props, trigger, watch, upload})``. It draws into ``element``; ``props.value`` is
what Python sees and sets; ``trigger(event)`` calls the listeners of that event; ``watch("value", f)`` calls ``f`` when
Python set another value. Scripts read from `/studio/...` and write there; gradio carries forms.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import gradio as gr

# The names of events stand in the script's own text: gradio takes them from there.
_MOUNT = """/* events: {events} */
import({module}).then((module) => module.mount({{ element: element.querySelector('[data-widget]'), props, trigger,
  watch, upload }})).catch((error) => console.error({module}, error));"""


def widget(
    name: str,
    *,
    label: str,
    value: Any = None,
    events: Sequence[str] = (),
    visible: bool = True,
    **props: Any,
) -> gr.HTML:
    """Return a component that `static/NAME.js` draws. label: for screen readers. value: JSON.

    events: that the script triggers; a listener is registered by calling the attribute of that name. None of them may
    be called like one of gradio's own (``change`` is also called when Python sets a value).
    """
    module = json.dumps(f"/studio/static/{name}.js")
    return gr.HTML(
        value=value,
        label=label,
        html_template=f'<div data-widget="{name}" class="widget widget-{name}"></div>',
        js_on_load=_MOUNT.format(module=module, events=", ".join(f'"{event}"' for event in events)),
        apply_default_css=False,
        container=False,
        padding=False,
        visible=visible,
        elem_id=f"widget-{name}",
        **props,
    )
