"""One small signed file of every kind that the studio makes, and in every format it writes."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from studio.config import PromptPolicy
from studio.export.signer import sign
from studio.provenance.certificates import SigningIdentity
from studio.provenance.manifest import Adapter, Ingredient, Origin, Provenance, build_manifest
from studio.provenance.origin import RECIPES
from studio.provenance.watermark import ALGORITHM, SHORT_BITS, WatermarkRecord

MP4 = "video/mp4"
MARK = WatermarkRecord(ALGORITHM, 0xFEDCBA9876543210, 0.97)
SHORT_MARK = WatermarkRecord(ALGORITHM, 0xC0FFEE, 0.9, SHORT_BITS)
PROMPT = "a lighthouse that nobody may read about"

PROVENANCE = Provenance(
    job_id="20261122-120000-00000001",
    origin=Origin.TEXT_TO_VIDEO,
    task="text-to-video",
    model_id="micro-wan",
    model_name="Micro Wan",
    repository="someone/micro-wan",
    revision="0123abc",
    weights_sha256="ab" * 32,
    pipeline="WanGenerator",
    width=64,
    height=48,
    num_frames=6,
    frame_rate=Fraction(30000, 1001),
    created_at=datetime(2026, 11, 22, 12, 0, tzinfo=UTC),
    studio_version="0.1.0",
    prompt=PROMPT,
    prompt_key="5c" * 32,
    negative_prompt="fog",
    seed=2**63 - 1,
    num_inference_steps=20,
    guidance_scale=3.5,
    options={"shift": 3.0, "tiling": True},
    warnings=("first-frame: 200x100 is scaled to cover 64x48 and cut at the centre",),
    checks=(("flicker", True, 0.91), ("identity", None, None)),
    software={"torch": "2.13.0"},
)
# What ffmpeg and Pillow write, by the ending that makes them do it.
FORMATS = {
    ".mp4": MP4,
    ".mov": "video/quicktime",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".wav": "audio/wav",
    ".webm": "video/webm",
    ".mkv": "video/x-matroska",
}
SIDECAR = (".webm", ".mkv")
_FORMAT_ORIGINS = {
    ".gif": Origin.ANIMATED_PICTURE,
    ".webp": Origin.ANIMATED_PICTURE,
    ".png": Origin.DERIVED_STILL,
    ".jpg": Origin.DERIVED_STILL,
    ".wav": Origin.DERIVED_SOUND,
}


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A signed file. store: its manifest store where that is kept apart from it, None where it is inside."""

    name: str
    path: Path
    mime_type: str
    store: bytes | None = None


class Maker:
    """Makes and signs samples in one folder with one identity."""

    def __init__(self, folder: Path, identity: SigningIdentity) -> None:
        self._folder = folder
        self._identity = identity
        self._plain: dict[str, Path] = {}

    def plain(self, suffix: str = ".mp4") -> Path:
        """Return an unsigned file of six moving frames, or of one, or of sound."""
        if suffix not in self._plain:
            self._plain[suffix] = _write_plain(self._folder / f"plain{suffix}")
        return self._plain[suffix]

    def sample(self, name: str, provenance: Provenance, suffix: str = ".mp4", **more: Any) -> Sample:
        """Sign a plain file. more: arguments of `build_manifest` other than the defaults."""
        manifest = build_manifest(provenance, title=f"{name}{suffix}", **{"watermark": MARK, **more})
        path, mime_type = self._folder / f"{name}{suffix}", FORMATS[suffix]
        store = sign(
            self.plain(suffix),
            path,
            mime_type=mime_type,
            manifest=manifest,
            ingredients=provenance.ingredients,
            identity=self._identity,
            is_embedded=suffix not in SIDECAR,
        )
        return Sample(name=name, path=path, mime_type=mime_type, store=store if suffix in SIDECAR else None)


