"""Previews measured with a VAE of diffusers: its own encoder shows which latents a colour becomes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pipelines.latent_preview import LatentPreview

if TYPE_CHECKING:
    import torch


def preview_of_video_vae(
    vae: Any,
    *,
    scale: int,
    num_frames: int = 1,
    normalise: Callable[[torch.Tensor], torch.Tensor] | None = None,
) -> LatentPreview:
    """Return the map from the latents of a VAE that encodes clips to colours.

    scale: pixels for each latent position along a side. num_frames: as many as the encoder makes into one.
    normalise: makes of the VAE's latents, (1, C, 1, h, w), those of the denoiser; by its scaling factor unless told.
    """
    import torch

    def encode(picture: torch.Tensor) -> torch.Tensor:
        still = picture[:, :, None].expand(-1, -1, num_frames, -1, -1)
        latents = vae.encode(still.to(vae.device, vae.dtype)).latent_dist.mode()
        scaled = latents * vae.config.scaling_factor if normalise is None else normalise(latents)
        return torch.as_tensor(scaled[0, :, 0])

    return LatentPreview.measure(encode, scale=scale)


def preview_of_picture_vae(vae: Any, *, scale: int) -> LatentPreview:
    """Return the map from the latents of a VAE that encodes single pictures to colours; see `preview_of_video_vae`."""
    import torch

    def encode(picture: torch.Tensor) -> torch.Tensor:
        latents = vae.encode(picture.to(vae.device, vae.dtype)).latent_dist.mode()
        return torch.as_tensor(latents[0] * vae.config.scaling_factor)

    return LatentPreview.measure(encode, scale=scale)
