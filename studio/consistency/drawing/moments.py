"""The worst moments of a clip: which frames to show of each, what is boxed, and how to read them with little memory."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studio.media import Image, pick_frames

MOST_MOMENTS = 6
THUMBNAIL_WIDTH, THUMBNAIL_HEIGHT = 480, 400
# Two findings so close together are one moment to the eye.
_SAME_MOMENT = 2

Box = tuple[float, float, float, float]
Pictures = Callable[[Collection[int]], Iterable[tuple[int, Image]]]


@dataclass(frozen=True, kw_only=True)
class Moment:
    """A place in the clip where a check failed. before, after: the frames beside the event, None past the clip's ends.

    box: (x, y, width, height) as fractions of the frame, None for the whole frame. titles: of the checks that failed.
    """

    at: int
    before: int | None
    after: int | None
    titles: tuple[str, ...]
    reason: str
    box: Box | None

    @property
    def frames(self) -> tuple[int | None, int, int | None]:
        return self.before, self.at, self.after


def moments_of(report: Mapping[str, Any]) -> tuple[Moment, ...]:
    """Return up to six moments in order of time: the worst event of each failed check, then their second ones, and on.

    report: as `Report.as_json` writes it.
    """
    failed = [check for check in report["checks"] if check["passed"] is False]
    failed.sort(key=lambda check: check["score"] or 0.0)
    queues = [list(_moments(check, int(report["num_frames"]))) for check in failed]
    chosen: list[Moment] = []
    while any(queues) and len(chosen) < MOST_MOMENTS:
        for queue in queues:
            if queue:
                _add(chosen, queue.pop(0))
    return tuple(sorted(chosen[:MOST_MOMENTS], key=lambda moment: moment.at))


def _add(chosen: list[Moment], moment: Moment) -> None:
    """Add a moment, or the name of its check to one that shows the same."""
    for place, known in enumerate(chosen):
        if abs(known.at - moment.at) <= _SAME_MOMENT:
            titles = tuple(dict.fromkeys((*known.titles, *moment.titles)))
            chosen[place] = Moment(at=known.at, before=known.before, after=known.after, titles=titles,
                                   reason=known.reason, box=known.box or moment.box)  # fmt: skip
            return
    chosen.append(moment)


def _moments(check: Mapping[str, Any], num_frames: int) -> Iterator[Moment]:
    worst = list(check.get("worst_frames") or ())
    events = check.get("events") or [{"first_frame": index, "last_frame": index} for index in worst]
    for event in sorted(events, key=lambda item: -abs(item.get("value") or 0.0)):
        first, last = event["first_frame"], event["last_frame"]
        at = next((index for index in worst if first <= index <= last), (first + last) // 2)
        region = event.get("region")
        yield Moment(
            at=at,
            before=first - 1 if first > 0 else None,
            after=last + 1 if last + 1 < num_frames else None,
            titles=(str(check["title"]),),
            reason=str(event.get("reason") or check.get("reason") or ""),
            box=None if region is None else (region["x"], region["y"], region["width"], region["height"]),
        )


def pictures_of_file(path: Path, num_frames: int, checked_frames: int) -> Pictures:
    """Return a reader of single frames of a file. num_frames: that it has. checked_frames: that the report speaks of.

    They differ where a clip was checked before its uneven beat was evened out; then the nearest in time is taken.
    """

    def read(indices: Collection[int]) -> Iterator[tuple[int, Image]]:
        wanted: dict[int, list[int]] = {}
        for index in indices:
            wanted.setdefault(index * num_frames // max(checked_frames, 1), []).append(index)
        for found, image in pick_frames(path, wanted):
            yield from ((index, image) for index in wanted[found])

    return read


def thumbnails(moments: Iterable[Moment], pictures: Pictures) -> dict[int, Image]:
    """Return the small pictures that the moments need, (h, w, 3) uint8 RGB; frames that are not there are left out."""
    indices = {index for moment in moments for index in moment.frames if index is not None}
    return {index: _small(image) for index, image in pictures(indices)} if indices else {}


def _small(image: Image) -> Image:
    import cv2
    import numpy as np

    height, width = image.shape[:2]
    scale = min(THUMBNAIL_WIDTH / width, THUMBNAIL_HEIGHT / height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, size, interpolation=how), np.uint8)
