"""The stock pipeline of Stable Video Diffusion, telling where one stage ends and the next begins. Imports torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from diffusers import StableVideoDiffusionPipeline
from PIL import Image
from transformers import CLIPImageProcessor

IMAGE_ENCODING, VAE_ENCODING, STEP, DECODING = "image encoding", "VAE encoding", "step", "decoding"


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Of a clip: pixels and frames."""

    width: int = 1024
    height: int = 576
    num_frames: int = 25

    def __str__(self) -> str:
        return f"{self.num_frames} frames of {self.width}x{self.height}"


class Marks(Protocol):
    """Who is told of stages. skip: what came since the last end belongs to none."""

    def end(self, name: str) -> None: ...

    def skip(self) -> None: ...


class StagedPipeline(StableVideoDiffusionPipeline):  # type: ignore[misc]
    """The stock pipeline with marks. latents: of the last step."""

    stages: Marks
    latents: Any = None

    def _encode_image(self, *given: Any, **named: Any) -> Any:
        self.stages.skip()
        found = super()._encode_image(*given, **named)
        self.stages.end(IMAGE_ENCODING)
        return found

    def _encode_vae_image(self, *given: Any, **named: Any) -> Any:
        found = super()._encode_vae_image(*given, **named)
        self.stages.end(VAE_ENCODING)
        return found

    def end_of_step(self, _pipeline: Any, _index: int, _timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        """End a stage; a step callback."""
        self.latents = tensors["latents"]
        self.stages.end(STEP)
        return {}


def run(pipeline: StagedPipeline, shape: Shape, *, num_steps: int, **options: Any) -> Any:
    """Call the pipeline on a picture. Returns what it returns as frames."""
    return pipeline(
        Image.linear_gradient("L").convert("RGB").resize((shape.width, shape.height)),
        height=shape.height,
        width=shape.width,
        num_frames=shape.num_frames,
        num_inference_steps=num_steps,
        callback_on_step_end=pipeline.end_of_step,
        **options,
    ).frames


def picture_processor() -> Any:
    """Return what prepares pictures for the image encoder."""
    return CLIPImageProcessor(size={"shortest_edge": 224}, crop_size={"height": 224, "width": 224})
