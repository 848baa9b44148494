"""A clip and its windows as one raw clip: frame after frame into a file, their drift measured on the way."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate, islice, pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from studio.consistency.seam_drift import DriftMeter, WindowDrift
from studio.disk import is_full, require_room
from studio.errors import DiskFull, GenerationFailed
from studio.media import Audio, FrameClip, Image, count_frames, fit_image, iter_frames, probe_video, read_audio

Samples = NDArray[np.float32]

# A provider's rate may be written a little differently from the one that was asked for.
_SAME_RATE = Fraction(1, 1000)


@dataclass(frozen=True, kw_only=True)
class Join:
    """What is put together. pieces: the clip, then the windows, all at `frame_rate`. counts: frames of each.

    overlap: frames at the start of each window that show the end of what was there again: one is left out, more are
    blended over into. most_frames: of the whole; what is beyond is cut off, None keeps all.
    """

    pieces: tuple[Path, ...]
    counts: tuple[int, ...]
    width: int
    height: int
    frame_rate: Fraction
    overlap: int
    most_frames: int | None

    @property
    def seams(self) -> tuple[int, ...]:
        """Indices of the first new frame of each window."""
        new = [self.counts[0], *(count - self.overlap for count in self.counts[1:])]
        return tuple(accumulate(new))[:-1]

    @property
    def num_frames(self) -> int:
        """Of the whole."""
        found = sum(self.counts) - self.overlap * (len(self.counts) - 1)
        return found if self.most_frames is None else min(self.most_frames, found)

    @property
    def lengths(self) -> tuple[int, ...]:
        """How many frames of the whole come from each piece."""
        edges = (0, *self.seams, self.num_frames)
        return tuple(end - start for start, end in pairwise(edges))

    @classmethod
    def of(
        cls,
        pieces: Sequence[Path],
        *,
        size: tuple[int, int],
        frame_rate: Fraction,
        overlap: int,
        most_frames: int | None,
    ) -> Join:
        """Count the frames that came; providers round. size: width and height of the clip.

        Raises `GenerationFailed` for a window that adds nothing or is of another rate, `UnreadableMedia`.
        """
        counts = tuple(count_frames(path) for path in pieces)
        for number, (path, count) in enumerate(zip(pieces[1:], counts[1:], strict=True), 1):
            _require_fitting(number, path, count, overlap, frame_rate)
        needed = 1 + _needed(counts, overlap, most_frames)
        return cls(
            pieces=tuple(pieces[:needed]),
            counts=counts[:needed],
            width=size[0],
            height=size[1],
            frame_rate=frame_rate,
            overlap=overlap,
            most_frames=most_frames,
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Joined:
    """clip: mapped from its file. drift: of each window. notes: what turned out on the way."""

    clip: FrameClip
    drift: tuple[WindowDrift, ...]
    notes: tuple[str, ...]


def join(plan: Join, room: Path) -> Joined:
    """Put the pieces together. room: a folder for the raw frames; memory grows by kilobytes a frame.

    Raises `DiskFull`, `GenerationFailed`, `UnreadableMedia`.
    """
    require_room(room, 2 * plan.num_frames * plan.height * plan.width * 3, what="the joined clip")
    notes = _unlike(plan)
    meter, path = DriftMeter(plan.frame_rate, plan.seams), room / "joined.npy"
    count = 0
    try:
        with open(path, "wb") as stream:
            shape = (plan.num_frames, plan.height, plan.width, 3)
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(stream, header)
            for image in islice(joined_frames(plan), plan.num_frames):
                meter.see(image)
                stream.write(np.ascontiguousarray(image).data)
                count += 1
    except OSError as error:
        if is_full(error):
            raise DiskFull("no room left for the joined clip", got=room, fix="free some space") from error
        raise
    if count < plan.num_frames:  # the files promise more than they hold
        raise GenerationFailed("a piece of the clip has fewer frames than its file says", got=f"{count} in all",
                               allowed=str(plan.num_frames))  # fmt: skip
    frames = np.load(path, mmap_mode="r", allow_pickle=False)
    sound, told = _sound(plan)
    return Joined(clip=FrameClip(frames=frames, frame_rate=plan.frame_rate, audio=sound), drift=meter.finish(),
                  notes=(*notes, *told))  # fmt: skip


def joined_frames(plan: Join) -> Iterator[Image]:
    """Yield (H, W, 3) uint8 RGB frames of the whole, those beyond its length included.

    Of an overlap of one frame the clip's own stays. Of k frames, frame i of 1 .. k is i / (k + 1) of the window's and
    the rest of the clip's, so that neither is left at once.
    """
    tail: deque[Image] = deque()
    for number, path in enumerate(plan.pieces):
        for index, timed in enumerate(iter_frames(path, max_frames=plan.counts[number])):
            image = fit_image(timed.image, plan.width, plan.height)
            if number and index < plan.overlap:
                tail.append(_blended(tail.popleft(), image, index + 1, plan.overlap))
                continue
            tail.append(image)
            if len(tail) > plan.overlap:
                yield tail.popleft()
    yield from tail


def _blended(before: Image, after: Image, place: int, overlap: int) -> Image:
    if overlap == 1:
        return before
    share = place / (overlap + 1)
    mixed = (1 - share) * before.astype(np.float32) + share * after.astype(np.float32)
    return np.asarray(np.rint(mixed), np.uint8)


def _needed(counts: Sequence[int], overlap: int, most_frames: int | None) -> int:
    """Return how many windows begin before the whole is long enough."""
    ends = accumulate((count - overlap for count in counts[1:-1]), initial=counts[0])
    return sum(most_frames is None or end < most_frames for end in ends) if len(counts) > 1 else 0


def _require_fitting(number: int, path: Path, count: int, overlap: int, frame_rate: Fraction) -> None:
    kept = "the window is in the library"
    if count <= overlap:
        raise GenerationFailed(f"window {number} came with too few frames to add any", got=count,
                               allowed=f"more than {overlap}", fix=kept)  # fmt: skip
    came = probe_video(path).frame_rate
    if abs(came - frame_rate) > _SAME_RATE:
        raise GenerationFailed(f"window {number} came at another frame rate, and would play too fast or too slow",
                               got=f"{float(came):g}", allowed=f"{float(frame_rate):g}", fix=kept)  # fmt: skip


def _unlike(plan: Join) -> tuple[str, ...]:
    """Return a note for each window of another size."""
    notes = []
    for number, path in enumerate(plan.pieces[1:], 1):
        facts = probe_video(path)
        if (facts.width, facts.height) != (plan.width, plan.height):
            came, wanted = f"{facts.width}x{facts.height}", f"{plan.width}x{plan.height}"
            notes.append(f"window {number} came as {came}, and was scaled to {wanted}")
    return tuple(notes)


def _sound(plan: Join) -> tuple[Audio | None, tuple[str, ...]]:
    """Return the sound of the pieces one after the other, silence where a piece has none; None where none has any."""
    tracks = [read_audio(path) for path in plan.pieces]
    first = next((track for track in tracks if track is not None), None)
    if first is None:
        return None, ()
    rate, channels, notes = first.sample_rate, first.samples.shape[1], []
    whole = np.zeros((round(plan.num_frames / plan.frame_rate * rate), channels), np.float32)
    starts = (0, *plan.seams)
    for number, (track, start) in enumerate(zip(tracks, starts, strict=True)):
        if track is not None and (track.sample_rate, track.samples.shape[1]) != (rate, channels):
            notes.append(f"the sound of window {number} is left out: it has another rate or number of channels")
        elif track is not None:
            end = plan.seams[number] if number < len(plan.seams) else plan.num_frames
            skipped = plan.overlap if number else 0
            _lay(whole, track.samples[_at(skipped, plan, rate) :], _at(start, plan, rate), _at(end, plan, rate))
    return Audio(samples=whole, sample_rate=rate), tuple(notes)


def _lay(whole: Samples, part: Samples, start: int, end: int) -> None:
    """Put samples where they belong, up to `end` at most."""
    length = min(len(part), min(end, len(whole)) - start)
    whole[start : start + length] = part[:length]


def _at(frame: int, plan: Join, sample_rate: int) -> int:
    return round(frame / plan.frame_rate * sample_rate)
