"""Stable Video Diffusion: image-to-video on diffusers' own pipeline.

Stable Video Diffusion: Scaling Latent Video Diffusion Models to Large Datasets, arXiv 2311.15127.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.latent_preview import LatentPreview
from pipelines.local import LocalGenerator, StepCallback, guidance_of
from pipelines.placement import Placement
from studio.request import ResolvedRequest


@dataclass(frozen=True)
class Turn:
    """A turn of a square picture after which a camera that moves right moves elsewhere. quarters: counter-clockwise."""

    quarters: int = 0
    mirrored: bool = False

    def apply(self, image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Turn (H, W, C)."""
        turned = np.rot90(image, self.quarters)
        return turned[:, ::-1] if self.mirrored else turned

    def undo(self, frames: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Turn (T, H, W, C) back."""
        turned = frames[:, :, ::-1] if self.mirrored else frames
        return np.rot90(turned, -self.quarters, axes=(1, 2))

    def undo_latents(self, latents: Any) -> Any:
        """Turn a (C, h, w) tensor back."""
        turned = latents.flip(-1) if self.mirrored else latents
        return turned.rot90(-self.quarters, dims=(-2, -1))


# A picture turned a quarter clockwise has its old top at the right: moving right there is moving up here.
TURNS = {"right": Turn(), "left": Turn(mirrored=True), "up": Turn(quarters=-1), "down": Turn(quarters=1)}


class StableVideoDiffusionGenerator(LocalGenerator):
    """Serves every checkpoint of the SVD class: 14 and 25 frames, and fine-tunes of them.

    guidance_scale is that of the last frame; it rises linearly from the option min_guidance_scale at the first.
    The frame rate conditions the model and is the clip's own. A row of a model that moves one way only may have the
    option pan (right, left, up, down): the picture is turned before and the clip turned back after.
    """

    _turn = Turn()

    def _load(self, folder: Path, placement: Placement) -> Any:
        import diffusers

        has_variant = placement.dtype.itemsize == 2 and any(folder.glob("unet/*.fp16.safetensors"))
        return diffusers.StableVideoDiffusionPipeline.from_pretrained(
            folder,
            dtype=placement.dtype,
            variant="fp16" if has_variant else self._only_variant(folder),
            use_safetensors=True,
            local_files_only=True,
        ).to(placement.device)

    def _call(self, pipeline: Any, resolved: ResolvedRequest, rng: Any, on_step: StepCallback) -> np.ndarray[Any, Any]:
        from PIL import Image

        options = resolved.options
        self._turn = TURNS[str(options.get("pan", "right"))]
        image = self._turn.apply(np.asarray(self._first_frame(resolved)))
        frames: np.ndarray[Any, Any] = pipeline(
            Image.fromarray(np.ascontiguousarray(image)),
            height=resolved.height,
            width=resolved.width,
            num_frames=resolved.num_frames,
            num_inference_steps=resolved.num_inference_steps,
            min_guidance_scale=min(float(options["min_guidance_scale"]), guidance_of(resolved)),
            max_guidance_scale=guidance_of(resolved),
            fps=round(resolved.frame_rate),
            motion_bucket_id=options["motion_bucket_id"],
            noise_aug_strength=options["noise_aug_strength"],
            decode_chunk_size=min(int(options["decode_chunk_size"]), resolved.num_frames),
            generator=rng,
            output_type="np",
            callback_on_step_end=on_step,
        ).frames[0]
        return np.ascontiguousarray(self._turn.undo(frames))

    def _measure_preview(self, pipeline: Any) -> LatentPreview:
        import torch

        vae = pipeline.vae
        dtype = vae.dtype

        def encode(picture: Any) -> Any:
            return vae.encode(picture.to(vae.device, vae.dtype)).latent_dist.mode()[0] * vae.config.scaling_factor

        if vae.config.force_upcast:  # its encoder overflows in half precision; the stock pipeline does the same
            vae.to(dtype=torch.float32)
        try:
            return LatentPreview.measure(encode, scale=2 ** (len(vae.config.block_out_channels) - 1))
        finally:
            vae.to(dtype=dtype)

    def _latent_frame(self, latents: Any) -> Any:
        frame = latents[0, latents.shape[1] // 2]
        return self._turn.undo_latents(frame)

    @staticmethod
    def _only_variant(folder: Path) -> str | None:
        """Return ``fp16`` for a folder that holds nothing else."""
        plain = [file for file in folder.glob("unet/*.safetensors") if ".fp16." not in file.name]
        return None if plain else "fp16"
