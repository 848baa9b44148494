"""The VAE that Wan, SkyReels-V2 and SANA-Video share: latents as the denoiser sees them to frames, and their colours.

Wan: Open and Advanced Large-Scale Video Generative Models, arXiv 2503.20314, section 4.1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from pipelines.latent_preview import LatentPreview
from pipelines.plan import DecodeForm
from pipelines.vae_preview import preview_of_video_vae

if TYPE_CHECKING:
    import torch

# In any layer: counted for 81 frames of 832x480 in float32, 5.1 GB at two, 6.4 at four, 36 with all, 7.8 as stock does.
FRAMES_AT_ONCE = 2


def load_wan_vae(folder: Any) -> Any:
    """Return the VAE of a checkpoint's folder, in float32 as the model cards ask: it is small beside the denoiser."""
    import diffusers
    import torch

    return diffusers.AutoencoderKLWan.from_pretrained(
        folder, subfolder="vae", dtype=torch.float32, use_safetensors=True, local_files_only=True
    )


def decode_wan_latents(
    vae: Any, latents: torch.Tensor, form: DecodeForm, on_part: Callable[[], object]
) -> Iterator[torch.Tensor]:
    """Yield frames (n, 3, H, W) in [-1, 1], within rounding those at the end of diffusers' pipelines.

    latents: (1, C, T, h, w), as the denoiser sees them. form: all after the first frame at once, or a few at a time in
    memory that does not grow with the length. on_part: called between parts of the work.
    """
    import torch

    from pipelines.exact.decode_wan import decode_wan

    latents = latents.to(vae.device, vae.dtype)
    shape = (1, vae.config.z_dim, 1, 1, 1)
    mean = torch.tensor(vae.config.latents_mean).view(shape).to(latents.device, latents.dtype)
    # One over the spread, and then a division: multiplying would round otherwise.
    factor = 1.0 / torch.tensor(vae.config.latents_std).view(shape).to(latents.device, latents.dtype)
    at_once = None if form is DecodeForm.WHOLE else FRAMES_AT_ONCE
    yield from decode_wan(vae, latents / factor + mean, frames_at_once=at_once, on_part=on_part)


def measure_wan_preview(vae: Any) -> LatentPreview:
    """Return the map from this VAE's latents to colours."""
    import torch

    mean = torch.tensor(vae.config.latents_mean, device=vae.device).view(-1, 1, 1, 1)
    spread = torch.tensor(vae.config.latents_std, device=vae.device).view(-1, 1, 1, 1)
    return preview_of_video_vae(
        vae, scale=vae.config.scale_factor_spatial, normalise=lambda latents: (latents - mean) / spread
    )


def wan_latent_shape(vae: Any, *, num_frames: int, height: int, width: int) -> tuple[int, int, int]:
    """Return frames, rows and columns of the latents of a clip; sizes in pixels."""
    factor = vae.config.scale_factor_spatial
    return (num_frames - 1) // vae.config.scale_factor_temporal + 1, height // factor, width // factor
