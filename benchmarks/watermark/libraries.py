"""The published weightless watermarks, on some of the same clips and through the same attacks.

They are given help that the studio's own reader does without: they mark every frame of its own, are read by a majority
vote over frames that were first brought back to the original size, and are told when a clip was mirrored.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import multiprocessing
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from benchmarks.watermark import quality
from benchmarks.watermark.attacks import ATTACKS, GATE_ENCODE, Attack, Frames
from benchmarks.watermark.clips import Clip, all_clips
from benchmarks.watermark.journal import Journal, Row

Bits = NDArray[np.uint8]


class Method(Protocol):
    """A way to mark one picture. bits: length of its payload. Pictures are (H, W, 3) uint8 BGR, as these expect."""

    bits: int

    def embed(self, picture: Frames, payload: Bits) -> Frames:
        """Return a marked copy."""
        ...

    def extract(self, picture: Frames) -> Bits:
        """Return the payload read."""
        ...


class InvisibleWatermark:
    """invisible-watermark (imwatermark), one of its methods with its own defaults."""

    def __init__(self, method: str, bits: int) -> None:
        import imwatermark

        self._encoder, self._decoder = imwatermark.WatermarkEncoder(), imwatermark.WatermarkDecoder("bits", bits)
        if method == "rivaGan":
            self._encoder.loadModel()
        self._method, self.bits = method, bits

    def embed(self, picture: Frames, payload: Bits) -> Frames:
        """Return a marked copy."""
        self._encoder.set_by_bits(payload.tolist())
        return np.asarray(self._encoder.encode(picture, self._method), np.uint8)

    def extract(self, picture: Frames) -> Bits:
        """Return the payload read."""
        return np.asarray(self._decoder.decode(picture, self._method), np.uint8).reshape(-1)


class BlindWatermark:
    """blind-watermark with its own defaults."""

    bits = 64

    def __init__(self) -> None:
        # On import it sets the start method of all processes, which fails inside one that is already such a process.
        with patch.object(multiprocessing, "set_start_method"):
            import blind_watermark
        blind_watermark.bw_notes.close()
        self._library = blind_watermark

    def embed(self, picture: Frames, payload: Bits) -> Frames:
        """Return a marked copy."""
        marker = self._library.WaterMark(password_wm=1, password_img=1)
        marker.read_img(img=picture)
        marker.read_wm(payload.astype(bool), mode="bit")
        return np.rint(marker.embed()).astype(np.uint8)

    def extract(self, picture: Frames) -> Bits:
        """Return the payload read."""
        marker = self._library.WaterMark(password_wm=1, password_img=1)
        return np.asarray(marker.extract(embed_img=picture, wm_shape=self.bits, mode="bit"), np.uint8)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A library in the comparison. package, needs: what must be installed and importable. make: gives the method.

    every: it reads every so many-th frame; the slow ones skip some, which costs them little as they vote.
    most_clips: how many of the clips it is run on; the slowest gets fewer.
    """

    name: str
    package: str
    needs: tuple[str, ...]
    every: int
    make: Callable[[], Method]
    most_clips: int = 4


# As many as a pass of some minutes allows, of several kinds; the first four are of real footage.
CLIPS = (
    *("street_cuts_pans_bikes", "static_bottles", "fast_dog_frisbee", "ai_wan_cat_16fps"),
    *("pan_astronaut", "flat_animation_dark", "static_texture", "fine_noise"),
)
ENTRIES = (
    Entry(
        name="dwtDct",
        package="invisible-watermark",
        needs=("imwatermark", "torch"),
        every=1,
        make=partial(InvisibleWatermark, "dwtDct", 64),
    ),
    Entry(
        name="dwtDctSvd",
        package="invisible-watermark",
        needs=("imwatermark", "torch"),
        every=1,
        make=partial(InvisibleWatermark, "dwtDctSvd", 64),
    ),
    Entry(
        name="blind-watermark",
        package="blind-watermark",
        needs=("blind_watermark",),
        every=3,
        make=partial(BlindWatermark),
    ),
    Entry(
        name="RivaGAN",
        package="invisible-watermark",
        needs=("imwatermark", "torch", "onnxruntime"),
        every=5,
        make=partial(InvisibleWatermark, "rivaGan", 32),
        most_clips=2,
    ),
)


