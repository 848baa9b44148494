"""Lets a listener of the page answer with a sentence where something is wrong, and never with a traceback."""

from __future__ import annotations

import functools
import html
import logging
from collections.abc import Callable
from typing import Any, TypeVar, cast

import gradio as gr

from studio.errors import StudioError
from ui.web.words import say

_log = logging.getLogger("studio.web")
_Listener = TypeVar("_Listener", bound=Callable[..., Any])
SECONDS_SHOWN = 12


def answering(listener: _Listener) -> _Listener:
    """Return the listener as gradio is to call it: an error is shown as a sentence, and noted if unforeseen."""

    @functools.wraps(listener)
    def answer(*arguments: Any, **named: Any) -> Any:
        try:
            return listener(*arguments, **named)
        except StudioError as error:
            raise shown(error.sentence()) from None
        except gr.Error:
            raise
        except Exception as error:
            # What it says may be somebody's prompt.
            _log.error("unforeseen: %s in %s", type(error).__name__, listener.__qualname__, exc_info=_at_debug())
            raise shown(say("shell.unforeseen")) from None

    return cast(_Listener, answer)


def shown(sentence: str) -> gr.Error:
    """Return what makes the page show a sentence. gradio takes it for markup, and it may quote what somebody typed."""
    return gr.Error(html.escape(sentence), duration=SECONDS_SHOWN, print_exception=False)


def _at_debug() -> bool:
    return _log.isEnabledFor(logging.DEBUG)
