"""Pictures as they arrive: cameras, network streams, pipes, and files played at their own speed."""

from __future__ import annotations

import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import urlsplit

from studio.errors import EnvironmentFault, UnreadableMedia, UnsupportedValue
from studio.media.containers import CONTAINERS
from studio.media.files import HEAD_BYTES, sniff_head
from studio.media.salvage import decode_on
from studio.media.types import Image
from studio.media.video_walk import Clock, Upright, VideoWalk, converted
from studio.media.videos import MAX_FRAME_PIXELS, stated_rate, video_stream

if TYPE_CHECKING:
    from av.container import InputContainer

SOURCES = "a camera's number, an address such as rtsp://host/path, - for a pipe, or a video file"
FIELD = "live"
_SCHEMES = ("rtsp", "rtsps", "rtmp", "rtmps", "srt", "udp", "tcp", "http", "https")
# A stream may name further addresses, and none of them may be a file of this machine.
_PROTOCOLS = "rtsp,rtsps,rtp,srtp,rtmp,rtmps,srt,udp,tcp,tls,http,https,httpproxy,crypto"
_OPEN_SECONDS, _READ_SECONDS = 10.0, 20.0
_PROBE = {"probesize": "1000000", "analyzeduration": "1000000"}
_RAW_STARTS = ((b"YUV4MPEG2", "yuv4mpegpipe"), (b"nut/multimedia container", "nut"), (b"\0\0\0\1", "h264"),
               (b"\0\0\1\xba", "mpeg"))  # fmt: skip
_LIKELY_RATES = (Fraction(1, 10), Fraction(240))


@dataclass(frozen=True, kw_only=True, eq=False)
class LiveFrame:
    """A frame on arrival. time_seconds: since the first, by the stream's clock. image: converts it, (H, W, 3) RGB."""

    time_seconds: float
    image: Callable[[], Image | None]


@dataclass(frozen=True, kw_only=True, eq=False)
class LiveStream:
    """An open stream. name: to be shown, without passwords. frames: the one walk there is, ending with the stream."""

    name: str
    frame_rate: Fraction
    frames: Iterator[LiveFrame]


@contextmanager
def open_live(source: str, stop: threading.Event, pipe: BinaryIO | None = None) -> Iterator[LiveStream]:
    """Open a source: a camera's number, an address, ``-`` for `pipe`, or a file, which is played at its own speed.

    stop: ends a file that is being played. Raises `UnreadableMedia` for what is no stream of pictures, `Unreachable`
    or another `EnvironmentFault` for what does not answer, `UnsupportedValue` for an address of an unknown kind.
    """
    import av

    if source == "-":
        yield from _opened(lambda: _open_pipe(pipe or sys.stdin.buffer), "the pipe")
    elif source.isascii() and source.isdigit():
        yield from _opened(lambda: _open_camera(int(source)), f"camera {source}")
    elif "://" in source:
        shown = _checked_address(source)
        options = {**_PROBE, "protocol_whitelist": _PROTOCOLS}
        if source.lower().startswith("rtsp"):
            options |= {"rtsp_transport": "tcp", "fflags": "nobuffer"}
        yield from _opened(lambda: av.open(source, options=options, timeout=(_OPEN_SECONDS, _READ_SECONDS)), shown)
    else:
        walk = VideoWalk(source, field=FIELD)
        yield LiveStream(name=Path(source).name, frame_rate=walk.header.frame_rate, frames=_played(walk, stop))


def _opened(open_it: Callable[[], InputContainer], shown: str) -> Iterator[LiveStream]:
    import av

    try:
        container = open_it()
    except (av.FFmpegError, OSError, ValueError) as error:
        raise _unopened(shown, error) from error
    with container:
        stream = video_stream(container, Path(shown), FIELD)
        stream.thread_type = "SLICE"  # threads over frames would hold back as many of them
        rate = stated_rate(stream)
        rate = rate if _LIKELY_RATES[0] <= rate <= _LIKELY_RATES[1] else Fraction(25)
        yield LiveStream(name=shown, frame_rate=rate, frames=_arriving(container, stream, rate))


