"""The clips that are marked and attacked: real and generated footage where it is at hand, drawn clips otherwise."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from studio.media.images import fit_image, read_image
from studio.media.videos import iter_frames, probe_video

Frames = NDArray[np.uint8]

REPOSITORY = Path(__file__).resolve().parents[2]
FOOTAGE = REPOSITORY.parent / "shared" / "clips"
NUM_FRAMES = 25
_RATE = Fraction(25)


@dataclass(frozen=True, kw_only=True)
class Clip:
    """A clip that is made when it is needed.

    name: of its source. group: "main" or "small". read: gives the frames (T, H, W, 3) uint8 RGB and frames per second.
    """

    name: str
    group: str
    read: Callable[[], tuple[Frames, Fraction]]


@dataclass(frozen=True, kw_only=True)
class Excerpt:
    """Frames of a real file. offset: the first frame taken. size: width and height, None for the file's own."""

    file: str
    offset: int
    size: tuple[int, int] | None


MAIN_EXCERPTS = (
    Excerpt(file="street_cuts_pans_bikes.mp4", offset=40, size=(512, 288)),
    Excerpt(file="ai_gen3c_window.mp4", offset=30, size=(1024, 576)),
    Excerpt(file="ai_wan_anime.mp4", offset=10, size=(832, 480)),
    Excerpt(file="portrait_river_c2pa.mp4", offset=10, size=(576, 1024)),
    Excerpt(file="animation_cuts_fade.webm", offset=60, size=(1024, 576)),
    Excerpt(file="static_bottles.mp4", offset=100, size=(512, 288)),
    Excerpt(file="static_coffee_pour.mp4", offset=60, size=(1024, 576)),
    Excerpt(file="ai_ltx2_talk_audio.mp4", offset=40, size=(832, 480)),
    Excerpt(file="ai_wan_cat_16fps.mp4", offset=2, size=(832, 480)),
    Excerpt(file="earth_night_vp9.webm", offset=60, size=(512, 288)),
    Excerpt(file="fast_dog_frisbee.mp4", offset=60, size=(704, 400)),
    Excerpt(file="handheld_push_in_frog.mp4", offset=100, size=(704, 400)),
    Excerpt(file="old_film_chaplin.mp4", offset=60, size=(704, 400)),
    Excerpt(file="ai_failed_noise.mp4", offset=40, size=(512, 288)),
)
SMALL_EXCERPTS = (
    Excerpt(file="speech_cuts_nasa.mp4", offset=40, size=None),
    Excerpt(file="talking_face_carphone.mp4", offset=40, size=None),
    Excerpt(file="orbit_rabbit_vp8.webm", offset=100, size=None),
)


def all_clips(folder: Path | None = None) -> list[Clip]:
    """Return the clips of both groups.

    folder: with the real footage; by default ../shared/clips beside the checkout. Where it is not, clips are drawn.
    Raises FileNotFoundError if a folder is named that does not hold the footage.
    """
    footage = folder or (FOOTAGE if FOOTAGE.is_dir() else None)
    if footage is None:
        return [*drawn_clips(), *packaged_clips()]
    missing = [item.file for item in (*MAIN_EXCERPTS, *SMALL_EXCERPTS) if not (footage / item.file).is_file()]
    if missing:
        raise FileNotFoundError(f"{footage} lacks {', '.join(missing)}; leave --clips out to use drawn clips")
    return [
        *(_real_clip(footage, item, "main") for item in MAIN_EXCERPTS),
        *(_real_clip(footage, item, "small") for item in SMALL_EXCERPTS),
        *packaged_clips(),
    ]


def _real_clip(folder: Path, item: Excerpt, group: str) -> Clip:
    return Clip(
        name=Path(item.file).stem, group=group, read=partial(read_excerpt, folder / item.file, item.offset, item.size)
    )


