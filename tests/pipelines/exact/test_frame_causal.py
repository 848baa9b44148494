"""The VAEs of HunyuanVideo attend frame by frame to the same result as with a mask over all."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode

from pipelines.exact.frame_causal import attend_frame_by_frame, without_frame_mask

pytestmark = pytest.mark.filterwarnings("ignore")


def second() -> Any:
    """Return HunyuanVideo-1.5's VAE at its smallest."""
    from diffusers import AutoencoderKLHunyuanVideo15

    torch.manual_seed(0)
    return AutoencoderKLHunyuanVideo15(
        latent_channels=4, block_out_channels=(16, 16, 16), layers_per_block=1, spatial_compression_ratio=4,
        temporal_compression_ratio=4, downsample_match_channel=False, upsample_match_channel=False,
    ).eval()  # fmt: skip


def first() -> Any:
    """Return HunyuanVideo's VAE at its smallest."""
    from diffusers import AutoencoderKLHunyuanVideo

    torch.manual_seed(0)
    return AutoencoderKLHunyuanVideo(
        latent_channels=4, down_block_types=("HunyuanVideoDownBlock3D",) * 4,
        up_block_types=("HunyuanVideoUpBlock3D",) * 4, block_out_channels=(8, 8, 8, 8), layers_per_block=1,
        norm_num_groups=4, mid_block_add_attention=True,
    ).eval()  # fmt: skip


@pytest.mark.parametrize("make", [first, second])
@pytest.mark.parametrize("frames", [1, 3, 7])
def test_decoded_and_encoded_are_as_stock_has_them(make: Any, frames: int) -> None:
    vae = make()
    rng = torch.Generator().manual_seed(1)
    latents = torch.randn(1, 4, frames, 3, 5, generator=rng)
    side = vae.spatial_compression_ratio
    video = torch.randn(1, 3, 4 * (frames - 1) + 1, 2 * side, 3 * side, generator=rng)
    with torch.inference_mode():
        stock = vae.decode(latents).sample, vae.encode(video).latent_dist.mode()
        with without_frame_mask(vae):
            ours = vae.decode(latents).sample, vae.encode(video).latent_dist.mode()
        again = vae.decode(latents).sample
    for one, other in zip(ours, stock, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5)
    assert torch.equal(again, stock[0])


@settings(max_examples=30, deadline=None)
@given(frames=st.integers(1, 6), positions=st.integers(1, 7), heads=st.integers(1, 2))
def test_attention_frame_by_frame_is_attention_under_the_mask(frames: int, positions: int, heads: int) -> None:
    rng = torch.Generator().manual_seed(frames * 100 + positions)
    shape = (2, heads, frames * positions, 4)
    query, key, value = (torch.randn(shape, generator=rng, dtype=torch.float64) for _ in range(3))
    frame = torch.arange(frames).repeat_interleave(positions)
    mask = frame[:, None] >= frame[None]
    torch.testing.assert_close(
        attend_frame_by_frame(query, key, value, frames),
        scaled_dot_product_attention(query, key, value, attn_mask=mask),
    )


@pytest.mark.parametrize("make", [first, second])
def test_no_attention_has_a_mask_that_stock_has(make: Any) -> None:
    vae = make()
    latents = torch.zeros(1, 4, 3, 2, 3)
    with torch.inference_mode():
        with Masks() as stock:
            vae.decode(latents)
        with without_frame_mask(vae), Masks() as ours:
            vae.decode(latents)
    assert stock.found == [(1, 18, 18)] or stock.found == [(1, 1, 18, 18)]
    assert ours.found == [None, None, None]


class Masks(TorchFunctionMode):
    """Remembers the shapes of the masks given to attention."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[int, ...] | None] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is scaled_dot_product_attention:
            mask = (kwargs or {}).get("attn_mask")
            self.found.append(None if mask is None else tuple(mask.shape))
        return func(*args, **(kwargs or {}))
