"""The spatio-temporal residual block of Stable Video Diffusion, frame by frame and then position by position.

Stock: SpatioTemporalResBlock of diffusers. Imports torch.
"""

from __future__ import annotations

from typing import Any

import torch

from pipelines.exact.layers import convolve, convolve_frames, group_normed, project
from pipelines.exact.streams import Clip, Tiles, as_columns, as_frames, as_pictures
from pipelines.kernels.group_norm import Moments


def resnet(block: Any, clip: Clip, *, is_joined: bool = False) -> None:
    """Run the block on the stream. is_joined: the last skip is put behind the stream's channels, and let go of."""
    with clip.held(block):
        _run_spatial(block.spatial_res_block, clip, is_joined=is_joined)
        share = temporal_share(block.time_mixer, clip.stream.dtype)
        for item in clip.items:
            shift = time_shift(block.temporal_res_block, clip.embedding[item])
            rows = clip.stream[item].flatten(1, 2)
            temporal_resnet(block.temporal_res_block, rows, shift, share, clip.tiles)


def _run_spatial(block: Any, clip: Clip, *, is_joined: bool) -> None:
    skip = clip.skips.pop() if is_joined else None
    target = clip.room(block.out_channels)
    for item in clip.items:
        shift = time_shift(block, clip.embedding[item])
        for part in clip.tiles.of_frames(target[item]):
            given = clip.stream[item, part]
            if skip is not None:
                given = torch.cat((given, skip[item, part]), dim=-1)
            spatial_resnet(block, as_pictures(given), shift, out=target[item, part])
            del given  # before the next is put together
    del skip
    clip.settle(target)


def spatial_resnet(block: Any, x: torch.Tensor, shift: torch.Tensor | None, *, out: torch.Tensor) -> None:
    """Write shortcut(x) + conv2(norm2(conv1(norm1(x)) + shift)) into `out`, which may be the memory of x.

    x: (n, C, H, W). out: (n, H, W, C').
    """
    hidden = convolve(block.conv1, group_normed(block.norm1, x, is_activated=True), shift)
    hidden = convolve(block.conv2, group_normed(block.norm2, hidden, is_activated=True))
    shortcut = x if block.conv_shortcut is None else convolve(block.conv_shortcut, x)
    torch.add(as_frames(shortcut), as_frames(hidden), out=out)
    if block.output_scale_factor != 1:
        out.div_(block.output_scale_factor)


def temporal_resnet(
    block: Any, rows: torch.Tensor, shift: torch.Tensor | None, share: torch.Tensor, tiles: Tiles
) -> None:
    """Add share * conv2(norm2(conv1(norm1(x)) + shift)) to the (T, N, C) rows of a clip, in place.

    Both norms take their statistics from the whole clip. Stock blends a x + (1 - a) (x + h), which is x + (1 - a) h:
    share is 1 - a.
    """
    parts = list(tiles.of_positions(rows))
    is_whole = len(parts) == 1  # then a tile's statistics are the clip's
    first = None if is_whole else Moments.of(as_columns(rows), block.norm1.num_groups)
    second: Moments | None = None
    waiting: list[torch.Tensor] = []
    for part in parts:
        normed = group_normed(block.norm1, as_columns(rows[:, part]), first, is_activated=True)
        waiting.append(convolve_frames(block.conv1, normed, shift))
        if not is_whole:
            moments = Moments.of(waiting[-1], block.norm2.num_groups)
            second = second.joined(moments) if second else moments
    waiting.reverse()
    for part in parts:
        normed = group_normed(block.norm2, waiting.pop(), second, is_activated=True)
        columns = as_columns(rows[:, part])
        columns.addcmul_(convolve_frames(block.conv2, normed), share)


def time_shift(block: Any, embedding: torch.Tensor) -> torch.Tensor | None:
    """Return the (C,) that a residual block adds behind its first convolution. embedding: (E,)."""
    if block.time_emb_proj is None:
        return None
    return project(block.time_emb_proj, block.nonlinearity(embedding)[None])[0]


def temporal_share(mixer: Any, dtype: torch.dtype) -> torch.Tensor:
    """Return the (1,) share of the temporal branch in an AlphaBlender's blend, for clips, which no still is part of."""
    alpha = mixer.mix_factor if mixer.merge_strategy == "fixed" else torch.sigmoid(mixer.mix_factor)
    alpha = alpha.to(dtype)
    return alpha if mixer.switch_spatial_to_temporal_mix else 1 - alpha
