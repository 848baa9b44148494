"""Frames as the networks want them, prepared as VBench does so that figures can be compared with published ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from studio.media import Image

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """How VBench's `dino_transform` and `clip_transform` (vbench/utils.py) change a frame.

    short_side: pixels. interpolation: without antialiasing, on values that are not rounded or clipped.
    is_cropped: whether the middle square is cut out; else the picture keeps its shape.
    mean, deviation: of R, G and B on a scale of 0 to 1.
    """

    short_side: int
    interpolation: Literal["bilinear", "bicubic"]
    is_cropped: bool
    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]

    def apply(self, image: Image) -> torch.Tensor:
        """Return (3, h, w) float32 of an (H, W, 3) uint8 RGB picture."""
        import torch

        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float()
        size = self._size(image.shape[0], image.shape[1])
        if size != pixels.shape[-2:]:
            pixels = torch.nn.functional.interpolate(pixels, size, mode=self.interpolation, align_corners=False)
        if self.is_cropped:
            pixels = _middle(pixels, self.short_side)
        mean, deviation = (torch.tensor(values)[:, None, None] for values in (self.mean, self.deviation))
        return (pixels[0] / 255.0 - mean) / deviation

    def _size(self, height: int, width: int) -> tuple[int, int]:
        """Return height and width with the shorter one at `short_side`; the longer one is rounded down."""
        longer = int(self.short_side * max(height, width) / min(height, width))
        return (self.short_side, longer) if height <= width else (longer, self.short_side)


DINO = Preparation(
    short_side=224,
    interpolation="bilinear",
    is_cropped=False,
    mean=(0.485, 0.456, 0.406),
    deviation=(0.229, 0.224, 0.225),
)
CLIP = Preparation(
    short_side=224,
    interpolation="bicubic",
    is_cropped=True,
    mean=(0.48145466, 0.4578275, 0.40821073),
    deviation=(0.26862954, 0.26130258, 0.27577711),
)


def _middle(pixels: torch.Tensor, side: int) -> torch.Tensor:
    """Cut out the middle square of (1, 3, H, W)."""
    top, left = (round((length - side) / 2.0) for length in pixels.shape[-2:])
    return pixels[..., top : top + side, left : left + side]