def read_excerpt(
    path: Path, offset: int, size: tuple[int, int] | None, num_frames: int = NUM_FRAMES
) -> tuple[Frames, Fraction]:
    """Return frames from `offset` on, scaled to cover `size` (width, height) and cut at the centre."""
    images = [frame.image for frame in islice(iter_frames(path), offset, offset + num_frames)]
    if size is None:  # an encoder for 4:2:0 wants even sides
        size = (images[0].shape[1] // 2 * 2, images[0].shape[0] // 2 * 2)
    return np.stack([fit_image(image, *size) for image in images]), probe_video(path).frame_rate


def packaged_clips() -> Iterator[Clip]:
    """Clips of 128 x 128 pixels by the models that ship; none where they cannot run."""
    weights = REPOSITORY / "weights"
    if importlib.util.find_spec("diffusers") is None:
        return
    if (weights / "micro-wan" / "model_index.json").exists():
        yield Clip(name="micro_wan_128", group="small", read=partial(_quietly, _micro_wan, weights / "micro-wan"))
    photograph = _photographs().get("coffee")
    if photograph is not None and (weights / "micro-svd" / "model_index.json").exists():
        yield Clip(
            name="micro_svd_128", group="small", read=partial(_quietly, _micro_svd, weights / "micro-svd", photograph)
        )


def _quietly(make: Callable[..., tuple[Frames, Fraction]], *arguments: Path) -> tuple[Frames, Fraction]:
    """Make a clip without the model library's progress bars, which would drown the benchmark's own lines."""
    with redirect_stderr(io.StringIO()):
        return make(*arguments)


def _micro_wan(model: Path) -> tuple[Frames, Fraction]:
    import torch

    from benchmarks.micro_models import wan
    from weights.training import world

    pipeline, _ = wan.load_pipelines(model)
    settings = wan.SamplingSettings()
    frames = pipeline(
        "a large yellow star moving right on a navy background",
        height=world.HEIGHT,
        width=world.WIDTH,
        num_frames=world.NUM_FRAMES,
        num_inference_steps=settings.num_inference_steps,
        guidance_scale=settings.guidance_scale,
        generator=torch.Generator().manual_seed(7),
        output_type="np",
    ).frames[0]
    return np.rint(np.clip(frames, 0, 1) * 255).astype(np.uint8), Fraction(8)


def _micro_svd(model: Path, photograph: Path) -> tuple[Frames, Fraction]:
    from benchmarks.micro_models import photographs
    from weights.training.photograph_clips import SIZE

    image = fit_image(read_image(photograph), SIZE, SIZE)
    pipeline = photographs.load_pipeline(model)
    settings = photographs.SamplingSettings()
    frames = photographs.animate(pipeline, image, motion_bucket_id=200, seed=7, settings=settings)
    return frames, Fraction(7)


def drawn_clips() -> Iterator[Clip]:
    """Clips for a checkout alone: pans over photographs of scikit-image, flat animation, textures, a static shot."""
    for index, (name, path) in enumerate(sorted(_photographs().items())):
        size = ((512, 288), (704, 400), (832, 480), (1024, 576), (576, 1024))[index % 5]
        yield Clip(name=f"pan_{name}", group="main", read=partial(_pan, path, size))
    yield Clip(name="flat_animation", group="main", read=partial(_flat_animation, (1024, 576)))
    yield Clip(name="flat_animation_dark", group="main", read=partial(_flat_animation, (512, 288), 0.25))
    yield Clip(name="drifting_clouds", group="main", read=partial(_clouds, (832, 480), 12.0, 2))
    yield Clip(name="static_texture", group="main", read=partial(_clouds, (704, 400), 2.0, 0))
    yield Clip(name="fine_noise", group="main", read=partial(_clouds, (512, 288), 0.6, 5))
    yield Clip(name="flat_animation_small", group="small", read=partial(_flat_animation, (176, 144)))
    yield Clip(name="drifting_clouds_small", group="small", read=partial(_clouds, (320, 180), 5.0, 1))


def _photographs() -> dict[str, Path]:
    found = importlib.util.find_spec("skimage")
    if found is None or not found.submodule_search_locations:
        return {}
    data = Path(found.submodule_search_locations[0]) / "data"
    names = ("astronaut.png", "chelsea.png", "coffee.png", "motorcycle_left.png", "rocket.jpg")
    return {Path(name).stem: data / name for name in names if (data / name).is_file()}


def _pan(path: Path, size: tuple[int, int]) -> tuple[Frames, Fraction]:
    """Move a window over a photograph and in, by parts of a pixel."""
    import cv2

    width, height = size
    image = fit_image(read_image(path), round(width * 1.3), round(height * 1.3))
    frames = []
    for step in np.linspace(0.0, 1.0, NUM_FRAMES):
        zoom = 1.0 + 0.1 * step
        matrix = np.array([[zoom, 0, -0.2 * width * step], [0, zoom, -0.1 * height * step]])
        frames.append(cv2.warpAffine(image, matrix, size, flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REFLECT))
    return np.stack(frames).astype(np.uint8), _RATE


def _flat_animation(size: tuple[int, int], light: float = 1.0) -> tuple[Frames, Fraction]:
    """Draw flat shapes with hard outlines that move over a soft sky."""
    import cv2

    width, height = size
    top, bottom = np.array([120, 180, 240.0]), np.array([230, 240, 250.0])
    ramp = np.linspace(0, 1, height)[:, None, None]
    sky = np.broadcast_to(top * (1 - ramp) + bottom * ramp, (height, width, 3))
    frames = []
    for step in np.linspace(0.0, 1.0, NUM_FRAMES):
        frame = np.ascontiguousarray(sky.astype(np.uint8))
        cv2.rectangle(frame, (0, round(height * 0.7)), (width, height), (90, 170, 80), -1)
        for index, colour in enumerate(((220, 60, 50), (250, 200, 40), (70, 60, 160))):
            middle = (round(width * (0.15 + 0.3 * index + 0.1 * step)), round(height * (0.45 + 0.1 * index)))
            radius = round(height * (0.12 + 0.03 * index))
            cv2.circle(frame, middle, radius, colour, -1, cv2.LINE_AA)
            cv2.circle(frame, middle, radius, (20, 20, 30), max(height // 150, 1), cv2.LINE_AA)
        frames.append((frame * light).astype(np.uint8))
    return np.stack(frames), _RATE


def _clouds(size: tuple[int, int], sigma: float, speed: int) -> tuple[Frames, Fraction]:
    """Smooth coloured noise. sigma: pixels. speed: pixels a frame to the left."""
    import cv2

    width, height = size
    rng = np.random.default_rng(11)
    noise = rng.standard_normal((height, width + speed * NUM_FRAMES, 3)).astype(np.float32)
    field = cv2.GaussianBlur(noise, (0, 0), sigma)
    image = np.clip(128 + 45 * field / field.std(), 0, 255).astype(np.uint8)
    return np.stack([image[:, step * speed : step * speed + width] for step in range(NUM_FRAMES)]), _RATE
