"""Real certificates, real C2PA, real H.264: tiny clips made by the same ffmpeg that the studio ships."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from studio.export.signer import sign
from studio.provenance.certificates import SigningIdentity, load_or_create
from studio.provenance.manifest import Ingredient, Origin, Provenance, build_manifest
from studio.provenance.origin import RECIPES
from studio.provenance.watermark import ALGORITHM, WatermarkRecord

Frame = NDArray[np.uint8]
SignedFile = Callable[..., Path]

MARK = WatermarkRecord(ALGORITHM, 0xFEDCBA9876543210, 0.97)
PROMPT = "a zebra nobody may know about"
PROVENANCE = Provenance(
    job_id="job-1",
    origin=Origin.TEXT_TO_VIDEO,
    task="text-to-video",
    model_id="micro-wan",
    model_name="Micro Wan",
    repository="someone/micro-wan",
    revision="0123abc",
    weights_sha256="ab" * 32,
    pipeline="MicroWanGenerator",
    width=128,
    height=128,
    num_frames=17,
    frame_rate=Fraction(30000, 1001),
    created_at=datetime(2026, 11, 22, 12, 0, tzinfo=UTC),
    studio_version="0.1.0",
    prompt=PROMPT,
    prompt_key="5c" * 32,
    negative_prompt="blurry stripes",
    seed=2**63 - 1,
    num_inference_steps=20,
    guidance_scale=3.5,
    options={"shift": 3.0, "tiling": True},
    warnings=("frames were rounded by nobody",),
    checks=(("flicker", True, 0.91), ("identity", None, None)),
    software={"torch": "2.13.0"},
)


def run_ffmpeg(*arguments: str, stdin: bytes | None = None) -> None:
    """Run the bundled ffmpeg on one thread."""
    import imageio_ffmpeg

    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *arguments]
    subprocess.run(command, input=stdin, check=True, timeout=60)


@contextmanager
def counting_server() -> Iterator[tuple[str, list[int]]]:
    """A server on this machine that counts who comes and answers nobody: (its address, calls)."""
    calls: list[int] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    calls.append(1)
                    connection.close()

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}", calls
        server.shutdown(socket.SHUT_RDWR)
        thread.join(timeout=5)


def encode(frames: Sequence[Frame], path: Path, *, crf: int = 16, filters: str = "null") -> Path:
    """Encode as the gate does: libx264, yuv420p, faststart."""
    height, width = frames[0].shape[:2]
    source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", "12", "-i", "-"]
    codec = ["-vf", filters, "-c:v", "libx264", "-crf", str(crf), "-pix_fmt", "yuv420p", "-threads", "1"]
    run_ffmpeg(*source, *codec, "-movflags", "+faststart", str(path), stdin=b"".join(f.tobytes() for f in frames))
    return path


def decode(path: Path) -> list[Frame]:
    """Return all frames. -> list of (H, W, 3) uint8 RGB."""
    import av

    with av.open(str(path)) as container:
        return [np.asarray(frame.to_ndarray(format="rgb24"), np.uint8) for frame in container.decode(video=0)]


def provenance_of(origin: Origin, *, parent: Path, mime_type: str = "video/mp4") -> Provenance:
    """Return a provenance of this origin, with `parent` as its ingredient where it needs one."""
    relationship = RECIPES[origin].relationship
    if relationship is None:
        return replace(PROVENANCE, origin=origin)
    ingredient = Ingredient(path=parent, title="parent", mime_type=mime_type, relationship=relationship)
    return replace(PROVENANCE, origin=origin, ingredients=(ingredient,))


@pytest.fixture(scope="session")
def identity(tmp_path_factory: pytest.TempPathFactory) -> SigningIdentity:
    return load_or_create(tmp_path_factory.mktemp("identity"))


@pytest.fixture(scope="session")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> SigningIdentity:
    return load_or_create(tmp_path_factory.mktemp("stranger"))


@pytest.fixture(scope="session")
def unsigned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A 128x128 clip of 8 frames without any record."""
    rng = np.random.default_rng(0)
    still = rng.integers(0, 256, (16, 16, 3), np.uint8).repeat(8, axis=0).repeat(8, axis=1)
    frames = [np.roll(still, 3 * index, axis=1) for index in range(8)]
    return encode(frames, tmp_path_factory.mktemp("clips") / "unsigned.mp4")


@pytest.fixture
def signed_file(tmp_path: Path, unsigned: Path, identity: SigningIdentity) -> SignedFile:
    """A function that signs a file: ``signed_file(provenance=..., source=..., mime_type=..., by=...)``."""

    def make(
        provenance: Provenance = PROVENANCE,
        *,
        source: Path = unsigned,
        mime_type: str = "video/mp4",
        by: SigningIdentity = identity,
        name: str = "signed.mp4",
        **more: Any,
    ) -> Path:
        manifest = build_manifest(provenance, title=name, watermark=MARK)
        destination = tmp_path / name
        sign(
            source,
            destination,
            mime_type=mime_type,
            manifest=manifest,
            ingredients=provenance.ingredients,
            identity=by,
            **more,
        )
        return destination

    return make
