"""Everything that is to be learned from the raw frames, learned in one walk."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from studio.consistency.check import ClipContext
from studio.consistency.report import Report
from studio.consistency.runner import open_panel, sound_blocks
from studio.errors import SealFailed
from studio.media import FramesDigest, Image, Sound


@dataclass(frozen=True, kw_only=True, eq=False)
class Findings:
    """What was seen. digest: 64 hex digits over the raw frames. poster: (H, W, 3) uint8 RGB, the middle frame."""

    report: Report
    digest: str
    poster: NDArray[np.uint8]


class Witness:
    """Sees each raw frame once: checks it, takes its fingerprint, keeps the middle one.

    clip: what is known of it beforehand. expected_frames: how many there will be; with fewer the last one that was
    near the middle is kept. sound: of the clip, from its first frame on; heard once, after the frames.
    """

    def __init__(
        self, clip: ClipContext, expected_frames: int, *, sound: Sound | None = None, checks: bool = True
    ) -> None:
        self._sound = sound if checks else None
        self._panel = open_panel(clip, None if checks else ())
        self._digest = FramesDigest()
        self._middle = expected_frames // 2
        self._poster: NDArray[np.uint8] | None = None
        self._count = 0

    def see(self, image: Image) -> None:
        """Look at the next frame, (H, W, 3) uint8 RGB."""
        self._panel.update(image)
        self._digest.update(image)
        if self._poster is None or self._count == self._middle:
            self._poster = image.copy()
        self._count += 1

    def findings(self) -> Findings:
        """Return what was seen; called once, after the last frame. Raises `SealFailed` when nothing was."""
        if self._poster is None:
            raise SealFailed("there are no frames to seal", field="frames")
        for block in () if self._sound is None else sound_blocks(self._sound):
            self._panel.hear(block)
        return Findings(report=self._panel.finish(), digest=self._digest.hexdigest(), poster=self._poster)
