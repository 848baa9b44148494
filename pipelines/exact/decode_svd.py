"""Decoding a whole clip of Stable Video Diffusion's VAE, exactly, in a fraction of the memory and time.

Stable Video Diffusion, arXiv 2311.15127. The result is that of the stock decoder on all frames at once, within
rounding. Its own way to save memory, a few frames at a time, is another picture: temporal convolutions see zeros where
the next frames are, and temporal normalisation sees a part of the clip.

Works on the modules of diffusers' `AutoencoderKLTemporalDecoder`; imported only where frames are decoded: it imports
torch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial, reduce
from itertools import chain, groupby, pairwise
from operator import attrgetter
from typing import Any

import torch
from torch.nn.functional import conv2d

from pipelines.exact.decode_upsampling import upsampled_convolution
from pipelines.exact.decode_waiting import FramesInMainMemory, FramesOnDevice, WaitingClip
from pipelines.kernels.group_norm import Moments, normalise
from pipelines.kernels.target import device_kind
from pipelines.plan import DecodeForm, Tiling

# A tile of positions, all frames: on a CPU it fits a core's cache; elsewhere it is this small beside what the largest
# frame takes, and large enough to keep a device busy.
CPU_TILE_BYTES = 2 << 20
TILES_OF_LARGEST_FRAME = 4
# The form WHOLE takes as many frames at a time as take what this many of the largest do.
LARGEST_FRAMES = 4

ALL_BY_SIZE = Tiling()

Step = Callable[[torch.Tensor], torch.Tensor]


@torch.inference_mode()
def decode_frames(
    vae: Any,
    latents: torch.Tensor,
    *,
    form: DecodeForm = DecodeForm.WHOLE,
    tiling: Tiling = ALL_BY_SIZE,
    parking: torch.device | str = "cpu",
    on_part: Callable[[], object] = lambda: None,
) -> Iterator[torch.Tensor]:
    """Yield the clip's consecutive frames, (n, 3, H, W), as `vae.decode(latents, num_frames=T).sample` has them.

    vae: an `AutoencoderKLTemporalDecoder` on the device and in the number format of the latents. latents: (T, C, h, w),
    divided by the scaling factor. tiling: frames and positions at a time; chosen by size where None. parking: where
    clips wait in the form PARKED. on_part: called between parts of the work, some tens of milliseconds apart; what it
    raises ends the decoding.

    WHOLE keeps what a temporal layer needs twice. STREAMED computes it twice where keeping it would be the peak.
    """
    decoder = vae.decoder
    stages = _stages(decoder, latents.shape[-2] * latents.shape[-1])
    shape = _Shape(latents, stages, form, tiling)
    source = _new_clip(latents, form, parking)
    source.append(latents)
    for stage in stages:
        target = source.successor()
        moments = _run_spatial(stage, source.drain(shape.frames(stage)), target, on_part)
        source = target
        is_kept = shape.is_kept(stage)
        _run_temporal(stage.block, source, moments, shape.tiles(stage), is_kept=is_kept, on_part=on_part)
    pictures = map(_last_steps(decoder), source.drain(shape.frames(stages[-1])))
    for frames in _smoothed(pictures, decoder.time_conv_out):
        on_part()
        yield frames


@dataclass(frozen=True)
class _Stage:
    """What happens to each frame on its own, and the block that then looks along the frames.

    positions: pixels of a frame that leaves. channels: of such a pixel. working: values held at a time on the way,
    per frame.
    """

    steps: tuple[Step, ...]
    block: Any
    positions: int
    channels: int
    working: int


class _Shape:
    """How much of the clip each stage computes at a time."""

    def __init__(self, latents: torch.Tensor, stages: list[_Stage], form: DecodeForm, tiling: Tiling) -> None:
        self._num_frames, self._bytes = len(latents), latents.element_size()
        self._form, self._tiling = form, tiling
        self._is_cpu = device_kind(latents) == "cpu"
        self._working = max(stage.working for stage in stages)
        self._largest = max(stage.positions * stage.channels for stage in stages)

    def frames(self, stage: _Stage) -> int:
        """Return how many frames: as many as take no more than the largest single one, or few of those, do."""
        if self._tiling.frames:
            return self._tiling.frames
        if self._is_cpu:  # one stays in the cache
            return 1
        largest = self._working * (LARGEST_FRAMES if self._form is DecodeForm.WHOLE else 1)
        return max(1, largest // stage.working)

    def tiles(self, stage: _Stage) -> list[slice]:
        """Return the positions, tile by tile."""
        most = CPU_TILE_BYTES // self._bytes if self._is_cpu else self._working // TILES_OF_LARGEST_FRAME
        wanted = self._tiling.positions or max(1, most // (self._num_frames * stage.channels))
        return [slice(*ends) for ends in pairwise([*range(0, stage.positions, wanted), stage.positions])]

    def is_kept(self, stage: _Stage) -> bool:
        """Say whether a second clip of the stage's size has room: in the form STREAMED, beside the largest one."""
        if self._form is DecodeForm.STREAMED:
            return 2 * stage.positions * stage.channels <= self._largest
        return self._form is DecodeForm.WHOLE


