"""The video a clip starts from or goes on from, as the pipelines take it: pictures of the clip's size and speed.

A frame of the clip shows what the source shows at the same time, so that things move as fast as they did, whatever the
source's frame rate. Where both have one rate the source's frames are taken as they are.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING

from studio.errors import UnsupportedValue
from studio.media import Image, TimedFrame, VideoFacts, fit_image, iter_frames, probe_video
from studio.request import Conditioning, ResolvedRequest, Role

if TYPE_CHECKING:
    import PIL.Image

FIELD = "video"
STRENGTH = "strength"


def source_frames(resolved: ResolvedRequest) -> list[PIL.Image.Image]:
    """Return the request's source video as RGB pictures, as many and as large as the clip's frames.

    Each covers the clip's size and is cut around its centre (`studio.media.fit_image`).
    Raises `UnreadableMedia`, and `UnsupportedValue` where the video ends before the clip does.
    """
    from PIL import Image

    source = _source(resolved)
    facts = probe_video(source.path, field=FIELD)
    times = [index / resolved.frame_rate for index in range(resolved.num_frames)]
    timed = iter_frames(source.path, field=FIELD)
    found = [
        Image.fromarray(fit_image(image, resolved.width, resolved.height))
        for image in _shown_at(times, timed, seconds_each=1 / facts.frame_rate)
    ]
    if len(found) < resolved.num_frames:
        raise _too_short(resolved, facts, len(found))
    return found


def end_of_source(resolved: ResolvedRequest, count: int) -> list[PIL.Image.Image]:
    """Return the last frames of the request's source video as RGB pictures of the clip's size, for it to begin with.

    count: how many frames of the clip. The last is the video's last; each is cut as by `source_frames`.
    Raises `UnreadableMedia`, and `UnsupportedValue` where the video has not so many.
    """
    from PIL import Image

    source = _source(resolved)
    facts = probe_video(source.path, field=FIELD)
    span, seconds_each = Fraction(count - 1) / resolved.frame_rate, 1 / facts.frame_rate
    tail: deque[TimedFrame] = deque()
    for frame in iter_frames(source.path, field=FIELD):
        tail.append(frame)
        while len(tail) > 1 and tail[1].time_seconds <= frame.time_seconds - span:
            tail.popleft()
    first = Fraction(tail[-1].time_seconds) - span
    if tail[0].time_seconds > first + seconds_each / 2:
        raise _no_such_end(resolved, facts, count)
    times = [first + index / resolved.frame_rate for index in range(count)]
    found = _shown_at(times, iter(tail), seconds_each=seconds_each)
    return [Image.fromarray(fit_image(image, resolved.width, resolved.height)) for image in found]


def remarks_on_end(resolved: ResolvedRequest, count: int) -> tuple[str, ...]:
    """Return what to know before a run that goes on from the source video's end, read from its header.

    count: how many frames the clip begins with. Raises `UnreadableMedia`, and `UnsupportedValue` where the header says
    that the video has not so many.
    """
    facts = probe_video(_source(resolved).path, field=FIELD)
    if facts.duration_seconds is None:
        return ()
    last, seconds_each = Fraction(count - 1) / resolved.frame_rate, 1 / facts.frame_rate
    # A header may be off by a frame; reading the frames decides.
    if facts.duration_seconds + seconds_each <= last:
        raise _no_such_end(resolved, facts, count)
    used = count / resolved.frame_rate
    if facts.duration_seconds < used + seconds_each:
        return ()
    return (f"{FIELD}: it lasts {facts.duration_seconds:.4g} s; the clip begins with its last {float(used):.4g} s",)


def remarks_on_source(resolved: ResolvedRequest) -> tuple[str, ...]:
    """Return what to know about the source video before a run, read from its header: that not all of it is used.

    Raises `UnreadableMedia`, and `UnsupportedValue` where the header says that it ends before the clip does.
    """
    facts = probe_video(_source(resolved).path, field=FIELD)
    if facts.duration_seconds is None:
        return ()
    last = Fraction(resolved.num_frames - 1) / resolved.frame_rate
    # A header may be off by a frame; reading the frames decides.
    if facts.duration_seconds + 1 / facts.frame_rate <= last:
        raise _too_short(resolved, facts, math.ceil(facts.duration_seconds * resolved.frame_rate))
    used = resolved.num_frames / resolved.frame_rate
    if facts.duration_seconds < used + 1 / facts.frame_rate:
        return ()
    return (f"{FIELD}: it lasts {facts.duration_seconds:.4g} s; the clip is made from its first {float(used):.4g} s",)


def steps_of_strength(resolved: ResolvedRequest) -> int:
    """Return how many steps a pipeline really does that starts from noise laid over the source video.

    It leaves out the first of the steps asked for: all but the share `strength`, an option in (0, 1].
    Raises `UnsupportedValue` where none would be left.
    """
    wanted, strength = resolved.num_inference_steps or 1, float(resolved.options[STRENGTH])
    steps = min(int(wanted * strength), wanted)
    if steps < 1:
        raise UnsupportedValue(
            f"of {wanted} steps it leaves none to be done",
            field=f"option {STRENGTH}",
            got=f"{strength:g}",
            allowed=f"at least {1 / wanted:.2g} for so few steps",
            fix="ask for more steps, or for more strength",
        )
    return steps


def _source(resolved: ResolvedRequest) -> Conditioning:
    source = resolved.conditioning(Role.SOURCE_VIDEO)
    if source is None:
        raise UnsupportedValue(f"{resolved.task.value} needs one", field=FIELD, got="none", fix="add --video FILE")
    return source


def _shown_at(times: list[Fraction], frames: Iterator[TimedFrame], *, seconds_each: Fraction) -> Iterator[Image]:
    """Yield the picture nearest to each time, in seconds and ascending; fewer where the frames end before.

    seconds_each: how long a frame is shown, which is how long the last one lasts.
    """
    before = next(frames, None)
    after = next(frames, None)
    for time in times:
        while before is not None and after is not None and _is_nearer(after, before, time):
            before, after = after, next(frames, None)
        if before is None or (after is None and time >= before.time_seconds + seconds_each):
            return
        yield before.image


def _is_nearer(one: TimedFrame, other: TimedFrame, time: Fraction) -> bool:
    return abs(one.time_seconds - time) < abs(other.time_seconds - time)


def _no_such_end(resolved: ResolvedRequest, facts: VideoFacts, count: int) -> UnsupportedValue:
    return UnsupportedValue(
        "the video is shorter than the part of it that the clip is to begin with",
        field=FIELD,
        got="a shorter one" if facts.duration_seconds is None else f"{facts.duration_seconds:.4g} s",
        allowed=f"at least {count} frames, {float(count / resolved.frame_rate):.4g} s",
        fix="choose a longer video, or begin with less of it",
    )


def _too_short(resolved: ResolvedRequest, facts: VideoFacts, number: int) -> UnsupportedValue:
    seconds = "" if facts.duration_seconds is None else f"{facts.duration_seconds:.4g} s, "
    needed, rate = resolved.num_frames, float(resolved.frame_rate)
    return UnsupportedValue(
        "the video ends before the clip does",
        field=FIELD,
        got=f"{seconds}{number} frames at {rate:.6g} frames per second",
        allowed=f"at least {needed} frames, {float(needed / resolved.frame_rate):.4g} s",
        fix="choose a longer video, or ask for fewer frames",
    )
