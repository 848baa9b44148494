"""Decoding the latents of CogVideoX's VAE batch by batch, as stock does, without putting the clip together.

CogVideoX, arXiv 2408.06072, section 2.1. Its decoder normalises over the frames that it is given, so where a clip is
cut is part of the picture: the cuts here are stock's. The decoders of Wan, HunyuanVideo-1.5 and Mochi look at each
frame or at earlier ones alone, and may be cut anywhere: `decode_wan`, `decode_hunyuan15`, `pipelines.mochi_decoder`.
Those of LTX-Video look ahead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def decode_pieces(
    vae: Any, latents: torch.Tensor, *, on_part: Callable[[], object] = lambda: None
) -> Iterator[torch.Tensor]:
    """Yield the clip's consecutive frames, (n, 3, H, W), bit for bit those of `vae.decode(latents).sample`.

    vae: an `AutoencoderKLCogVideoX` without tiling on the device and in the number format of the latents. latents:
    (1, C, T, h, w), divided by the scaling factor. on_part: called before each piece; what it raises ends the decoding.
    """
    import torch

    frames, most = latents.shape[2], vae.num_latent_frames_batch_size
    # What is over goes with the first batch.
    first = min(frames, most + frames % most)
    seen = None
    for batch in torch.split(latents, [first, *[most] * ((frames - first) // most)], dim=2):
        on_part()
        with torch.inference_mode():
            x = batch if vae.post_quant_conv is None else vae.post_quant_conv(batch)
            x, seen = vae.decoder(x, conv_cache=seen)
        yield x[0].transpose(0, 1)
