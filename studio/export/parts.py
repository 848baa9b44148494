"""A part of a sealed clip as a source: some of its frames, at another size or pace, or only its sound."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np

from studio.export.derivation import Derivation
from studio.export.source import Source
from studio.library.asset import Asset
from studio.media import Image, Sound, TimedFrame, iter_frames, open_sound


def open_part(parent: Asset, derivation: Derivation) -> Source:
    """Return the frames that a derivation asks for, scaled; sealed clips have an even beat, so indices are exact."""
    first, end = _indices(parent, derivation)
    beat = 1 / parent.frame_rate
    size = (derivation.width, derivation.height)
    is_still = derivation.frame is not None
    return Source(
        frames=partial(_iter_part, parent.path, parent.frame_rate, first, end, size),
        width=derivation.width,
        height=derivation.height,
        expected_frames=max(round((end - first) * beat * derivation.frame_rate), 1),
        raw_rate=parent.frame_rate,
        frame_rate=derivation.frame_rate,
        is_even=is_still or not derivation.is_retimed,
        sound=None if derivation.format.kind != "video" else sound_of_part(parent, derivation),
    )


def sound_of_part(parent: Asset, derivation: Derivation) -> Sound | None:
    """Return the sound of a part, None where the clip has none."""
    sound = open_sound(parent.path)
    first, end = _indices(parent, derivation)
    return None if sound is None else sound.between(first / parent.frame_rate, end / parent.frame_rate)


def _indices(parent: Asset, derivation: Derivation) -> tuple[int, int]:
    """Return the first frame and the one after the last."""
    if derivation.frame is not None:
        return derivation.frame, derivation.frame + 1
    first = min(round(derivation.start * parent.frame_rate), parent.num_frames - 1)
    end = parent.num_frames if derivation.end is None else round(derivation.end * parent.frame_rate)
    return first, min(max(end, first + 1), parent.num_frames)


def _iter_part(path: Path, frame_rate: Fraction, first: int, end: int, size: tuple[int, int]) -> Iterator[TimedFrame]:
    for index, timed in enumerate(iter_frames(path, max_frames=end)):
        if index >= first:
            seconds = float((index - first) / frame_rate)
            yield TimedFrame(image=_scaled(timed.image, size), time_seconds=seconds)


def _scaled(image: Image, size: tuple[int, int]) -> Image:
    """Scale to (width, height); Lanczos with a support that grows with the reduction, so that no pattern aliases."""
    import PIL.Image

    if (image.shape[1], image.shape[0]) == size:
        return image
    return np.array(PIL.Image.fromarray(image).resize(size, PIL.Image.Resampling.LANCZOS))
