"""Odd and broken videos, each made on the spot and the same every time."""

from __future__ import annotations

import random
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av

from tests.studio.media_files import Images, ffmpeg, pan, tone, write_mp4

SOUND = ("-f", "lavfi", "-i", "sine=440:duration=1:sample_rate=44100")
PICTURE = ("-f", "lavfi", "-i", "testsrc2=size=96x64:rate=24:duration=1")

# Name of a small whole clip -> ffmpeg's arguments for its codecs.
WHOLE = {
    "clip.mp4": ("-c:v", "libx264", "-c:a", "aac", "-movflags", "+faststart"),
    "clip.mov": ("-c:v", "mpeg4", "-c:a", "aac"),
    "clip.mkv": ("-c:v", "libx264", "-c:a", "aac"),
    "clip.webm": ("-c:v", "libvpx-vp9", "-cpu-used", "8", "-c:a", "libopus"),
    "clip.avi": ("-c:v", "mpeg4", "-c:a", "libmp3lame"),
    "clip.ts": ("-c:v", "libx264", "-c:a", "aac"),
    "clip.flv": ("-c:v", "flv1", "-c:a", "libmp3lame"),
    "clip.gif": ("-an",),
}


def whole(folder: Path, name: str) -> Path:
    """Write one of the `WHOLE` clips: a second of 96x64 at 24 frames per second, with sound where the format has it."""
    ffmpeg(*PICTURE, *SOUND, *WHOLE[name], folder / name)
    return folder / name


def uneven(path: Path, frames: Images, times_ms: list[int]) -> Path:
    """Write frames that are shown at these times, in milliseconds."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(25))
        stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        for image, time_ms in zip(frames, times_ms, strict=True):
            frame = av.VideoFrame.from_ndarray(image, "rgb24")
            frame.pts, frame.time_base = time_ms, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def changing_size(folder: Path) -> Path:
    """Write a transport stream whose picture is larger in its second half."""
    parts = []
    for size in ("96x64", "128x96"):
        part = folder / f"{size}.ts"
        ffmpeg("-f", "lavfi", "-i", f"testsrc2=size={size}:rate=24:duration=0.5", "-c:v", "libx264", part)
        parts.append(part.read_bytes())
    path = folder / "changing.ts"
    path.write_bytes(b"".join(parts))
    return path


def with_sound(path: Path, seconds: float = 2.0, **options: float) -> Path:
    """Write two seconds of a pan with a tone of so many seconds."""
    return write_mp4(path, pan(48), audio=tone(seconds, **options))  # type: ignore[arg-type]


def broken(folder: Path) -> Iterator[Path]:
    """Write 200 broken files made from the whole clips: cut, flipped, wiped, with a stranger's head, misnamed."""
    rng = random.Random(20_26)
    clips = {name: whole(folder, name).read_bytes() for name in WHOLE}
    for name, data in clips.items():
        for number, content in enumerate(_variants(data, list(clips.values()), rng)):
            path = folder / f"broken-{number:02}-{name}"
            path.write_bytes(content)
            yield path
        other = folder / f"misnamed-{name}{'.avi' if name.endswith('.mp4') else '.mp4'}"
        other.write_bytes(data)
        yield other


def _variants(data: bytes, all_clips: list[bytes], rng: random.Random) -> Iterator[bytes]:
    """Yield 24 broken versions."""
    size = len(data)
    for share in (0.02, 0.1, 0.3, 0.5, 0.8, 0.97):
        yield data[: int(size * share)]
    for count in (1, 2, 4, 16, 64, 256):
        flipped = bytearray(data)
        for _ in range(count):
            flipped[rng.randrange(size)] ^= 1 << rng.randrange(8)
        yield bytes(flipped)
    for length in (16, 256, 2048, size // 4):
        start = rng.randrange(max(1, size - length))
        yield data[:start] + bytes(length) + data[start + length :]
    for head in (16, 200, 1024):
        yield rng.choice(all_clips)[:head] + data[head:]
    for _ in range(4):
        start = rng.randrange(min(size - 4, 4096))
        yield data[:start] + b"\xff\xff\xff\xff" + data[start + 4 :]
    yield data[size // 2 :] + data[: size // 2]
