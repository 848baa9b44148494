"""Wan VACE: one model for clips after reference pictures, a controlling video, or the pictures they begin and end with.

VACE: All-in-One Video Creation and Editing, arXiv 2503.07598. Pictures that are given stand in a grey video with a
mask over what is to be made (section 3.2).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pipelines.rehearsal import Outline
from pipelines.source_video import remarks_on_source, source_frames
from pipelines.wan import WanGenerator
from studio.media import read_image
from studio.request import ResolvedRequest, Role, Task

if TYPE_CHECKING:
    import PIL.Image
    import torch

# What diffusers' documentation stands in for frames that are to be made.
GREY = (128, 128, 128)
GIVEN, TO_BE_MADE = 0, 255


class WanVaceGenerator(WanGenerator):
    """Serves the VACE checkpoints in the diffusers layout.

    A source video is made anew as a whole under its control: a video of depth, poses, edges, layout or grey tones.
    Row option: conditioning_scale (how strongly pictures or video steer). Else as `WanGenerator`.
    """

    classes = dict.fromkeys(
        (
            Task.REFERENCE_TO_VIDEO,
            Task.IMAGE_TO_VIDEO,
            Task.FIRST_LAST_FRAME_TO_VIDEO,
            Task.VIDEO_TO_VIDEO,
        ),
        "WanVACEPipeline",
    )

    def _decode(self, pipeline: Any, latents: Any, resolved: ResolvedRequest) -> Iterator[torch.Tensor]:
        """Decode all but the reference pictures, which lie before the clip. latents: (1, C, references + T, h, w)."""
        return super()._decode(pipeline, latents[:, :, _number_of_references(resolved) :], resolved)

    def _outline(self, pipeline: Any, resolved: ResolvedRequest, dtype: Any) -> Outline:
        import torch

        # Each reference takes a latent frame of its own, which is as many frames as the VAE makes into one.
        factor = pipeline.vae.config.scale_factor_temporal
        longer = replace(resolved, num_frames=resolved.num_frames + factor * _number_of_references(resolved))
        outline = super()._outline(pipeline, longer, dtype)
        denoiser = pipeline.transformer if pipeline.transformer is not None else pipeline.transformer_2
        seen = outline.call["hidden_states"].shape[2:]
        with torch.device("meta"):
            control = {
                "control_hidden_states": torch.empty(1, denoiser.config.vace_in_channels, *seen, dtype=dtype),
                "control_hidden_states_scale": torch.empty(len(denoiser.config.vace_layers), dtype=dtype),
            }
        return replace(outline, call={**outline.call, **control})

    @contextmanager
    def _conditioned(self, pipeline: Any, embeddings: Mapping[str, Any], resolved: ResolvedRequest) -> Iterator[None]:  # noqa: ARG002
        # One scale for each layer is no batch: the branches of guidance stay apart.
        yield

    def _number_of_steps(self, resolved: ResolvedRequest) -> int:
        return resolved.num_inference_steps or 1

    def _warnings(self, resolved: ResolvedRequest) -> tuple[str, ...]:
        return remarks_on_source(resolved) if resolved.task is Task.VIDEO_TO_VIDEO else ()

    def _material(self, resolved: ResolvedRequest) -> dict[str, Any]:
        common = {
            "num_frames": resolved.num_frames,
            "conditioning_scale": float(resolved.options["conditioning_scale"]),
        }
        if resolved.task is Task.REFERENCE_TO_VIDEO:
            return {**common, "reference_images": _references(resolved)}
        if resolved.task is Task.VIDEO_TO_VIDEO:
            return {**common, "video": source_frames(resolved)}
        video, mask = _with_gap(resolved, self._first_frame(resolved), self._last_frame(resolved))
        return {**common, "video": video, "mask": mask}


def _number_of_references(resolved: ResolvedRequest) -> int:
    return len(resolved.all_of(Role.REFERENCE))


def _references(resolved: ResolvedRequest) -> list[PIL.Image.Image]:
    from PIL import Image

    return [Image.fromarray(read_image(item.path)) for item in resolved.all_of(Role.REFERENCE)]


def _with_gap(resolved: ResolvedRequest, first: Any, last: Any) -> tuple[list[Any], list[Any]]:
    """Return the clip's frames with grey where one is to be made, and masks that say which. last: None if not given."""
    from PIL import Image

    size = (resolved.width, resolved.height)
    given, made = (Image.new("L", size, level) for level in (GIVEN, TO_BE_MADE))
    end = [] if last is None else [last]
    missing = resolved.num_frames - 1 - len(end)
    video = [first, *[Image.new("RGB", size, GREY)] * missing, *end]
    return video, [given, *[made] * missing, *[given] * len(end)]
