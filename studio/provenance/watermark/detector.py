"""Reading the mark back, without the original and from any excerpt."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from operator import attrgetter

import numpy as np
from numpy.typing import NDArray

from studio.provenance.watermark.alignment import Alignment
from studio.provenance.watermark.bars import picture_area, whole
from studio.provenance.watermark.codeword import CODES, FULL, Code
from studio.provenance.watermark.despreading import SoftBits, soft_bits
from studio.provenance.watermark.embedder import natural_grain, unit_pixels
from studio.provenance.watermark.geometry import Candidate, find_alignments
from studio.provenance.watermark.pattern import UNITS, Gray, Grid, pattern_of
from studio.provenance.watermark.reading import NOTHING_FOUND, WatermarkReading
from studio.provenance.watermark.shifts import find_shifts
from studio.provenance.watermark.view import View

# More frames steady the reading; beyond these they add little and cost memory (about half a megabyte each).
MAX_FRAMES = 96
# Chance that noise resembles one of the known marks in all the attempts at one clip.
_FALSE_RECOGNITION, _ATTEMPTS = 1e-9, 100
_MOST_SIZES = 3
_MOST_STRETCHED = 16  # sides
_MOST_CORRELATED = 512  # of the known marks, the latest
_TRIED, _TRIED_THOROUGHLY = 20, 3
SEARCH_SECONDS = 9.0  # a busy machine tries less rather than keep somebody waiting


class WatermarkDetector:
    """Reads a mark from the frames of one clip; one frame may be enough.

    key: the bytes it was embedded with. known: 64-bit payloads to compare a faint mark with; knowing what to look for
    makes the reader nearly twice as sensitive. sizes: (height, width) of the clips that carry them; a crop of one is
    looked for at its own scale. Each attempt takes noise for a mark with probability 2**-32; there are
    some ten of them for a picture as it is and up to a hundred in a search, so a mark proves little by itself: the
    library must know the identifier.
    """

    def __init__(self, key: bytes, known: Sequence[int] = (), sizes: Collection[Grid] = ()) -> None:
        self._key = key
        self._known = tuple(known)
        self._sizes = tuple(sizes)
        self._codewords = FULL.encode_all(self._known) if self._known else None
        self._needed = float(np.sqrt(2 * np.log(max(len(self._known), 1) * _ATTEMPTS / _FALSE_RECOGNITION)))
        self._views: list[View] = []
        self._cut_views: list[View] = []
        self._count = 0

    def update(self, frame: NDArray[np.uint8]) -> None:
        """Take one decoded frame, up to `MAX_FRAMES`. frame: (H, W, 3) uint8 RGB; the first one's size counts."""
        if self._count == MAX_FRAMES:
            return
        if not self._views:
            self._views = _views_of(frame)
            self._cut_views = _cut_views_of(frame, self._sizes)
        self._count += 1
        for view in (*self._views, *self._cut_views):
            view.add(frame)

    def finish(self, *, search: bool = False) -> WatermarkReading:
        """Return what the frames seen so far hold; more may follow.

        search: look also for what was mirrored, cropped, squeezed or turned; seconds instead of a moment.
        """
        for view in self._views:
            reading = self._read(view, view.alignment)
            if reading.detected:
                return reading
        return self._search() if search else NOTHING_FOUND

    def _search(self) -> WatermarkReading:
        """Try the alignments that the pilot waves speak for, the strongest ones first."""
        ends = time.monotonic() + SEARCH_SECONDS
        for view in self._views:
            reading = self._read(view, view.alignment.mirrored(view.size), (FULL,))
            if reading.detected:
                return replace(reading, transform="mirrored")
        for look in (attrgetter("mean"), attrgetter("first")):
            reading = self._try(self._shifts(look), ends)
            if reading.detected:
                return reading
            found: list[tuple[View, Candidate]] = []
            for view in self._views:
                if time.monotonic() > ends:
                    break
                found += [(view, candidate) for candidate in find_alignments(view, look(view), self._key)]
            reading = self._try(sorted(found, key=lambda pair: -pair[1].strength), ends)
            if reading.detected or self._count == 1 or time.monotonic() > ends:
                return reading
        return NOTHING_FOUND

    def _shifts(self, look: Callable[[View], Gray]) -> list[tuple[View, Candidate]]:
        """Return where the picture may have been cut out of one of the known clips."""
        if self._codewords is None:
            return []
        latest = self._codewords[-_MOST_CORRELATED:]
        return [
            (view, candidate)
            for view in self._cut_views
            for candidate in find_shifts(view, look(view), pattern_of(self._key, FULL, view.grain), latest)
        ]

    def _try(self, found: list[tuple[View, Candidate]], ends: float) -> WatermarkReading:
        for rank, (view, candidate) in enumerate(found[:_TRIED]):
            reading = self._read(view, candidate.alignment, (FULL,), thorough=rank < _TRIED_THOROUGHLY)
            if reading.detected:
                return replace(reading, transform=candidate.alignment.words(view.alignment))
            if time.monotonic() > ends:
                break
        return NOTHING_FOUND

    def _read(
        self, view: View, alignment: Alignment, codes: Sequence[Code] = CODES, *, thorough: bool = True
    ) -> WatermarkReading:
        for code in codes:
            for soft in soft_bits(view, alignment, pattern_of(self._key, code, view.grain), thorough=thorough):
                payload = code.decode(soft)
                known = self._recognised(soft) if payload is None and code is FULL else None
                if payload is not None or known is not None:
                    return _reading(soft, code, payload if payload is not None else known, with_index=payload is None)
        return NOTHING_FOUND

    def _recognised(self, soft: SoftBits) -> int | None:
        """Return the known payload whose codeword these soft bits can hardly resemble by chance."""
        if self._codewords is None or not soft.any():
            return None
        # By chance a product of this kind passes t with a probability of at most exp(-t^2 / 2) (Hoeffding 1963).
        deviations = self._codewords @ (soft / np.sqrt((soft**2).sum())).astype(np.float32)
        best = int(np.argmax(deviations))
        return self._known[best] if deviations[best] > self._needed else None


