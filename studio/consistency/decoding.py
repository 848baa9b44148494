"""The check of the file itself: every frame decodes, and there are as many, for as long, as the container says."""

from __future__ import annotations

from collections.abc import Iterator

from studio.consistency.report import MAX_EVENTS, MAX_WORST_FRAMES, CheckResult, Event, score_of
from studio.consistency.spans import groups
from studio.media import VideoHeader, Walked

ID, TITLE, UNIT, THRESHOLD = "decode", "Decodes completely", "faults", 1.0
# Old containers count one frame too many; ends are rounded to a frame, and to a packet of sound.
_COUNT_TOLERANCE, _COUNT_SHARE = 1, 0.005
_LENGTH_TOLERANCE_SECONDS, _LENGTH_TOLERANCE_FRAMES, _LENGTH_SHARE = 0.5, 3, 0.02


def decode_result(header: VideoHeader, walked: Walked, num_lost_sound: int = 0) -> CheckResult:
    """Count what is wrong with a file. Threshold: one fault, as there is no harmless one.

    value: frames that the decoder had to patch, packets that gave no frame, frames whose time does not grow, changes
    of size, and one each for a file that is cut short, for a count and for a length other than the container says.
    num_lost_sound: packets of sound that could not be decoded.
    """
    sentences = list(_sentences(header, walked, num_lost_sound))
    value = float(sum(count for count, _ in sentences))
    events = sorted(_events(walked), key=lambda event: event.first_frame)[:MAX_EVENTS]
    last = max(walked.num_frames - 1, 0)
    places = [*walked.damaged, *(min(index, last) for index in walked.lost_after), *walked.backward]
    return CheckResult(
        id=ID,
        title=TITLE,
        unit=UNIT,
        threshold=THRESHOLD,
        score=score_of(value, THRESHOLD),
        value=value,
        passed=value < THRESHOLD,
        reason="; ".join(sentence for _, sentence in sentences),
        worst_frames=tuple(sorted(set(places)))[:MAX_WORST_FRAMES],
        events=tuple(events),
    )


def _sentences(header: VideoHeader, walked: Walked, num_lost_sound: int) -> Iterator[tuple[int, str]]:
    """Yield (faults, what they are) of each kind."""
    if walked.num_damaged:
        first = walked.damaged[0]
        verb = "is" if walked.num_damaged == 1 else "are"
        yield walked.num_damaged, f"{_count(walked.num_damaged, 'frame')} {verb} damaged, the first is frame {first}"
    if walked.num_lost:
        where = f"after frame {walked.lost_after[0] - 1}" if walked.lost_after[0] else "before the first frame"
        yield walked.num_lost, f"{_count(walked.num_lost, 'packet')} cannot be decoded, the first {where}"
    if walked.num_backward:
        times = _count(walked.num_backward, "time")
        yield walked.num_backward, f"time goes back or stands still {times}, first at frame {walked.backward[0]}"
    for index, width, height in walked.sizes[:1]:
        yield len(walked.sizes), f"the picture changes its size to {width}x{height} at frame {index}"
    if walked.is_cut_short:
        yield 1, "the file is cut short"
    yield from _promises(header, walked)
    if num_lost_sound:
        yield num_lost_sound, f"{_count(num_lost_sound, 'packet')} of sound cannot be decoded"


def _promises(header: VideoHeader, walked: Walked) -> Iterator[tuple[int, str]]:
    """Yield what the container promises and does not keep."""
    if walked.has_edits:
        return
    if header.num_frames is not None:
        missing = abs(header.num_frames - walked.num_frames - walked.num_lost)
        if missing > max(_COUNT_TOLERANCE, _COUNT_SHARE * header.num_frames):
            yield 1, f"the container promises {header.num_frames} frames and holds {walked.num_frames}"
    if header.seconds is not None:
        step = float(1 / header.frame_rate)
        allowed = max(
            _LENGTH_TOLERANCE_SECONDS, _LENGTH_TOLERANCE_FRAMES * step, _LENGTH_SHARE * max(header.seconds, 0.0)
        )
        if abs(header.seconds - walked.seconds) > allowed:
            yield 1, f"the container promises {header.seconds:.4g} s and holds {walked.seconds:.4g} s"


def _events(walked: Walked) -> Iterator[Event]:
    last = max(walked.num_frames - 1, 0)
    for first, end in groups(walked.damaged):
        yield Event(first_frame=first, last_frame=end, value=float(end - first + 1),
                    reason="the decoder had to patch these frames")  # fmt: skip
    for first, end in groups(sorted({min(index, last) for index in walked.lost_after})):
        yield Event(first_frame=first, last_frame=end, value=1.0, reason="something before this cannot be decoded")
    for first, end in groups(walked.backward):
        yield Event(first_frame=first, last_frame=end, value=float(end - first + 1),
                    reason="by its time stamp this frame is not after the one before")  # fmt: skip
    for index, width, height in walked.sizes[:MAX_EVENTS]:
        yield Event(first_frame=index, last_frame=index, value=1.0, reason=f"from here on it is {width}x{height}")


def _count(count: int, thing: str) -> str:
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"
