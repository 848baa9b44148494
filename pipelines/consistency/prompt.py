"""Prompt adherence: how well every frame fits the prompt to CLIP ViT-B/32."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pipelines.consistency.frame_check import FrameCheck
from pipelines.consistency.loading import load_network
from pipelines.consistency.pictures import CLIP, Preparation
from studio.consistency.check import ClipContext

if TYPE_CHECKING:
    import torch


class PromptAdherence(FrameCheck):
    """CLIPSIM: the mean cosine between CLIP ViT-B/32's embeddings of the prompt and of every frame.

    GODIVA, arXiv:2104.14806; some tables give it times 100. A picture and its own caption are far from a
    cosine of 1, so that the figure is of use beside others only. VBench's overall consistency is made with ViCLIP.
    Cost: 0.1 s of one core per frame.
    """

    id: ClassVar[str] = "prompt_adherence"
    title: ClassVar[str] = "Prompt adherence (CLIPSIM)"
    unit: ClassVar[str] = "mean cosine"
    preparation: ClassVar[Preparation] = CLIP

    def __init__(self, clip: ClipContext) -> None:
        super().__init__(clip)
        self._tokens_left_out = 0

    def why_not(self) -> str:
        """A clip without a prompt adheres to nothing."""
        return "" if self.clip.prompt and self.clip.prompt.strip() else "the prompt of this clip is not known"

    def remark(self) -> str:
        """CLIP reads 77 tokens and no more."""
        return f"the last {self._tokens_left_out} tokens of the prompt were not read" if self._tokens_left_out else ""

    def load(self, folder: Path, device: Any) -> Any:
        """Return CLIP and the prompt's embedding."""
        from transformers import AutoTokenizer, CLIPModel

        network = load_network(CLIPModel, folder, device)
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        longest = network.config.text_config.max_position_embeddings
        tokens = tokenizer(self.clip.prompt, truncation=True, max_length=longest, return_tensors="pt")
        self._tokens_left_out = max(0, len(tokenizer(self.clip.prompt, truncation=False).input_ids) - longest)
        return network, _unit(network.get_text_features(**tokens.to(device)).pooler_output)[0]

    def rate(self, network: Any, pixels: torch.Tensor) -> Sequence[float | None]:
        """Return the cosine of each frame with the prompt."""
        model, prompt = network
        frames = _unit(model.get_image_features(pixel_values=pixels).pooler_output)
        return [float(figure) for figure in (frames @ prompt).tolist()]


def _unit(features: torch.Tensor) -> torch.Tensor:
    import torch

    return torch.nn.functional.normalize(features.float(), dim=-1)
