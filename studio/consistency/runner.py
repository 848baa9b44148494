"""Shows every frame once to all checks and gathers their verdicts."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path

from studio.consistency.check import AnalysisFrame, Check, inconclusive
from studio.consistency.report import CheckResult, Report, verdict
from studio.errors import UnreadableMedia
from studio.media import Image, iter_frames, probe_video

CHECKS = (
    "studio.consistency.frozen:FrozenFrames",
    "studio.consistency.black:BlackFrames",
    "studio.consistency.flicker:GlobalFlicker",
)
ENTRY_POINT_GROUP = "studio.checks"

logger = logging.getLogger(__name__)


class CheckPanel:
    """All checks at work on one clip that is shown frame by frame. checks: all that are installed, unless given.

    A check that breaks says nothing about the clip: it is reported as inconclusive and does not stop the others.
    """

    def __init__(self, frame_rate: Fraction, checks: Sequence[type[Check]] | None = None) -> None:
        self._frame_rate = frame_rate
        self._seats = [_Seat(check(frame_rate)) for check in (available_checks() if checks is None else checks)]
        self._num_frames = 0
        self._size = (0, 0)

    def update(self, image: Image) -> None:
        """Show the next frame, (H, W, 3) uint8 RGB, the size of those before."""
        seconds = float(self._num_frames / self._frame_rate)
        frame = AnalysisFrame(index=self._num_frames, time_seconds=seconds, image=image)
        for seat in self._seats:
            seat.update(frame)
        self._num_frames += 1
        self._size = (image.shape[0], image.shape[1])

    def finish(self) -> Report:
        """Return the verdicts; called once, after the last frame. Raises ValueError when there was none."""
        if self._num_frames == 0:
            raise ValueError("frames: expected at least one")
        results = tuple(seat.finish() for seat in self._seats)
        height, width = self._size
        return Report(checks=results, num_frames=self._num_frames, frame_rate=self._frame_rate, width=width,
                      height=height, passed=verdict(results))  # fmt: skip


def run_checks(frames: Iterable[Image], frame_rate: Fraction, checks: Sequence[type[Check]] | None = None) -> Report:
    """Check (H, W, 3) uint8 RGB frames of one size, one at a time, with a `CheckPanel`."""
    panel = CheckPanel(frame_rate, checks)
    for image in frames:
        panel.update(image)
    return panel.finish()


def check_file(path: Path | str, checks: Sequence[type[Check]] | None = None, *, field: str = "video") -> Report:
    """Check any video file, decoding it once. Raises `UnreadableMedia` when it is damaged anywhere."""
    facts = probe_video(path, field=field)
    return run_checks(_images(path, field), facts.frame_rate, checks)


def available_checks() -> tuple[type[Check], ...]:
    """Return the built-in checks, then those of installed plug-ins (entry points `studio.checks`)."""
    return tuple(_load(name) for name in CHECKS) + tuple(_plug_ins())


def _load(name: str) -> type[Check]:
    module, _, attribute = name.partition(":")
    check: type[Check] = getattr(import_module(module), attribute)
    return check


def _plug_ins() -> Iterator[type[Check]]:
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        try:
            yield entry.load()
        except Exception:  # a stranger's package must not keep anybody from checking a clip
            logger.warning("the check %r of a plug-in cannot be loaded", entry.value, exc_info=True)


class _Seat:
    """A check on the panel; it loses its say when it breaks."""

    def __init__(self, check: Check) -> None:
        self._check = check
        self._is_broken = False

    def update(self, frame: AnalysisFrame) -> None:
        if self._is_broken:
            return
        try:
            self._check.update(frame)
        except Exception:  # whatever goes wrong in a check, the clip is not to blame
            self._is_broken = True
            logger.exception("the check %r failed", self._check.id)

    def finish(self) -> CheckResult:
        if not self._is_broken:
            try:
                return self._check.finish()
            except Exception:  # as above
                logger.exception("the check %r failed", self._check.id)
        return inconclusive(self._check, "the check itself failed; the log says why")


def _images(path: Path | str, field: str) -> Iterator[Image]:
    is_empty = True
    for frame in iter_frames(path, field=field):
        is_empty = False
        yield frame.image
    if is_empty:
        raise UnreadableMedia("the video has no frames", field=field, got=path)
