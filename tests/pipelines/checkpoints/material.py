"""The media of a request as the stock pipelines are given them in the tests."""

from __future__ import annotations

from typing import Any

import numpy as np
import PIL.Image

from pipelines.source_video import source_frames
from studio.media import fit_image, read_image
from studio.request import ResolvedRequest, Role


def picture(resolved: ResolvedRequest, role: Role) -> PIL.Image.Image:
    """Return a picture of the request, cut to the clip's size."""
    item = resolved.conditioning(role)
    assert item is not None
    return PIL.Image.fromarray(fit_image(read_image(item.path), resolved.width, resolved.height))


def references(resolved: ResolvedRequest) -> list[PIL.Image.Image]:
    """Return the reference pictures as they are."""
    return [PIL.Image.fromarray(read_image(item.path)) for item in resolved.all_of(Role.REFERENCE)]


def video(resolved: ResolvedRequest) -> list[PIL.Image.Image]:
    """Return the frames of the source video."""
    return source_frames(resolved)


def loaded(class_name: str, folder: Any, **settings: Any) -> Any:
    """Return the stock pipeline of a folder in float32. settings: to be changed in its scheduler."""
    import diffusers
    import torch

    pipeline = getattr(diffusers, class_name).from_pretrained(folder, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.scheduler.register_to_config(**settings)
    return pipeline


def common(resolved: ResolvedRequest, rng: Any) -> dict[str, Any]:
    """Return the arguments that nearly all pipelines take."""
    return {
        "prompt": resolved.prompt,
        "negative_prompt": resolved.negative_prompt,
        "height": resolved.height,
        "width": resolved.width,
        "num_inference_steps": resolved.num_inference_steps,
        "guidance_scale": resolved.guidance_scale,
        "generator": rng,
        "output_type": "np",
    }


def clip(output: Any) -> np.ndarray[Any, Any]:
    """Return the frames of a pipeline's output, (T, H, W, 3) in [0, 1]."""
    frames: np.ndarray[Any, Any] = np.asarray(output.frames[0])
    return frames
