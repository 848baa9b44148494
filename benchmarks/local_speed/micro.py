"""The small models end to end, from request to frames: stock diffusers beside the studio's generator. Imports torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import diffusers
import numpy as np
import torch
from PIL import Image

from benchmarks.local_speed.pairing import as_it_is, in_turns, ratio, summary
from pipelines.local import LocalGenerator
from studio.app import Studio
from studio.config import Settings
from studio.media import fit_image, read_image
from studio.request import Conditioning, GenerationRequest, ResolvedRequest, Role, Task
from studio.weights import WeightStore

LEAST_TIMES, MOST_LEVELS = 1.5, 1
Frames = np.ndarray[Any, np.dtype[np.uint8]]


class SilentRun:
    """A run that nobody watches and nothing is kept of."""

    def __init__(self, workdir: Path) -> None:
        self.workdir = workdir

    def progress(self, done: int, total: int, preview: Any = None) -> None: ...

    def stage(self, name: str, detail: str = "") -> None: ...

    def raise_if_canceled(self) -> None: ...

    def keep(self, stage: str, content: bytes) -> None: ...

    def kept(self, stage: str) -> bytes | None:  # noqa: ARG002
        return None

    def wants_checkpoint(self) -> bool:
        return False

    def save_operation(self, operation: Mapping[str, Any]) -> None: ...

    def forget_operation(self) -> None: ...

    def note(self, text: str) -> None: ...

    def bill(self, cost: Any, *, units: float | None = None, unit: str = "") -> None: ...


@dataclass(frozen=True, kw_only=True)
class Case:
    """A model, a task, and the class and arguments of the stock pipeline that does the same as a resolved request."""

    model: str
    task: Task
    stock_class: str
    arguments: Callable[[ResolvedRequest], dict[str, Any]]
    prompt: str = ""

    @property
    def name(self) -> str:
        return f"{self.model}, {self.task.value}"


def _svd_arguments(resolved: ResolvedRequest) -> dict[str, Any]:
    options = resolved.options
    scale = resolved.guidance_scale or 1.0
    return {
        "image": _picture(resolved),
        "min_guidance_scale": min(float(options["min_guidance_scale"]), scale),
        "max_guidance_scale": scale,
        "fps": round(resolved.frame_rate),
        "motion_bucket_id": options["motion_bucket_id"],
        "noise_aug_strength": options["noise_aug_strength"],
        "decode_chunk_size": resolved.num_frames,
    }


def _wan_arguments(resolved: ResolvedRequest) -> dict[str, Any]:
    return {
        "prompt": resolved.prompt,
        "negative_prompt": resolved.negative_prompt,
        "guidance_scale": resolved.guidance_scale,
        "max_sequence_length": 16,
        **({"image": _picture(resolved)} if resolved.conditionings else {}),
    }


PROMPT = "a green triangle growing on a brown background"
CASES = (
    Case(
        model="micro-svd",
        task=Task.IMAGE_TO_VIDEO,
        stock_class="StableVideoDiffusionPipeline",
        arguments=_svd_arguments,
    ),
    Case(
        model="micro-wan",
        task=Task.TEXT_TO_VIDEO,
        stock_class="WanPipeline",
        arguments=_wan_arguments,
        prompt=PROMPT,
    ),
    Case(
        model="micro-wan",
        task=Task.IMAGE_TO_VIDEO,
        stock_class="WanImageToVideoPipeline",
        arguments=_wan_arguments,
        prompt=PROMPT,
    ),
)


def measure(case: Case, *, rounds: int, num_steps: int | None = None) -> dict[str, Any]:
    """Time both sides in turns, with everything loaded and warm. num_steps: of the model's row where None."""
    with TemporaryDirectory(prefix="local-speed-") as folder:
        studio = Studio(Settings(home=Path(folder), database_url=None, device="cpu"))
        generator = studio.registry.generator(case.model)
        assert isinstance(generator, LocalGenerator)
        resolved = generator.resolve(_request(case, Path(folder), num_steps))
        with generator.session(), _stock(case, generator) as pipeline:
            works: dict[str, Callable[[], Frames]] = {
                "stock": lambda: _by_stock(case, pipeline, resolved),
                "ours": lambda: np.asarray(generator.generate(resolved, SilentRun(Path(folder))).frames),
            }
            levels = int(np.abs(works["ours"]().astype(int) - works["stock"]()).max())
            turns = {name: as_it_is(work) for name, work in works.items()}
            found = in_turns(turns, rounds=rounds, warm_ups=1, device=torch.device("cpu"))
    faster = ratio(found["stock"], found["ours"])
    return {
        "section": "micro",
        "name": case.name,
        "clip": f"{resolved.num_frames} frames of {resolved.width}x{resolved.height}",
        "num_steps": resolved.num_inference_steps,
        "stock": summary(found["stock"]),
        "ours": summary(found["ours"]),
        "times_faster": faster,
        "most_levels_apart": levels,
        "is_met": faster >= LEAST_TIMES and levels <= MOST_LEVELS,
    }


@contextmanager
def _stock(case: Case, generator: LocalGenerator) -> Iterator[Any]:
    folder = WeightStore(generator.settings).locate(generator.spec)
    pipeline = getattr(diffusers, case.stock_class).from_pretrained(folder, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    yield pipeline


def _by_stock(case: Case, pipeline: Any, resolved: ResolvedRequest) -> Frames:
    frames = pipeline(
        height=resolved.height,
        width=resolved.width,
        num_frames=resolved.num_frames,
        num_inference_steps=resolved.num_inference_steps,
        generator=torch.Generator().manual_seed(resolved.seed),
        output_type="np",
        **case.arguments(resolved),
    ).frames[0]
    return np.asarray((frames * 255).round().clip(0, 255).astype(np.uint8))


def _request(case: Case, folder: Path, num_steps: int | None) -> GenerationRequest:
    conditionings: tuple[Conditioning, ...] = ()
    if case.task is Task.IMAGE_TO_VIDEO:
        # A picture with edges: on a smooth one small differences would not show.
        side = np.indices((128, 128)).sum(0) // 16 % 2 * 200
        pixels = np.stack([side, np.flip(side, 0), np.full_like(side, 90)], -1).astype(np.uint8)
        Image.fromarray(pixels).save(folder / "picture.png")
        conditionings = (Conditioning(role=Role.FIRST_FRAME, path=folder / "picture.png"),)
    return GenerationRequest(
        model=case.model,
        task=case.task,
        prompt=case.prompt,
        seed=11,
        num_inference_steps=num_steps,
        conditionings=conditionings,
    )


def _picture(resolved: ResolvedRequest) -> Image.Image:
    conditioning = resolved.conditionings[0]
    return Image.fromarray(fit_image(read_image(conditioning.path), resolved.width, resolved.height))
