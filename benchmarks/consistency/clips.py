"""The clean clips that faults are put into: real and generated footage where it is at hand, and drawn clips."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from benchmarks.watermark.clips import FOOTAGE
from studio.media.images import fit_image
from studio.media.videos import iter_frames, probe_video

Frames = NDArray[np.uint8]
Kind = Literal["static", "moving", "generated", "animation", "micro"]

NUM_FRAMES = 40
MIN_FRAMES = 25
_PIXELS = 640 * 360
_FASTEST = 30
_NUM_MICRO = 10
_PHOTOGRAPH_SIZE = (512, 288)
_PHOTOGRAPH_RATE = Fraction(24)


@dataclass(frozen=True, kw_only=True, eq=False)
class Footage:
    """What a segment holds.

    frames: (T, H, W, 3) uint8 RGB, T at most 40, sides even. following: (S, H, W, 3) what comes after them in the same
    shot, S from 0 to 40. frame_rate: frames per second, at most 30.
    """

    frames: Frames
    following: Frames
    frame_rate: Fraction


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A stretch of one shot, read when it is needed.

    source: the file it is from; segments of one source are never apart in a test on clips left out.
    has_repeats: it holds true repeats of frames (cadence), so it is not clean for the checks that look for repeats.
    """

    name: str
    source: str
    kind: Kind
    read: Callable[[], Footage]
    has_repeats: bool = False


@dataclass(frozen=True, kw_only=True)
class Excerpt:
    """Stretches of a real file, each (first frame, end of its shot)."""

    file: str
    kind: Kind
    shots: tuple[tuple[int, int], ...]
    source: str = ""
    has_repeats: bool = False


EXCERPTS = (
    Excerpt(file="ai_gen3c_window.mp4", kind="generated", shots=((16, 121), (78, 121))),
    Excerpt(file="ai_ltx2_talk_audio.mp4", kind="generated", shots=((2, 120), (41, 120), (80, 120))),
    Excerpt(file="ai_wan_anime.mp4", kind="generated", shots=((2, 45),)),
    Excerpt(file="ai_wan_cat_16fps.mp4", kind="generated", shots=((0, 29),)),
    Excerpt(file="animation_cuts_fade.webm", kind="animation", shots=((100, 270), (305, 370), (430, 515))),
    Excerpt(file="earth_night_vp9.webm", kind="animation", source="earth_night", shots=((10, 150), (100, 150))),
    Excerpt(file="earth_night_mpeg4.avi", kind="animation", source="earth_night", shots=((55, 150),)),
    Excerpt(file="fast_dog_frisbee.mp4", kind="moving", shots=((20, 289), (120, 289), (215, 289))),
    Excerpt(file="handheld_push_in_frog.mp4", kind="moving", shots=((40, 248), (120, 248), (200, 248))),
    Excerpt(file="old_film_chaplin.mp4", kind="static", shots=((20, 241), (130, 241)), has_repeats=True),
    Excerpt(file="orbit_rabbit_vp8.webm", kind="moving", shots=((30, 234), (110, 234), (185, 234))),
    Excerpt(file="portrait_river_c2pa.mp4", kind="moving", shots=((10, 60),)),
    Excerpt(file="shell_game_cups.mp4", kind="static", shots=((40, 300), (140, 300), (220, 300))),
    Excerpt(file="sign_language_fullrange.mkv", kind="static", shots=((10, 62),)),
    Excerpt(file="speech_cuts_nasa.mp4", kind="static", shots=((20, 126), (155, 201), (230, 325))),
    Excerpt(file="sport_football_juggle.mp4", kind="moving", shots=((10, 247), (100, 247), (190, 247))),
    Excerpt(file="static_bottles.mp4", kind="static", shots=((20, 1189), (185, 1189), (360, 1189))),
    Excerpt(file="static_coffee_pour.mp4", kind="static", shots=((15, 287), (105, 287), (200, 287))),
    Excerpt(file="street_cuts_pans_bikes.mp4", kind="moving", shots=((31, 67), (138, 186), (192, 241))),
    Excerpt(file="talking_face_carphone.mp4", kind="moving", shots=((0, 120), (75, 120))),
    Excerpt(file="talking_face_greenscreen_60fps.mp4", kind="static", shots=((20, 180), (270, 365), (400, 560))),
)


def all_segments(folder: Path | None = None) -> list[Segment]:
    """Return all segments; those of real files only where the files are.

    folder: with the footage; by default ../shared/clips beside the checkout, and none where that is not.
    Raises FileNotFoundError if a folder is named that does not hold the footage.
    """
    footage = folder or (FOOTAGE if FOOTAGE.is_dir() else None)
    if footage is None:
        return [*micro_segments(), *photograph_segments()]
    missing = [item.file for item in EXCERPTS if not (footage / item.file).is_file()]
    if missing:
        raise FileNotFoundError(f"{footage} lacks {', '.join(missing)}; leave --clips out to use drawn clips")
    real = [segment for item in EXCERPTS for segment in _real_segments(footage, item)]
    return [*real, *micro_segments(), *photograph_segments()]


def _real_segments(folder: Path, item: Excerpt) -> Iterator[Segment]:
    source = item.source or Path(item.file).stem
    for first, end in item.shots:
        yield Segment(
            name=f"{Path(item.file).stem}_{first}",
            source=source,
            kind=item.kind,
            read=partial(read_footage, folder / item.file, first, end),
            has_repeats=item.has_repeats,
        )


