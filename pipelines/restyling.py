"""Models that make a video anew: what video-to-video is where sampling starts from noise laid over the source video."""

from __future__ import annotations

from typing import Any

from pipelines.local import LocalGenerator
from pipelines.source_video import STRENGTH, remarks_on_source, source_frames, steps_of_strength
from studio.request import ResolvedRequest, Task


class RestylingGenerator(LocalGenerator):
    """A family with such a pipeline. Row option: strength (how much of the source video is made anew)."""

    def _number_of_steps(self, resolved: ResolvedRequest) -> int:
        """Return how many steps the pipeline reports."""
        if resolved.task is Task.VIDEO_TO_VIDEO:
            return steps_of_strength(resolved)
        return super()._number_of_steps(resolved)

    def _warnings(self, resolved: ResolvedRequest) -> tuple[str, ...]:
        if resolved.task is not Task.VIDEO_TO_VIDEO:
            return ()
        self._number_of_steps(resolved)  # raises where no step would be left
        return remarks_on_source(resolved)

    def _source(self, resolved: ResolvedRequest) -> dict[str, Any]:
        """Return the source video and how much of it is made anew, as the pipelines' arguments."""
        return {"video": source_frames(resolved), STRENGTH: resolved.options[STRENGTH]}
