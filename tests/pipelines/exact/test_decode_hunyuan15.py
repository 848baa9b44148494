"""HunyuanVideo-1.5's frames, decoded few at a time, are those of its decoder on the whole clip."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.counting import Counting
from pipelines.exact.decode_hunyuan15 import decode_hunyuan15
from pipelines.exact.frame_causal import without_frame_mask

pytestmark = pytest.mark.filterwarnings("ignore")


def tiny_vae(*, matches_channels: bool = True) -> Any:
    """Return the real class with three upsamplings, two of them in time."""
    from diffusers import AutoencoderKLHunyuanVideo15

    torch.manual_seed(0)
    return AutoencoderKLHunyuanVideo15(
        latent_channels=4, block_out_channels=(16, 16, 8, 8), layers_per_block=1, spatial_compression_ratio=8,
        temporal_compression_ratio=4, downsample_match_channel=matches_channels,
        upsample_match_channel=matches_channels,
    ).eval()  # fmt: skip


VAES = {matches: tiny_vae(matches_channels=matches) for matches in (True, False)}


@settings(max_examples=20, deadline=None)
@given(
    frames=st.integers(1, 5),
    size=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    at_once=st.integers(1, 5),
    matches=st.booleans(),
)
def test_pieces_are_the_whole_clip(frames: int, size: tuple[int, int], at_once: int, matches: bool) -> None:
    vae = VAES[matches]
    latents = torch.randn(1, 4, frames, *size, generator=torch.Generator().manual_seed(frames))
    with torch.inference_mode():
        stock = vae.decode(latents).sample[0].transpose(0, 1)
        pieces = list(decode_hunyuan15(vae, latents, frames_at_once=at_once))
    torch.testing.assert_close(torch.cat(pieces), stock, rtol=0, atol=1e-5)
    assert all(len(piece) <= at_once for piece in pieces)


def test_the_vae_is_left_as_it_was_found_even_where_nobody_takes_all_pieces() -> None:
    vae = VAES[True]
    latents = torch.randn(1, 4, 3, 2, 2, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        stock = vae.decode(latents).sample
        pieces = decode_hunyuan15(vae, latents)
        next(pieces)
        pieces.close()
        assert torch.equal(vae.decode(latents).sample, stock)
    assert not any("forward" in vars(module) for module in vae.modules())


def test_what_is_raised_between_parts_ends_it() -> None:
    vae = VAES[True]

    def stop() -> None:
        raise KeyboardInterrupt

    with torch.inference_mode(), pytest.raises(KeyboardInterrupt):
        next(decode_hunyuan15(vae, torch.zeros(1, 4, 2, 2, 2), on_part=stop))


def test_memory_grows_with_the_length_by_the_middle_alone() -> None:
    vae = tiny_vae().to("meta")

    def peak(frames: int, *, is_whole: bool) -> int:
        latents = torch.empty(1, 4, frames, 24, 24, device="meta")
        with torch.inference_mode(), without_frame_mask(vae), Counting() as count:
            if is_whole:
                vae.decode(latents)
            else:
                for _ in decode_hunyuan15(vae, latents, frames_at_once=1):
                    pass
        return count.peak_bytes

    ours, stock = ([peak(frames, is_whole=is_whole) for frames in (9, 33)] for is_whole in (False, True))
    assert ours[1] - ours[0] < (stock[1] - stock[0]) / 8
    assert ours[1] < stock[1] / 8