def _reading(soft: SoftBits, code: Code, payload: int | None, *, with_index: bool) -> WatermarkReading:
    if payload is None:
        return NOTHING_FOUND
    agreement = float((soft * code.encode(payload)).sum() / np.abs(soft).sum())
    return WatermarkReading(
        detected=True,
        payload=payload,
        confidence=float(np.clip(agreement, 0.0, 1.0)),
        bits=code.payload_bits,
        with_index=with_index,
    )


def _cut_views_of(frame: NDArray[np.uint8], sizes: Collection[Grid]) -> list[View]:
    """Return ways to look at a picture as an unscaled part of a clip of one of these sizes, smallest first."""
    height, width = frame.shape[:2]
    if _is_strip(height, width):
        return []
    larger = [size for size in set(sizes) if size[0] >= height and size[1] >= width and size != (height, width)]
    views = []
    for size in sorted(larger, key=lambda size: size[0] * size[1])[:_MOST_SIZES]:
        grain = natural_grain(*size)
        views.append(View(whole(frame), grain, round(min(height, width) / unit_pixels(*size, grain))))
    return views


def _is_strip(height: int, width: int) -> bool:
    """Say whether a picture is so thin that no clip looks like it: enlarged to its units it would fill the memory."""
    return max(height, width) > _MOST_STRETCHED * min(height, width)


def _views_of(frame: NDArray[np.uint8]) -> list[View]:
    """Return the ways to look at a clip: whole and without its bars, with fine and with coarse units."""
    areas = dict.fromkeys((whole(frame), picture_area(frame)))
    views = []
    for area in areas:
        if _is_strip(area.height, area.width):
            continue
        short = min(area.height, area.width)
        views += [View(area, grain, units) for grain, units in UNITS.items()]
        if short < UNITS["coarse"]:  # so small a picture is marked with a unit for every pixel
            views.append(View(area, "coarse", short))
    return views
