"""Decoding the latents of HunyuanVideo-1.5 piece by piece: the stock frames, in memory that no clip's length adds to.

HunyuanVideo 1.5 Technical Report, arXiv 2511.18870. Above its middle the decoder's layers look back two frames and
never ahead: a clip may be cut anywhere as long as each convolution is given the two frames it saw last, and each
upsampler knows which frame is the clip's first. The middle, which looks at all earlier frames, is small: it lies where
the latents lie.

Counted on the meta device, 121 frames of 848x480 in bfloat16, the same 1,235 TFLOP: all at once the activations take
82 GiB and move 4.1 TB; two frames at a time 4.7 GiB and 5.6 TB, one 4.0 GiB and 6.7 TB, since what is looked back at is
moved again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from pipelines.replaced_forward import Forward, replaced_forward

if TYPE_CHECKING:
    import torch

# Frames that a convolution looks back at.
LOOK_BACK = 2


def decode_hunyuan15(
    vae: Any, latents: torch.Tensor, *, frames_at_once: int = 2, on_part: Callable[[], object] = lambda: None
) -> Iterator[torch.Tensor]:
    """Yield the clip's consecutive frames, (n, 3, H, W) in [-1, 1], as `vae.decode(latents).sample` has them.

    vae: an `AutoencoderKLHunyuanVideo15` on the device and in the number format of the latents, left as it was found.
    latents: (1, C, T, h, w), divided by the scaling factor. frames_at_once: in any layer above the middle.
    on_part: called between parts of the work; what it raises ends the decoding. `vae.use_tiling` has no say: tiles
    would be other frames.
    """
    decoder = vae.decoder
    with ExitStack() as stack:
        for block in decoder.up_blocks:
            for resnet in block.resnets:
                stack.enter_context(replaced_forward(resnet.conv1, _looking_back(resnet.conv1)))
                stack.enter_context(replaced_forward(resnet.conv2, _looking_back(resnet.conv2)))
            for upsampler in block.upsamplers or ():
                stack.enter_context(replaced_forward(upsampler.conv, _looking_back(upsampler.conv)))
                stack.enter_context(replaced_forward(upsampler, _knowing_the_first(upsampler)))
        stack.enter_context(replaced_forward(decoder.conv_out, _looking_back(decoder.conv_out)))
        hidden = decoder.conv_in(latents) + latents.repeat_interleave(repeats=decoder.repeat, dim=1)
        hidden = decoder.mid_block(hidden)
        yield from _upwards(decoder, list(decoder.up_blocks), hidden, frames_at_once, on_part)


def _upwards(
    decoder: Any, blocks: list[Any], hidden: torch.Tensor, frames_at_once: int, on_part: Callable[[], object]
) -> Iterator[torch.Tensor]:
    """Take few frames all the way up before the next ones, since there are more and larger ones further up."""
    for start in range(0, hidden.shape[2], frames_at_once):
        on_part()
        part = hidden[:, :, start : start + frames_at_once]
        if blocks:
            yield from _upwards(decoder, blocks[1:], blocks[0](part), frames_at_once, on_part)
        else:
            yield decoder.conv_out(decoder.conv_act(decoder.norm_out(part)))[0].transpose(0, 1)


def _looking_back(convolution: Any) -> Callable[[Forward], Forward]:
    """Return what makes the forward of a causal convolution that is given a clip part by part."""
    import torch
    from torch.nn.functional import pad

    *sides, _before, _after = convolution.time_causal_padding
    seen: list[torch.Tensor] = []

    def forward(hidden: torch.Tensor) -> torch.Tensor:
        # Before the clip is its first frame again.
        back = seen.pop() if seen else hidden[:, :, :1].expand(-1, -1, LOOK_BACK, -1, -1)
        frames = torch.cat([back, hidden], dim=2)
        seen.append(frames[:, :, -LOOK_BACK:].clone())  # a view would hold all of them
        result: torch.Tensor = convolution.conv(pad(frames, (*sides, 0, 0), mode=convolution.pad_mode))
        return result

    return lambda _stock: forward


def _knowing_the_first(upsampler: Any) -> Callable[[Forward], Forward]:
    """Return what makes the forward of an upsampler that doubles all frames but the clip's first."""
    is_first = [True]

    def make(stock: Forward) -> Forward:
        def forward(hidden: torch.Tensor) -> torch.Tensor:
            if not upsampler.add_temporal_upsample or is_first.pop():
                is_first.append(False)
                result: torch.Tensor = stock(hidden)
                return result
            is_first.append(False)
            doubled = upsampler._dcae_upsample_rearrange(upsampler.conv(hidden), r1=2, r2=2, r3=2)
            shortcut = upsampler._dcae_upsample_rearrange(hidden, r1=2, r2=2, r3=2)
            both: torch.Tensor = doubled + shortcut.repeat_interleave(repeats=upsampler.repeats, dim=1)
            return both

        return forward

    return make
