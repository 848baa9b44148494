"""The deepfake-defence checklist: what can be seen in a file itself, told without a verdict on its truth."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

from studio.consistency.report import Report
from studio.consistency.runner import open_panel
from studio.inspection.container import container_items
from studio.inspection.encoding import encoding_items
from studio.inspection.metadata import metadata_items
from studio.inspection.report import ChecklistItem, MediaFacts
from studio.inspection.traces import PictureViewer
from studio.media import Image
from studio.provenance.reading import C2paReading

TEMPORAL_FRAMES = 240
SYNC_SECONDS = 0.1


class TemporalViewer:
    """Shows frames to the studio's own checks of temporal consistency."""

    def __init__(self, facts: MediaFacts) -> None:
        self._panel = open_panel(Fraction(facts.frame_rate).limit_denominator(100_000)) if facts.frame_rate else None
        self._count = 0
        self._report: Report | None = None

    @property
    def is_done(self) -> bool:
        return self._panel is None or self._count >= TEMPORAL_FRAMES

    def look(self, image: Image) -> None:
        """Look at the next frame, (H, W, 3) uint8 RGB."""
        if self._panel is not None:
            self._panel.update(image)
            self._count += 1

    def item(self) -> ChecklistItem:
        """Return what the checks say; called once."""
        title, item_id = "steadiness over time", "temporal"
        if self._panel is None or self._count < 2:
            return ChecklistItem(id=item_id, title=title, result="unknown", detail="there are no frames to compare")
        results = self._panel.finish().checks
        failed = [
            f"{check.title}: {check.reason or 'beyond its threshold'}" for check in results if check.passed is False
        ]
        seen = f"in the first {self._count} frames"
        if failed:
            return ChecklistItem(id=item_id, title=title, result="notice", detail=f"{'; '.join(failed)} ({seen})")
        if any(check.passed for check in results):
            return ChecklistItem(id=item_id, title=title, result="ok", detail=f"no fault found {seen}")
        return ChecklistItem(id=item_id, title=title, result="unknown", detail="the checks could not tell")


def checklist(
    path: Path, facts: MediaFacts, reading: C2paReading, temporal: TemporalViewer, picture: PictureViewer
) -> tuple[ChecklistItem, ...]:
    """Return every item. temporal, picture: have seen the frames."""
    items = [
        *container_items(path, facts, reading),
        *metadata_items(facts, reading),
        *encoding_items(path, facts),
        *picture.items(facts),
    ]
    if facts.frame_rate is not None:
        items += [temporal.item(), sync(facts)]
    return tuple(items)


def sync(facts: MediaFacts) -> ChecklistItem:
    """Compare where picture and sound start and end. It says nothing about lips."""
    title, item_id, audio = "picture and sound", "sync", facts.audio
    if audio is None:
        return ChecklistItem(id=item_id, title=title, result="unknown", detail="there is no sound")
    problems = []
    if facts.start_seconds is not None and audio.start_seconds is not None:
        offset = audio.start_seconds - facts.start_seconds
        if abs(offset) > SYNC_SECONDS:
            problems.append(f"the sound starts {abs(offset):.2f} s {'after' if offset > 0 else 'before'} the picture")
    if facts.video_seconds is not None and audio.duration_seconds is not None:
        difference = audio.duration_seconds - facts.video_seconds
        if abs(difference) > SYNC_SECONDS:
            problems.append(
                f"the sound is {abs(difference):.2f} s {'longer' if difference > 0 else 'shorter'} than the picture"
            )
    elif not problems:
        return ChecklistItem(id=item_id, title=title, result="unknown", detail="the file does not tell their lengths")
    detail = "; ".join(problems) or "both start and end together, within a tenth of a second"
    return ChecklistItem(id=item_id, title=title, result="notice" if problems else "ok", detail=detail)
