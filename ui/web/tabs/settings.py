"""The tab Settings: keys, money, weights, room on the disk, machine, doctor, people. A script draws all of it."""

from __future__ import annotations

from dataclasses import dataclass

import gradio as gr

from ui.web.frame.shell import Shell
from ui.web.frame.widget import widget
from ui.web.words import say


@dataclass(frozen=True)
class SettingsTab:
    """Its one component: `static/settings.js` reads and writes through `/studio/settings`."""

    parts: gr.HTML


def build(_shell: Shell) -> SettingsTab:
    """Put the tab together."""
    return SettingsTab(parts=widget("settings", label=say("settings.title")))
