"""Decoding that goes on behind damage: what can be had of a stream, and word of what could not."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet

# A demuxer that fails so often without a packet in between has lost its way; so has a decoder that works for so long
# without a frame.
_MOST_FAILURES_IN_A_ROW = 32
_LONGEST_SECONDS_WITHOUT_FRAME = 20.0


def decode_on(container: InputContainer, stream: Any, on_loss: Callable[[], None]) -> Iterator[Any]:
    """Yield a stream's frames in order, going on behind what cannot be decoded.

    on_loss: called for each packet that gives nothing because it is damaged, and for each failure to find one.
    """
    failed = _failures()
    last_frame_at = time.monotonic()
    for packet in _packets(container, stream, on_loss):
        try:
            frames = packet.decode() if packet is not None else stream.codec_context.decode(None)
        except failed:
            on_loss()
            frames = []
        if frames:
            yield from frames
            last_frame_at = time.monotonic()  # whatever was done with the frames meanwhile
        elif time.monotonic() - last_frame_at > _LONGEST_SECONDS_WITHOUT_FRAME:
            on_loss()
            return


def _packets(container: InputContainer, stream: Any, on_loss: Callable[[], None]) -> Iterator[Packet[Any] | None]:
    """Yield the stream's packets; None where the rest cannot be read, which asks for what the decoder still holds."""
    failed = _failures()
    packets = container.demux(stream)
    failures = 0
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except failed:
            on_loss()
            failures += 1
            if failures == _MOST_FAILURES_IN_A_ROW:
                yield None
                return
            packets = container.demux(stream)
            continue
        failures = 0
        yield packet


def _failures() -> tuple[type[Exception], ...]:
    import av

    return (av.FFmpegError, OSError, ValueError, EOFError)
