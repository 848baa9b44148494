"""What a generator is given to clean up with, once its job is canceled."""

from __future__ import annotations

from typing import Any

from providers.wire import briefly
from studio.generator import RunContext


class Deaf:
    """A `RunContext` that does not hear that it is canceled: what is to be cleaned up is not to be canceled again.

    seconds: after which it gives up by itself, by raising `Unreachable`; None for never.
    """

    def __init__(self, run: RunContext, seconds: float | None = None) -> None:
        self._run = run
        self._pause = None if seconds is None else briefly(seconds)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._run, name)

    def raise_if_canceled(self) -> None:
        """Go on, as long as there is time."""
        if self._pause is not None:
            self._pause(0.0)
