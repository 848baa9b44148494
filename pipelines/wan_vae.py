"""The VAE that Wan, SkyReels-V2 and SANA-Video share: latents as the denoiser sees them to frames, and their colours.

Wan: Open and Advanced Large-Scale Video Generative Models, arXiv 2503.20314, section 4.1.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pipelines.latent_preview import LatentPreview

if TYPE_CHECKING:
    import torch


def load_wan_vae(folder: Any) -> Any:
    """Return the VAE of a checkpoint's folder, in float32 as the model cards ask: it is small beside the denoiser."""
    import diffusers
    import torch

    return diffusers.AutoencoderKLWan.from_pretrained(
        folder, subfolder="vae", dtype=torch.float32, use_safetensors=True, local_files_only=True
    )


def decode_wan_latents(vae: Any, latents: torch.Tensor) -> Iterator[torch.Tensor]:
    """Yield frames (n, 3, H, W) in [-1, 1], as the end of diffusers' pipelines makes them. latents: (1, C, T, h, w)."""
    import torch

    latents = latents.to(vae.device, vae.dtype)
    shape = (1, vae.config.z_dim, 1, 1, 1)
    mean = torch.tensor(vae.config.latents_mean).view(shape).to(latents.device, latents.dtype)
    # One over the spread, and then a division: multiplying would round otherwise.
    factor = 1.0 / torch.tensor(vae.config.latents_std).view(shape).to(latents.device, latents.dtype)
    yield vae.decode(latents / factor + mean, return_dict=False)[0][0].transpose(0, 1)


def measure_wan_preview(vae: Any) -> LatentPreview:
    """Return the map from this VAE's latents to colours."""
    import torch

    mean = torch.tensor(vae.config.latents_mean, device=vae.device).view(-1, 1, 1)
    spread = torch.tensor(vae.config.latents_std, device=vae.device).view(-1, 1, 1)

    def encode(picture: torch.Tensor) -> torch.Tensor:
        latents = vae.encode(picture[:, :, None].to(vae.device, vae.dtype)).latent_dist.mode()[0, :, 0]
        return torch.as_tensor((latents - mean) / spread)

    return LatentPreview.measure(encode, scale=vae.config.scale_factor_spatial)


def wan_latent_shape(vae: Any, *, num_frames: int, height: int, width: int) -> tuple[int, int, int]:
    """Return frames, rows and columns of the latents of a clip; sizes in pixels."""
    factor = vae.config.scale_factor_spatial
    return (num_frames - 1) // vae.config.scale_factor_temporal + 1, height // factor, width // factor
