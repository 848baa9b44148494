"""Goes on with less memory where memory ran out, from plan to smaller plan, until the work is done or none is left."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeVar

from pipelines.failures import torch_failures
from pipelines.plan import MemoryPlan
from studio.errors import OutOfMemory

_log = logging.getLogger(__name__)

Result = TypeVar("Result")


class Descent:
    """The way of one run down a ladder of plans.

    plans: the one to begin with and all smaller ones. using: brings a plan into force for as long as its context lasts.
    free: gives back what is no longer used. note: tells the clip's owner.
    """

    def __init__(
        self,
        plans: Sequence[MemoryPlan],
        *,
        using: Callable[[MemoryPlan], AbstractContextManager[Any]],
        free: Callable[[], None],
        note: Callable[[str], None],
    ) -> None:
        self._plans = list(plans)
        self._using = using
        self._free = free
        self._note = note

    @property
    def plan(self) -> MemoryPlan:
        """Return the plan in force."""
        return self._plans[0]

    def attempt(
        self, doing: str, work: Callable[[MemoryPlan], Result], *, before_less: Callable[[], None] = lambda: None
    ) -> Result:
        """Do a stage of the work, again with a smaller plan each time memory runs out.

        doing: such as ``sampling``. before_less: saves what the stage has come to. Raises `OutOfMemory` that names what
        ran out when the smallest plan was too large.
        """
        while True:
            try:
                with torch_failures(doing), self._using(self.plan):
                    return work(self.plan)
            except OutOfMemory as error:
                if len(self._plans) == 1:
                    raise
                reason = error.message
            # Out of the handler: until here the error held every tensor that was alive when it was raised.
            self._step_down(reason, before_less)

    def _step_down(self, reason: str, before_less: Callable[[], None]) -> None:
        self._free()
        try:
            before_less()
        except Exception as error:  # what cannot be saved is made again
            _log.warning("what was made so far is not kept: %s", error)
        del self._plans[0]
        _log.warning("%s; going on as %s", reason, self.plan.name)
        self._note(f"{reason}; it went on with less: {self.plan.name}")
