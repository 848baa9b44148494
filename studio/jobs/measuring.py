"""Whether the clip that came is the clip that was asked for."""

from __future__ import annotations

from studio.errors import UnreadableMedia
from studio.generator import RawClip, RunContext
from studio.jobs.bookkeeping import Piece, asked_seconds
from studio.media import FrameClip, probe_video
from studio.request import ResolvedRequest

# Providers round to their own beat: half a second more or less is what was ordered.
_TOLERATED_SECONDS = 0.5


def measured(clip: RawClip, asked: ResolvedRequest, piece: Piece, run: RunContext) -> RawClip:
    """Return the clip, with its length entered, and a note where it is not what was ordered."""
    if isinstance(clip, FrameClip):
        piece.seconds = float(clip.duration_seconds)
        return clip
    try:
        facts = probe_video(clip.path)
    except UnreadableMedia:  # the gate says what is wrong with it
        return clip
    piece.seconds = facts.duration_seconds
    length = piece.seconds or asked_seconds(asked)
    is_other_size = (facts.width, facts.height) != (asked.width, asked.height)
    if is_other_size or abs(length - asked_seconds(asked)) > _TOLERATED_SECONDS:
        ordered = f"{asked.width}x{asked.height}, {asked_seconds(asked):g} s"
        run.note(f"ordered {ordered}; {facts.width}x{facts.height}, {length:.3g} s came")
    return clip