def run(footage: Path | None, work: Path, processes: int) -> tuple[list[Row], Row]:
    """Run every installed library. Returns the rows, and for each library its version or why it was left out."""
    at_hand = {clip.name for clip in all_clips(footage)}
    clips = [name for name in CLIPS if name in at_hand]
    notes: Row = {}
    for entry in ENTRIES:
        missing = [name for name in entry.needs if importlib.util.find_spec(name) is None]
        if missing:
            notes[entry.name] = {"left_out": f"{', '.join(missing)} not installed"}
            continue
        version = importlib.metadata.version(entry.package)
        notes[entry.name] = {
            "package": f"{entry.package} {version}",
            "clips": clips[: entry.most_clips],
            "reads_every": entry.every,
        }
    units = [(name, clip) for name, note in notes.items() for clip in note.get("clips", ())]
    rows: list[Row] = []
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        for done, ((name, clip), found) in enumerate(
            zip(units, pool.map(partial(_run_unit, footage, work), units), strict=True), 1
        ):
            rows += found
            exact = sum(row["is_exact"] for row in found if row["kind"] == "case")
            print(f"[{done}/{len(units)}] {name} {clip}: {exact} of {len(found) - 1} exact", flush=True)
    return rows, notes


def _run_unit(footage: Path | None, work: Path, unit: tuple[str, str]) -> list[Row]:
    import cv2

    cv2.setNumThreads(1)
    library, name = unit
    journal = Journal(work / f"{library}.{name}.jsonl")
    missing = [attack for attack in ATTACKS if not journal.has(kind="case", attack=attack.name)]
    if missing:
        clip = next(clip for clip in all_clips(footage) if clip.name == name)
        entry = next(entry for entry in ENTRIES if entry.name == library)
        for row in _cases(entry, clip, missing, needs_quality=not journal.has(kind="quality")):
            journal.append(row)
    return journal.rows


def _cases(entry: Entry, clip: Clip, attacks: list[Attack], *, needs_quality: bool) -> Iterator[Row]:
    original, frame_rate = clip.read()
    method = entry.make()
    payload = np.random.default_rng(len(clip.name)).integers(0, 2, method.bits).astype(np.uint8)
    started = time.perf_counter()
    marked = np.stack([method.embed(np.ascontiguousarray(frame[..., ::-1]), payload)[..., ::-1] for frame in original])
    seconds = (time.perf_counter() - started) / len(original)
    about = {"library": entry.name, "clip": clip.name}
    if needs_quality:
        measured = quality.measure(original, marked, frame_rate)
        yield {"kind": "quality", **about, "embed_ms_per_frame": round(1000 * seconds, 1), **vars(measured)}
    sealed = GATE_ENCODE(marked, frame_rate)
    for attack in attacks:
        attacked = sealed if attack is GATE_ENCODE else attack(sealed, frame_rate)
        bits = _vote(method, attacked, original.shape[1:3], every=entry.every, is_mirrored=attack.name == "mirror")
        share = float(np.mean(bits == payload))
        yield {
            "kind": "case",
            **about,
            "attack": attack.name,
            "bit_accuracy": round(share, 4),
            "is_exact": share == 1.0,
        }


def _vote(method: Method, frames: Frames, size: tuple[int, int], *, every: int, is_mirrored: bool) -> Bits:
    """Return what most of the frames say. size: height and width of the original."""
    import cv2

    votes = []
    for frame in frames[::every]:
        upright = frame[:, ::-1] if is_mirrored else frame
        picture = cv2.resize(np.ascontiguousarray(upright[..., ::-1]), size[::-1], interpolation=cv2.INTER_CUBIC)
        votes.append(method.extract(picture))
    return np.asarray(np.mean(votes, axis=0) > 0.5, np.uint8)
