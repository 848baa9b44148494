"""What came is compared with what was ordered, and counted as it is."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from studio.generator import RunContext
from studio.jobs.bookkeeping import Piece
from studio.jobs.measuring import measured
from studio.media import EncodedClip, FrameClip
from studio.request import ResolvedRequest, Task
from tests.studio.media_files import ffmpeg


class Notes:
    def __init__(self) -> None:
        self.told: list[str] = []

    def note(self, text: str) -> None:
        self.told.append(text)


def asked(width: int, height: int, num_frames: int) -> ResolvedRequest:
    fields: dict[str, Any] = dict.fromkeys(ResolvedRequest.__dataclass_fields__)
    sizes = {"width": width, "height": height, "num_frames": num_frames, "frame_rate": Fraction(24)}
    return ResolvedRequest(**fields | sizes | {"model": "m", "task": Task.TEXT_TO_VIDEO, "warnings": ()})


def came(clip: EncodedClip | FrameClip, request: ResolvedRequest) -> tuple[float | None, list[str]]:
    piece, notes = Piece(), Notes()
    assert measured(clip, request, piece, cast("RunContext", notes)) is clip
    return piece.seconds, notes.told


@pytest.fixture
def file(tmp_path: Path) -> EncodedClip:
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=128x72:rate=24:duration=2", "-pix_fmt", "yuv420p", tmp_path / "a.mp4")
    return EncodedClip(path=tmp_path / "a.mp4", mime_type="video/mp4")


def test_what_was_ordered_came(file: EncodedClip) -> None:
    seconds, notes = came(file, asked(128, 72, 48))
    assert (seconds, notes) == (pytest.approx(2.0, abs=0.05), [])


@pytest.mark.parametrize(
    ("width", "num_frames", "words"), [(256, 48, "256x72, 2 s"), (128, 120, "128x72, 5 s")], ids=["size", "length"]
)
def test_another_size_or_length_is_told_and_the_real_one_counts(
    file: EncodedClip, width: int, num_frames: int, words: str
) -> None:
    seconds, notes = came(file, asked(width, 72, num_frames))
    assert seconds == pytest.approx(2.0, abs=0.05)
    assert notes == [f"ordered {words}; 128x72, 2 s came"]


def test_frames_made_here_are_what_they_are() -> None:
    clip = FrameClip(frames=np.zeros((12, 8, 8, 3), np.uint8), frame_rate=Fraction(24))
    assert came(clip, asked(8, 8, 12)) == (0.5, [])


def test_a_file_that_cannot_be_read_is_left_to_the_gate(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"nothing")
    assert came(EncodedClip(path=tmp_path / "a.mp4", mime_type="video/mp4"), asked(8, 8, 12)) == (None, [])
