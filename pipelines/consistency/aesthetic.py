"""Aesthetic quality as VBench defines it: LAION's linear predictor on CLIP ViT-L/14."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pipelines.consistency.frame_check import FrameCheck
from pipelines.consistency.loading import load_network
from pipelines.consistency.pictures import CLIP, Preparation

if TYPE_CHECKING:
    import torch


class AestheticQuality(FrameCheck):
    """VBench's aesthetic quality: a linear rating, 0 to 10, of CLIP ViT-L/14's embedding of each frame, over 10.

    value: the mean over all frames. It says how people would like the pictures, and nothing about their order.
    Cost: 2 s of one core per frame.
    """

    id: ClassVar[str] = "aesthetic_quality"
    title: ClassVar[str] = "Aesthetic quality (VBench, LAION)"
    unit: ClassVar[str] = "tenth of a rating"
    preparation: ClassVar[Preparation] = CLIP

    def load(self, folder: Path, device: Any) -> Any:
        """Return CLIP's picture half and the predictor's weight and bias, which lie in one file."""
        from safetensors import safe_open
        from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

        config = CLIPVisionConfig.from_pretrained(folder)
        network = load_network(CLIPVisionModelWithProjection, folder, device, config=config)
        with safe_open(folder / "model.safetensors", framework="pt") as file:
            weight, bias = (file.get_tensor(f"predictor.{name}").float().to(device) for name in ("weight", "bias"))
        return network, weight, bias

    def rate(self, network: Any, pixels: torch.Tensor) -> Sequence[float | None]:
        """Return the rating of each frame, over 10."""
        import torch

        vision, weight, bias = network
        features = torch.nn.functional.normalize(vision(pixel_values=pixels).image_embeds.float(), dim=-1)
        ratings = torch.nn.functional.linear(features, weight, bias).squeeze(-1) / 10
        return [float(figure) for figure in ratings.tolist()]