def _new_clip(latents: torch.Tensor, form: DecodeForm, parking: torch.device | str) -> WaitingClip:
    if form is DecodeForm.PARKED:
        return FramesInMainMemory(len(latents), device=latents.device, parking=torch.device(parking))
    return FramesOnDevice()


# -- the decoder as a sequence of stages ----------------------------------------------------------------------------


def _stages(decoder: Any, positions: int) -> list[_Stage]:
    """Cut the decoder after each block that looks along the frames. positions: pixels of a latent frame."""
    stages: list[_Stage] = []
    steps: list[Step] = [decoder.conv_in]
    before, scores = decoder.conv_in.out_channels, 0
    for module in _modules(decoder):
        if hasattr(module, "temporal_res_block"):
            after = module.spatial_res_block.out_channels
            working = positions * (before + after + max(before, after)) + scores
            steps.append(partial(_spatial, module.spatial_res_block))
            stages.append(_Stage(tuple(steps), module, positions, after, working))
            steps, before, scores = [], after, 0
        elif hasattr(module, "conv"):
            steps.append(partial(upsampled_convolution, convolution=module.conv))
            positions *= 4
        else:
            steps.append(module)
            scores = positions**2  # which are held where no fused kernel takes heads as wide as these
    return stages


def _modules(decoder: Any) -> Iterator[Any]:
    """Yield the blocks, attentions and upsamplers in the order in which the stock decoder runs them."""
    middle = decoder.mid_block
    yield middle.resnets[0]
    for attention, block in zip(middle.attentions, middle.resnets[1:], strict=False):
        yield attention
        yield block
    for up_block in decoder.up_blocks:
        yield from up_block.resnets
        yield from up_block.upsamplers or ()


def _run_spatial(
    stage: _Stage, pieces: Iterator[torch.Tensor], target: WaitingClip, on_part: Callable[[], object]
) -> Moments:
    """Compute each frame on its own. Returns what the first norm of the temporal block needs to know of the clip."""
    groups = stage.block.temporal_res_block.norm1.num_groups
    parts = []
    for x in pieces:
        on_part()
        for step in stage.steps:
            x = step(x)
        target.append(x)
        parts.append(Moments.of(x, groups))
    return _together(parts)


def _spatial(block: Any, x: torch.Tensor) -> torch.Tensor:
    """Do as `ResnetBlock2D` does without a timestep. x: (n, C, H, W)."""
    # Nested, so that nothing is held longer than it is read.
    hidden = block.conv2(_normalised(block.norm2, block.conv1(_normalised(block.norm1, x))))
    result: torch.Tensor = hidden.add_(x if block.conv_shortcut is None else block.conv_shortcut(x))
    return result


def _last_steps(decoder: Any) -> Step:
    return lambda x: decoder.conv_out(_normalised(decoder.conv_norm_out, x))


