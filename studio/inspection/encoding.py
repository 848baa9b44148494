"""What the encoder's own settings and the sizes of its packets tell about earlier encodings."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from studio.errors import UnreadableMedia
from studio.inspection.report import ChecklistItem, MediaFacts
from studio.media.containers import open_container

MAX_PACKETS = 3000
MAX_PACKET_BYTES = 2**26
MAX_SECONDS = 0.7
_SEARCHED_BYTES = 2**16

_SETTINGS = re.compile(rb"(x26[45])[ -][^\0]{0,200}?(core \d+|build \d+)[^\0]{0,4000}")
_HARD_CRF = 28.0
_LEAN_BITS = {"h264": 0.03, "hevc": 0.02, "vp9": 0.02, "av1": 0.015, "libdav1d": 0.015, "vp8": 0.03, "mpeg4": 0.04}
# The others make some frames larger by themselves, to predict from them for longer.
_PLAIN_RHYTHM = ("h264", "hevc", "mpeg4")
_RHYTHM_NOTICE = 5.0
_LONGEST_PERIOD = 100


@dataclass(frozen=True, kw_only=True)
class Packets:
    """The video packets of a file's beginning. sizes: bytes. keys: which are keyframes. is_reordered: B-frames.

    settings: what the encoder wrote about itself into the first packet.
    """

    sizes: tuple[int, ...]
    keys: tuple[bool, ...]
    is_reordered: bool
    settings: str | None


def read_packets(path: Path) -> Packets | None:
    """Read the first packets without decoding them; None where there are none."""
    import av

    sizes: list[int] = []
    keys: list[bool] = []
    times: list[int] = []
    settings, deadline = None, time.monotonic() + MAX_SECONDS
    try:
        with open_container(path, field="file") as (container, _mime_type):
            for packet in container.demux(container.streams.video[:1]):
                if not 0 < packet.size <= MAX_PACKET_BYTES or len(sizes) == MAX_PACKETS:
                    break
                settings = settings or (_settings(bytes(memoryview(packet)[:_SEARCHED_BYTES])) if not sizes else None)
                sizes.append(packet.size)
                keys.append(bool(packet.is_keyframe))
                times += [] if packet.pts is None else [packet.pts]
                if time.monotonic() > deadline:
                    break
    except (UnreadableMedia, av.FFmpegError, OSError, ValueError):
        pass  # the packets before the damage tell as much
    is_reordered = any(late < early for early, late in pairwise(times))
    return (
        Packets(sizes=tuple(sizes), keys=tuple(keys), is_reordered=is_reordered, settings=settings) if sizes else None
    )


def _settings(packet: bytes) -> str | None:
    """Return what x264 or x265 wrote into the beginning of its first packet (user data SEI, ITU-T H.264 D.1.7)."""
    found = _SETTINGS.search(packet)
    return None if found is None else found[0].decode("ascii", "replace")


def encoding_items(path: Path, facts: MediaFacts) -> list[ChecklistItem]:
    """Return what the encoding tells; nothing for pictures and sound."""
    if facts.codec is None or facts.frame_rate is None or facts.container == "gif":
        return []
    packets = read_packets(path)
    return [_settings_item(packets), _bits(facts, packets), _rhythm(packets if facts.codec in _PLAIN_RHYTHM else None)]


def _settings_item(packets: Packets | None) -> ChecklistItem:
    title, item_id = "settings of the encoder", "encoding.settings"
    if packets is None or packets.settings is None:
        return ChecklistItem(id=item_id, title=title, result="unknown", detail="the encoder does not tell")
    name = packets.settings[:4]
    crf = re.search(r"\bcrf=(\d+(?:\.\d+)?)", packets.settings)
    if crf and float(crf[1]) >= _HARD_CRF:
        return ChecklistItem(id=item_id, title=title, result="notice",
                             detail=f"{name} at CRF {float(crf[1]):g}, a strong compression that hides finer "
                             "traces")  # fmt: skip
    told = f" at CRF {float(crf[1]):g}" if crf else ""
    return ChecklistItem(id=item_id, title=title, result="ok",
                         detail=f"{name}{told}: a program's encoder, cameras have their own")  # fmt: skip


def _bits(facts: MediaFacts, packets: Packets | None) -> ChecklistItem:
    title, item_id = "bits for each pixel", "encoding.bits"
    if packets is None or not facts.width or not facts.height or facts.codec not in _LEAN_BITS:
        return ChecklistItem(id=item_id, title=title, result="unknown", detail="nothing to compare it with")
    bits = 8 * float(np.mean(packets.sizes)) / (facts.width * facts.height)
    if bits < _LEAN_BITS[facts.codec]:
        return ChecklistItem(id=item_id, title=title, result="notice",
                             detail=f"{bits:.3f}, little for {facts.codec}: fine traces are gone, unless the scene "
                             "is very calm")  # fmt: skip
    return ChecklistItem(id=item_id, title=title, result="ok", detail=f"{bits:.2f}, enough for finer traces to remain")


def _rhythm(packets: Packets | None) -> ChecklistItem:
    title, item_id = "rhythm of the frame sizes", "encoding.rhythm"
    if packets is None or len(packets.sizes) < 60 or packets.is_reordered:
        return ChecklistItem(id=item_id, title=title, result="unknown",
                             detail="too few frames, frames out of order, or a rhythm of the codec's own")  # fmt: skip
    period = earlier_period(packets.sizes, packets.keys)
    if period is None:
        return ChecklistItem(id=item_id, title=title, result="ok", detail="no trace of an earlier encoding's rhythm")
    return ChecklistItem(id=item_id, title=title, result="notice",
                         detail=f"every {period} frames one is larger than its neighbours, though not a keyframe: "
                         "perhaps the keyframes of an earlier encoding. Blinking scenes look alike")  # fmt: skip


def earlier_period(sizes: tuple[int, ...], keys: tuple[bool, ...]) -> int | None:
    """Return the period in frames of spikes that are no keyframes, None without any.

    After Vazquez-Padin et al. 2012 (https://doi.org/10.1109/WIFS.2012.6412646): a frame that was a keyframe before is
    predicted worse by the next encoder. B-frames hide it.
    """
    logs = np.log(np.maximum(np.asarray(sizes, np.float64), 1.0))
    neighbours = np.stack([np.roll(logs, shift) for shift in (-2, -1, 1, 2)])
    rise = logs - np.median(neighbours, axis=0)
    rise[list(keys)] = 0.0
    rise[:3] = rise[-3:] = 0.0
    spread = 1.4826 * float(np.median(np.abs(rise - np.median(rise)))) + 0.02
    best, best_score = None, _RHYTHM_NOTICE
    for period in range(8, min(_LONGEST_PERIOD, len(sizes) // 5) + 1):
        for phase in range(period):
            at = np.arange(phase, len(sizes), period)
            at = at[~np.asarray(keys)[at] & (at >= 3) & (at < len(sizes) - 3)]
            if at.size < 4:
                continue
            # Every one of them must stand out, so the weakest quarter speaks for all.
            score = float(np.quantile(rise[at], 0.25)) / spread
            if score > best_score and (best is None or period < best or period % best):
                best, best_score = period, score
    return best
