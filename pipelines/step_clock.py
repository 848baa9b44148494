"""The step of the denoising loop that the denoiser is called for: some compute what others do not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pipelines.sampling import StepCallback


class StepClock:
    """The loop of one run, counted by its callback.

    Calls of the denoiser will not do for counting: a run that is taken up again does not make those of finished steps.
    index: of the present step, from 0.
    """

    def __init__(self, pipeline: Any) -> None:
        self._scheduler = pipeline.scheduler
        self._known: int | None = None
        self._at_end: list[Callable[[Any], None]] = []
        self.index = 0

    @property
    def total(self) -> int:
        """The steps of the loop. In its first step it is taken for the whole schedule; a source video's is shorter."""
        return self._known or max(1, len(self._scheduler.timesteps))

    def at_end_of_step(self, listener: Callable[[Any], None]) -> None:
        """Have `listener(pipeline)` called after each step, while `index` is still that of the step."""
        self._at_end.append(listener)

    def watching(self, on_step: StepCallback) -> StepCallback:
        """Return the callback for the pipeline: it moves the clock on and then does what `on_step` does."""

        def watched(pipeline: Any, index: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            self.index, self._known = index, getattr(pipeline, "num_timesteps", None)
            for listener in self._at_end:
                listener(pipeline)
            self.index = index + 1
            return on_step(pipeline, index, timestep, tensors)

        return watched
