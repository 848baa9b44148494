"""The spatio-temporal transformer of Stable Video Diffusion, frame by frame and then position by position.

Stock: TransformerSpatioTemporalModel of diffusers. Imports torch.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from pipelines.exact.attention import CrossAttention, attend_along_frames, attend_in_frames
from pipelines.exact.layers import group_normed, project
from pipelines.exact.resnet import temporal_share
from pipelines.exact.streams import Clip, Tiles, as_pictures, as_rows
from pipelines.kernels.gated_linear import geglu

# Of a feed-forward's widest layer, computed together: 128 MiB in half precision, more than enough to fill a GPU.
VALUES_AT_A_TIME = 2**26


def transformer(model: Any, clip: Clip) -> None:
    """Run the transformer on the stream, in place."""
    with clip.held(model):
        times = time_positions(model, clip.stream)
        for item in clip.items:
            _transform(model, clip.stream[item], clip.context[item : item + 1], times, clip.tiles)


def _transform(model: Any, frames: torch.Tensor, context: torch.Tensor, times: torch.Tensor, tiles: Tiles) -> None:
    """Run the transformer on (T, H, W, C) frames, in place. context: (1, L, D). times: (T, 1, C)."""
    count, height, width, _ = frames.shape
    rows = frames.flatten(1, 2)
    hidden = rows.new_empty(*rows.shape[:2], model.inner_dim)
    for part in tiles.of_frames(frames):
        normed = group_normed(model.norm, as_pictures(frames[part]), is_activated=False)
        hidden[part] = project(model.proj_in, as_rows(normed))
    share = temporal_share(model.time_mixer, frames.dtype)
    for spatial, temporal in zip(model.transformer_blocks, model.temporal_transformer_blocks, strict=True):
        cross = CrossAttention(spatial, context, sequences=count, length=height * width)
        for part in tiles.of_frames(frames):
            spatial_block(spatial, hidden[part], cross)
        cross = CrossAttention(temporal, context, sequences=height * width, length=count)
        for part in tiles.of_positions(hidden):
            temporal_block(temporal, hidden[:, part], cross, times, share)
    for part in tiles.of_frames(frames):
        rows[part].add_(project(model.proj_out, hidden[part]))


def spatial_block(block: Any, x: torch.Tensor, cross: CrossAttention) -> None:
    """Run a BasicTransformerBlock on (T, N, C) rows, each frame by itself, in place."""
    x.add_(attend_in_frames(block.attn1, block.norm1(x), cross.answer))
    cross.add_to(x)
    add_feed_forward(block.ff, block.norm3, x)


def temporal_block(
    block: Any, x: torch.Tensor, cross: CrossAttention, times: torch.Tensor, share: torch.Tensor
) -> None:
    """Blend what a TemporalBasicTransformerBlock f makes of (T, N, C) rows into them, in place.

    x becomes (1 - share) x + share f(x + times): the addition of the frames' places and the blend are part of this.
    """
    hidden = x + times
    add_feed_forward(block.ff_in, block.norm_in, hidden)
    hidden.add_(attend_along_frames(block.attn1, block.norm1(hidden), cross.answer))
    cross.add_to(hidden)
    add_feed_forward(block.ff, block.norm3, hidden)
    x.lerp_(hidden, share)


def add_feed_forward(layers: Any, norm: Any, x: torch.Tensor) -> None:
    """Add to contiguous (..., C) rows what a FeedForward with GEGLU makes of them behind a norm, in place."""
    projection: Any = partial(project, layers.net[0].proj)
    rows_at_a_time = max(1, VALUES_AT_A_TIME // layers.net[0].proj.out_features)
    for rows in torch.split(x.view(-1, x.shape[-1]), rows_at_a_time):
        rows.add_(project(layers.net[2], geglu(norm(rows), projection)))


def time_positions(model: Any, stream: torch.Tensor) -> torch.Tensor:
    """Return the (T, 1, C) that tells frames apart in the temporal blocks. stream: (B, T, H, W, C)."""
    places = model.time_proj(torch.arange(stream.shape[1], device=stream.device))
    embedded: torch.Tensor = model.time_pos_embed(places.to(stream.dtype))
    return embedded[:, None]
