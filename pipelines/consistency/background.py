"""Background consistency as VBench defines it: how alike the frames look to CLIP ViT-B/32."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pipelines.consistency.frame_check import FrameCheck
from pipelines.consistency.likeness import Likeness
from pipelines.consistency.loading import load_network
from pipelines.consistency.pictures import CLIP, Preparation
from studio.consistency.check import ClipContext

if TYPE_CHECKING:
    import torch


class BackgroundConsistency(FrameCheck):
    """VBench's background consistency: CLIP ViT-B/32's image embedding of the middle square of every frame.

    value: in [0, 1], the mean of `Likeness` over all frames but the first. The subject is not cut
    out: the name is VBench's. Cost: 0.1 s of one core per frame.
    """

    id: ClassVar[str] = "background_consistency"
    title: ClassVar[str] = "Background consistency (VBench, CLIP)"
    unit: ClassVar[str] = "mean cosine"
    preparation: ClassVar[Preparation] = CLIP
    min_frames: ClassVar[int] = 2

    def __init__(self, clip: ClipContext) -> None:
        super().__init__(clip)
        self._likeness = Likeness()

    def load(self, folder: Path, device: Any) -> Any:
        """Return CLIP's picture half."""
        from transformers import CLIPVisionModelWithProjection

        return load_network(CLIPVisionModelWithProjection, folder, device)

    def rate(self, network: Any, pixels: torch.Tensor) -> Sequence[float | None]:
        """Return the likeness of the next frames."""
        return self._likeness.rate(network(pixel_values=pixels).image_embeds)
