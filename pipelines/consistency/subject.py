"""Subject consistency as VBench defines it: how alike the frames look to DINO ViT-B/16."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pipelines.consistency.frame_check import FrameCheck
from pipelines.consistency.likeness import Likeness
from pipelines.consistency.loading import load_network
from pipelines.consistency.pictures import DINO, Preparation
from studio.consistency.check import ClipContext

if TYPE_CHECKING:
    import torch


class SubjectConsistency(FrameCheck):
    """VBench's subject consistency: the class token of DINO ViT-B/16 on frames of 224 pixels' shorter side.

    value: in [0, 1], the mean of `Likeness` over all frames but the first, which is what VBench calls a video's result.
    Its tables give the mean over all frames of many clips. Cost: 0.7 s of one core per 16:9 frame.
    """

    id: ClassVar[str] = "subject_consistency"
    title: ClassVar[str] = "Subject consistency (VBench, DINO)"
    unit: ClassVar[str] = "mean cosine"
    preparation: ClassVar[Preparation] = DINO
    min_frames: ClassVar[int] = 2

    def __init__(self, clip: ClipContext) -> None:
        super().__init__(clip)
        self._likeness = Likeness()

    def load(self, folder: Path, device: Any) -> Any:
        """Return the vision transformer without the pooling layer that DINO never trained."""
        from transformers import ViTModel

        network = load_network(ViTModel, folder, device, add_pooling_layer=False)
        network.embeddings.interpolate_pos_encoding = partial(stretched_positions, network.embeddings)
        return network

    def rate(self, network: Any, pixels: torch.Tensor) -> Sequence[float | None]:
        """Return the likeness of the next frames."""
        output = network(pixel_values=pixels, interpolate_pos_encoding=True)
        return self._likeness.rate(output.last_hidden_state[:, 0])


def stretched_positions(embeddings: Any, _tokens: Any, height: int, width: int) -> torch.Tensor:
    """Return (1, 1 + rows * columns, d) position embeddings for a picture of any shape, stretched as DINO does.

    DINO (facebookresearch/dino, vision_transformer.py) scales the trained grid by (rows + 0.1) / side, which shifts
    positions a little against the rows / side of transformers; VBench's figures were made with the former.
    """
    import torch

    known = embeddings.position_embeddings
    side = round((known.shape[1] - 1) ** 0.5)
    rows, columns = height // embeddings.patch_size, width // embeddings.patch_size
    if (rows, columns) == (side, side):
        return torch.as_tensor(known)
    grid = known[:, 1:].reshape(1, side, side, -1).permute(0, 3, 1, 2)
    scale = ((rows + 0.1) / side, (columns + 0.1) / side)
    grid = torch.nn.functional.interpolate(grid, scale_factor=scale, mode="bicubic", align_corners=False)
    return torch.cat([known[:, :1], grid.flatten(2).transpose(1, 2)], dim=1)
