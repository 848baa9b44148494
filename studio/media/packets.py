"""How many frames a file holds and when they are shown, from its index and without decoding anything."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.errors import UnreadableMedia
from studio.media.animations import count_webp_frames
from studio.media.containers import open_container, undecodable
from studio.media.files import sniff_mime_type

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet


def count_frames(path: Path | str, *, field: str = "video") -> int:
    """Return how many pictures a video, an animation or a still image holds.

    Raises `UnreadableMedia` that blames `field`. What is damaged inside a frame is not noticed: nothing is decoded.
    """
    path = Path(path)
    mime_type = sniff_mime_type(path, field=field)
    if mime_type == "image/webp":
        return count_webp_frames(path, field=field)
    if mime_type in ("image/png", "image/jpeg"):
        return 1
    return len(_packet_times(path, field))


def frame_times(path: Path | str, *, field: str = "video") -> list[Fraction] | None:
    """Return when each frame is shown, in seconds since the first and in that order; None where the file is silent.

    One number is held for each frame. Raises as `count_frames` does.
    """
    times = _packet_times(Path(path), field)
    known = sorted(time for time in times if time is not None)
    return [time - known[0] for time in known] if known and len(known) == len(times) else None


def _packet_times(path: Path, field: str) -> list[Fraction | None]:
    import av

    with open_container(path, field=field) as (container, _mime_type):
        if not container.streams.video:
            raise UnreadableMedia("the file holds no picture", field=field, got=path, fix="choose a video file")
        try:
            return _times(container)
        except (av.FFmpegError, OSError, ValueError, EOFError) as error:
            raise undecodable(path, 0, field) from error


def _times(container: InputContainer) -> list[Fraction | None]:
    stream = container.streams.video[0]
    tick = stream.time_base or Fraction(1, 1000)
    return [
        None if packet.pts is None else packet.pts * tick for packet in container.demux(stream) if _is_shown(packet)
    ]


def _is_shown(packet: Packet[Any]) -> bool:
    # The last packet of a reading is empty; discarded ones are needed to decode others and lie outside an edit list.
    return packet.size > 0 and not packet.is_discard