def read_footage(path: Path, first: int, end: int) -> Footage:
    """Read up to 80 frames of a shot of a file, reduced by a whole factor to about 640x360.

    first, end: frames of the file; above 30 frames per second every second one is taken.
    """
    rate = probe_video(path).frame_rate
    step = max(1, round(rate / _FASTEST))
    images = [
        _reduced(frame.image)
        for frame in islice(iter_frames(path), first, min(end, first + 2 * NUM_FRAMES * step), step)
    ]
    frames = np.stack(images)
    return Footage(frames=frames[:NUM_FRAMES], following=frames[NUM_FRAMES:], frame_rate=rate / step)


def _reduced(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Take the mean of whole blocks and cut to even sides, which an encoder for 4:2:0 wants."""
    import cv2

    height, width = image.shape[:2]
    factor = max(1, round((width * height / _PIXELS) ** 0.5))
    size = (width // factor, height // factor)
    small = image if factor == 1 else cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return np.asarray(small[: size[1] // 2 * 2, : size[0] // 2 * 2], np.uint8)


def micro_segments() -> Iterator[Segment]:
    """Yield clips of the world that the small shipped model was trained on, 128x128, 17 frames, 8 frames per second."""
    from weights.training import world

    scenes = [scene for scene in world.all_scenes() if scene.is_held_out]
    rng = np.random.default_rng(3)
    chosen = [scenes[index] for index in rng.permutation(len(scenes))]
    still = [scene for scene in chosen if scene.motion == "staying still"][:1]
    moving = [scene for scene in chosen if scene.motion != "staying still"][: _NUM_MICRO - 1]
    for index, scene in enumerate([*moving, *still]):
        yield Segment(
            name=f"micro_{index}_{scene.motion.replace(' ', '_')}",
            source="micro_world",
            kind="micro",
            read=partial(_micro, scene, index),
            has_repeats=scene.motion == "staying still",
        )


def _micro(scene: object, seed: int) -> Footage:
    from weights.training import world

    frames = world.render(scene, seed)  # type: ignore[arg-type]
    return Footage(frames=frames, following=frames[:0], frame_rate=Fraction(world.FRAME_RATE))


# Each (file, how far the camera goes to the right and down in shares of the picture, zoom and degrees at the end).
_CAMERA_MOVES = (
    ("astronaut.png", (0.10, 0.0), 1.0, 0.0),
    ("chelsea.png", (0.0, 0.0), 1.15, 0.0),
    ("coffee.png", (0.05, 0.04), 1.05, 2.0),
    ("rocket.jpg", (0.0, -0.12), 1.0, 0.0),
    ("motorcycle_left.png", (-0.12, 0.02), 1.0, 0.0),
    ("camera.png", (0.03, 0.0), 0.9, -1.5),
)


def photograph_segments() -> Iterator[Segment]:
    """Yield camera moves over scikit-image's photographs, 512x288, 40 frames; none where it is not installed."""
    import importlib.util

    found = importlib.util.find_spec("skimage")
    roots = [Path(root) / "data" for root in (found.submodule_search_locations or ())] if found else []
    for file, shift, zoom, degrees in _CAMERA_MOVES:
        for path in (root / file for root in roots if (root / file).is_file()):
            name = f"photograph_{Path(file).stem}"
            yield Segment(name=name, source=name, kind="moving", read=partial(_move, path, shift, zoom, degrees))


def _move(path: Path, shift: tuple[float, float], zoom: float, degrees: float) -> Footage:
    """Let a camera move over a photograph. It is drawn at twice the size, so that no frame is softer than another."""
    import cv2

    from weights.training.photographs import read_picture

    width, height = (2 * side for side in _PHOTOGRAPH_SIZE)
    picture = fit_image(read_picture(path), round(width * 1.3), round(height * 1.3))
    images = []
    for step in np.linspace(0.0, 1.0, 2 * NUM_FRAMES):
        matrix = cv2.getRotationMatrix2D((width * 0.65, height * 0.65), degrees * step, zoom**step)
        matrix[:, 2] -= (width * (0.15 + shift[0] * (step - 0.5)), height * (0.15 + shift[1] * (step - 0.5)))
        large = cv2.warpAffine(picture, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
        images.append(cv2.resize(large, _PHOTOGRAPH_SIZE, interpolation=cv2.INTER_AREA))
    frames = np.stack(images).astype(np.uint8)
    return Footage(frames=frames[:NUM_FRAMES], following=frames[NUM_FRAMES:], frame_rate=_PHOTOGRAPH_RATE)


def donor_of(segment: Segment, segments: Sequence[Segment]) -> Segment:
    """Return the segment whose pictures are put into another: the next one from another source, in the small world
    the next one."""
    start = segments.index(segment)
    for step in range(1, len(segments)):
        other = segments[(start + step) % len(segments)]
        if other.kind == segment.kind == "micro" or ("micro" not in (other.kind, segment.kind) and
                                                      other.source != segment.source):  # fmt: skip
            return other
    return segment


def seeded(*parts: str) -> np.random.Generator:
    """Return a generator that depends on these words alone."""
    return np.random.default_rng(int.from_bytes(hashlib.sha256("|".join(parts).encode()).digest()[:8], "little"))