def kinds(maker: Maker) -> Iterator[Callable[[], Sample]]:
    """Yield a maker of every kind of file, by the table of sources and relationships and by what may be in it."""
    for origin in Origin:
        yield lambda origin=origin: maker.sample(origin.value, _of(origin, maker.sample("parent", PROVENANCE).path))
    for policy in PromptPolicy:
        yield lambda policy=policy: maker.sample(f"prompt_{policy}", replace(PROVENANCE, prompt_policy=policy))
    yield from _marks(maker)
    yield lambda: maker.sample("labelled", replace(PROVENANCE, visible_label="text"))
    yield lambda: maker.sample("adapted", replace(PROVENANCE, adapters=(_ADAPTER,), speed_profile="fast"))
    yield lambda: maker.sample("unsigned_input", _of(Origin.CONDITIONED_VIDEO, maker.plain()))
    yield lambda: _redacted(maker)
    yield lambda: _left_out(maker)
    for suffix in FORMATS:
        yield lambda suffix=suffix: _format(maker, suffix)


_ADAPTER = Adapter(name="grain", sha256="cd" * 32, scale=0.8)


def _of(origin: Origin, *inputs: Path) -> Provenance:
    """Return the provenance of a file of this origin that was made from these files."""
    relationship = RECIPES[origin].relationship
    items = tuple(
        Ingredient(path=path, title=f"input {number}", mime_type=MP4, relationship=relationship, sha256="ef" * 32)
        for number, path in enumerate(inputs, 1)
        if relationship is not None
    )
    return replace(PROVENANCE, origin=origin, ingredients=items)


def _marks(maker: Maker) -> Iterator[Callable[[], Sample]]:
    yield lambda: maker.sample("no_mark", PROVENANCE, watermark=None)
    yield lambda: maker.sample("short_mark", PROVENANCE, watermark=SHORT_MARK)
    yield lambda: maker.sample(
        "inherited_mark",
        _of(Origin.CONVERTED, maker.sample("parent", PROVENANCE).path),
        watermark_is_inherited=True,
    )


def _redacted(maker: Maker) -> Sample:
    """Return a file that may tell nothing of its prompt, made from one that told all, made from another such."""
    told = maker.sample("told", replace(PROVENANCE, prompt_policy=PromptPolicy.FULL))
    second = maker.sample(
        "told_again", replace(_of(Origin.CONDITIONED_VIDEO, told.path), prompt_policy=PromptPolicy.FULL)
    )
    return maker.sample("redacted", replace(_of(Origin.TRIMMED, second.path), prompt_policy=PromptPolicy.NONE))


def _left_out(maker: Maker) -> Sample:
    """Return a file one of whose ingredients brings along a record that was taken out of the other."""
    told = maker.sample("told", replace(PROVENANCE, prompt_policy=PromptPolicy.FULL))
    silent = maker.sample("silent", replace(_of(Origin.CONDITIONED_VIDEO, told.path), prompt_policy=PromptPolicy.NONE))
    return maker.sample("left_out", replace(_of(Origin.TIMELINE, told.path, silent.path)))


def _format(maker: Maker, suffix: str) -> Sample:
    origin = _FORMAT_ORIGINS.get(suffix)
    if origin is None:
        return maker.sample(f"as_{suffix[1:]}", PROVENANCE, suffix)
    provenance = replace(_of(origin, maker.sample("parent", PROVENANCE).path), is_resized=suffix == ".gif")
    mark = {"watermark": None} if suffix == ".wav" else {}
    return maker.sample(f"as_{suffix[1:]}", provenance, suffix, **mark)


def _write_plain(path: Path) -> Path:
    rng = np.random.default_rng(0)
    still = rng.integers(0, 256, (6, 8, 3), np.uint8).repeat(8, axis=0).repeat(8, axis=1)
    frames = [np.roll(still, 3 * index, axis=1) for index in range(6)]
    if path.suffix in (".png", ".jpg"):
        Image.fromarray(frames[0]).save(path)
    elif path.suffix == ".webp":
        first, *others = (Image.fromarray(frame) for frame in frames)
        first.save(path, save_all=True, append_images=others, duration=80)
    elif path.suffix == ".wav":
        _ffmpeg("-f", "lavfi", "-i", "sine=duration=0.1", str(path))
    else:
        raw = b"".join(frame.tobytes() for frame in frames)
        _ffmpeg("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "64x48", "-r", "12", "-i", "-", str(path), stdin=raw)
    return path


def _ffmpeg(*arguments: str, stdin: bytes | None = None) -> None:
    import imageio_ffmpeg

    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *arguments]
    subprocess.run(command, input=stdin, check=True, timeout=60)