def _normalised(norm: Any, x: torch.Tensor, moments: Moments | None = None) -> torch.Tensor:
    """Return silu(norm(x)); by the statistics of each item of the batch where no others are given."""
    moments = moments or Moments.of(x, norm.num_groups)
    return normalise(x, moments, norm.weight, norm.bias, eps=norm.eps, is_activated=True)


def _together(parts: list[Moments]) -> Moments:
    """Return the moments (1, G) of all items of all parts, those of one size in one go."""
    wholes = []
    for count, alike in groupby(parts, key=attrgetter("count")):
        means, squares = zip(*((part.mean, part.squares) for part in alike), strict=True)
        items = Moments(count, torch.cat(means), torch.cat(squares))
        wholes.append(items.pooled(len(items.mean)))
    return reduce(Moments.joined, wholes)


# -- along the frames -----------------------------------------------------------------------------------------------


def _run_temporal(
    block: Any,
    clip: WaitingClip,
    moments: Moments,
    tiles: list[slice],
    *,
    is_kept: bool,
    on_part: Callable[[], object],
) -> None:
    """Add the temporal branch to the clip, x + s branch(x): stock's (1 - s) x + s (x + branch(x)).

    s: the share of what is temporal. The second norm of the branch is over the clip as well: its statistics are
    measured in a first pass over all tiles.
    """
    inner = block.temporal_res_block
    kept: deque[torch.Tensor] = deque()

    def measured(positions: slice) -> Moments:
        hidden = _first_half(inner, clip.tile(positions), moments)
        if is_kept:
            kept.append(hidden)
        return Moments.of(hidden, inner.norm2.num_groups)

    def blend(positions: slice) -> None:
        tile = None if is_kept else clip.tile(positions)
        # Nested, so that nothing is held longer than it is read.
        x = _normalised(inner.norm2, kept.popleft() if tile is None else _first_half(inner, tile, moments), whole)
        clip.blend(positions, tile, conv2d(x, weight, bias, padding=(1, 0))[0].permute(1, 2, 0))

    whole = _together([measured(positions) for positions in _between(tiles, on_part)])
    share = _temporal_share(block.time_mixer)
    weight, bias = inner.conv2.weight[..., 0] * share, inner.conv2.bias * share
    for positions in _between(tiles, on_part):
        blend(positions)


def _first_half(block: Any, tile: torch.Tensor, moments: Moments) -> torch.Tensor:
    """Return (1, C, T, n) of (T, n, C), as far as the first convolution.

    Along the frames a 3 x 1 x 1 convolution of a clip is a 3 x 1 convolution of a picture of T x n, in the same memory.
    """
    x = _normalised(block.norm1, tile[None].permute(0, 3, 1, 2), moments)
    return conv2d(x, block.conv1.weight[..., 0], block.conv1.bias, padding=(1, 0))


def _between(tiles: list[slice], on_part: Callable[[], object]) -> Iterator[slice]:
    for tile in tiles:
        on_part()
        yield tile


def _temporal_share(mixer: Any) -> torch.Tensor:
    alpha = torch.sigmoid(mixer.mix_factor)
    return alpha if mixer.switch_spatial_to_temporal_mix else 1 - alpha


def _smoothed(pieces: Iterator[torch.Tensor], convolution: Any) -> Iterator[torch.Tensor]:
    """Yield (n, 3, H, W) frames through a convolution over each frame and both its neighbours, as soon as these are."""
    weight = convolution.weight[..., 0]
    first = next(pieces)
    held = zeros = torch.zeros_like(first[:1])
    for piece in chain([first], pieces):
        held = torch.cat([held, piece])
        if len(held) > 2:
            yield _along_frames(held, weight, convolution.bias)
            held = held[-2:]
    yield _along_frames(torch.cat([held, zeros]), weight, convolution.bias)


def _along_frames(frames: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    height, width = frames.shape[-2:]
    moved = conv2d(frames.flatten(2).transpose(0, 1)[None], weight, bias)
    return moved[0].transpose(0, 1).view(-1, len(weight), height, width)