def _arriving(container: InputContainer, stream: Any, rate: Fraction) -> Iterator[LiveFrame]:
    clock, upright = Clock(stream.time_base or Fraction(1, 1000), 1 / rate), Upright()
    for frame in decode_on(container, stream, lambda: None):
        if frame.width * frame.height <= MAX_FRAME_PIXELS:
            clock.advance(frame)
            yield LiveFrame(time_seconds=clock.seconds, image=partial(converted, frame, upright))


def _played(walk: VideoWalk, stop: threading.Event) -> Iterator[LiveFrame]:
    started = time.monotonic()
    for timed in walk.frames():
        if stop.wait(max(0.0, started + timed.time_seconds - time.monotonic())):
            return
        yield LiveFrame(time_seconds=timed.time_seconds, image=partial(getattr, timed, "image"))


def _open_camera(number: int) -> InputContainer:
    import av

    if not sys.platform.startswith("linux"):
        raise UnsupportedValue("cameras are read on Linux alone", field=FIELD, got=number,
                               fix="pipe another program's output in: --live -")  # fmt: skip
    return av.open(f"/dev/video{number}", format="v4l2", options={"fflags": "nobuffer"})


def _open_pipe(pipe: BinaryIO) -> InputContainer:
    """Open what comes through a pipe by its first bytes; nothing can be read twice, nor skipped."""
    import av

    head = _read_head(pipe)
    if not head:
        raise UnreadableMedia("the pipe ended before anything came", field=FIELD, allowed=SOURCES)
    mime_type = sniff_head(head)
    demuxer = next((name for start, name in _RAW_STARTS if head.startswith(start)), None)
    if mime_type in CONTAINERS:
        demuxer = CONTAINERS[mime_type][1]
    if demuxer is None:
        raise UnreadableMedia("what comes through the pipe is no video", field=FIELD,
                              allowed="MPEG-TS, MKV, WebM, FLV, AVI, Y4M or MP4 with its index first")  # fmt: skip
    return av.open(_Pipe(head, pipe), mode="r", format=demuxer, options=_PROBE, metadata_errors="replace")


def _read_head(pipe: BinaryIO) -> bytes:
    head = b""
    while len(head) < HEAD_BYTES:
        part = pipe.read(HEAD_BYTES - len(head))
        if not part:
            break
        head += part
    return head


class _Pipe:
    """A pipe of which the first bytes were read already."""

    def __init__(self, head: bytes, rest: BinaryIO) -> None:
        self._head = head
        self._rest = rest
        self._read_now = getattr(rest, "read1", rest.read)

    def read(self, size: int) -> bytes:
        if self._head:
            part, self._head = self._head[:size], self._head[size:]
            return part
        return bytes(self._read_now(size))


def _checked_address(address: str) -> str:
    """Return an address as it may be shown: without user, password or query, which may hold secrets."""
    try:
        parts = urlsplit(address)
        shown = f"{parts.scheme}://{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}{parts.path}"
    except ValueError:
        raise UnsupportedValue("not an address", field=FIELD, got=_without_secrets(address), allowed=SOURCES) from None
    if parts.scheme.lower() not in _SCHEMES:
        raise UnsupportedValue("not an address of a stream", field=FIELD, got=shown,
                               allowed=", ".join(f"{scheme}://" for scheme in _SCHEMES))  # fmt: skip
    return shown


def _without_secrets(address: str) -> str:
    return re.sub(r"//[^/]*@", "//", address)


def _unopened(shown: str, error: Exception) -> Exception:
    import av

    if isinstance(error, (av.InvalidDataError, av.EOFError)):
        return UnreadableMedia("what comes is no video that can be read as it arrives", field=FIELD, got=shown,
                               fix="an MP4 must have its index first; MPEG-TS and MKV always work")  # fmt: skip
    reason = getattr(error, "strerror", None) or error
    return EnvironmentFault(f"the stream cannot be opened ({reason})", field=FIELD, got=shown,
                            fix="check that it is there, that it answers, and that this user may read it")  # fmt: skip
