"""Decoding the latents of Wan's VAE piece by piece: the stock frames, sooner, in memory that no clip's length adds to.

Wan, arXiv 2503.20314, section 4.1. Its convolutions look back two frames and never ahead, so a clip may be cut anywhere
as long as each convolution is given the last two frames it saw. Stock cuts after every latent frame, and copies what
it looks back at, what it pads and what it puts together; here frames are activated straight into the place from which
they are convolved. Both decoders of diffusers' `AutoencoderKLWan` are served: 2.1, and 2.2 with its second, shallow way
up and its patches.

Imported only where frames are decoded: it imports torch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.nn.functional import conv2d, conv3d, linear, rms_norm, scaled_dot_product_attention

from pipelines.exact.decode_upsampling import upsampled_convolution

# Frames that a convolution looks back at.
LOOK_BACK = 2
# Normalised together: what that takes beside x and the result is 64 MiB in float32.
VALUES_AT_A_TIME = 2**24


@torch.inference_mode()
def decode_wan(
    vae: Any, latents: torch.Tensor, *, frames_at_once: int | None = None, on_part: Callable[[], object] = lambda: None
) -> Iterator[torch.Tensor]:
    """Yield the clip's consecutive frames, (n, 3, H, W) in [-1, 1], as `vae.decode(latents).sample` has them.

    vae: an `AutoencoderKLWan` on the device and in the number format of the latents. latents: (1, C, T, h, w), as stock
    decodes them. frames_at_once: in any layer, and in what is yielded; all after the first where None, which is for
    clips as small as the device is large. on_part: called between parts of the work; what it raises ends the decoding.
    `vae.use_tiling` has no say: tiles would be other frames.
    """
    decoding = _Decoding(vae, frames_at_once, on_part)
    first, *rest = _parts(latents[0].transpose(0, 1), 1, frames_at_once)
    yield from decoding.pieces(first, is_first=True)
    for frames in rest:
        yield from decoding.pieces(frames, is_first=False)


def _parts(frames: torch.Tensor, first: int, most: int | None) -> list[torch.Tensor]:
    """Cut (T, C, h, w) after so many first frames and then into parts of the most."""
    rest = frames[first:]
    return [frames[:first], *(torch.split(rest, most or len(rest)) if len(rest) else ())]


class _Decoding:
    """One clip on its way through the decoder. Frames are (T, C, H, W) and channels-last throughout."""

    def __init__(self, vae: Any, frames_at_once: int | None, on_part: Callable[[], object]) -> None:
        self._vae, self._frames_at_once, self._on_part = vae, frames_at_once, on_part
        # What each convolution looks back at: up to two frames, before which the clip is zero.
        self._seen: dict[Any, torch.Tensor] = {}
        self._is_first = True

    def pieces(self, latents: torch.Tensor, *, is_first: bool) -> Iterator[torch.Tensor]:
        """Yield the pictures of the next latent frames, (T, C, h, w)."""
        self._is_first = is_first
        decoder = self._vae.decoder
        x = _per_pixel(self._vae.post_quant_conv, latents.contiguous(memory_format=torch.channels_last))
        x = self._middle(decoder.mid_block, self._convolved(decoder.conv_in, self._looking_back(decoder.conv_in, x)))
        return self._upwards(list(decoder.up_blocks), x)

    def _upwards(self, blocks: list[Any], x: torch.Tensor) -> Iterator[torch.Tensor]:
        """Take few frames all the way up before the next ones, since there are more and larger ones further up."""
        parts = deque(torch.split(x, self._frames_at_once or len(x)))
        del x  # or all parts would be held until the last is done
        while parts:
            if blocks:
                yield from self._upwards(blocks[1:], self._up(blocks[0], parts.popleft()))
            else:
                yield self._finished(parts.popleft())

    def _finished(self, x: torch.Tensor) -> torch.Tensor:
        decoder, patch_size = self._vae.decoder, self._vae.config.patch_size
        self._on_part()
        x = self._convolved(decoder.conv_out, self._looking_back(decoder.conv_out, x, decoder.norm_out))
        return (_without_patches(x, patch_size) if patch_size else x).clamp_(-1.0, 1.0)

    def _middle(self, block: Any, x: torch.Tensor) -> torch.Tensor:
        x = self._residual(block.resnets[0], x)
        for attention, resnet in zip(block.attentions, block.resnets[1:], strict=True):
            x = x if attention is None else _attended(attention, x)
            x = self._residual(resnet, x)
        return x

    def _up(self, block: Any, x: torch.Tensor) -> torch.Tensor:
        """Go through either kind of block: 2.1 keeps its upsampler in a list, 2.2 has a shortcut around itself."""
        shortcut = getattr(block, "avg_shortcut", None)
        below = None if shortcut is None else x
        for resnet in block.resnets:
            self._on_part()
            x = self._residual(resnet, x)
        upsampler = block.upsampler if hasattr(block, "upsampler") else (block.upsamplers or [None])[0]
        if upsampler is not None:
            x = self._upsampled(upsampler, x)
        return x if below is None else _add_repeated(shortcut, below, x)

    def _residual(self, block: Any, x: torch.Tensor) -> torch.Tensor:
        # One name, so that nothing is held longer than it is read.
        hidden = self._looking_back(block.conv1, x, block.norm1)
        hidden = self._convolved(block.conv1, hidden)
        hidden = self._looking_back(block.conv2, hidden, block.norm2)
        hidden = self._convolved(block.conv2, hidden)
        return hidden.add_(
            x if isinstance(block.conv_shortcut, torch.nn.Identity) else _per_pixel(block.conv_shortcut, x)
        )

    def _upsampled(self, block: Any, x: torch.Tensor) -> torch.Tensor:
        if hasattr(block, "time_conv"):
            x = self._twice_the_frames(block.time_conv, x)
        return upsampled_convolution(x, block.resample[1])

    def _twice_the_frames(self, convolution: Any, x: torch.Tensor) -> torch.Tensor:
        """Make two frames of each, except of the clip's first; its convolution does not see that one at all."""
        if self._is_first:
            self._seen[convolution] = x[:0].clone()  # a view would hold x
            return x
        pixels = _pixels(self._looking_back(convolution, x)).flatten(1, 2)
        doubled = conv2d(pixels[None].permute(0, 3, 1, 2), convolution.weight[..., 0], convolution.bias)
        _, channels, height, width = x.shape
        pairs = doubled[0].permute(1, 2, 0).view(len(x), -1, 2, channels).transpose(1, 2)
        return pairs.reshape(-1, height, width, channels).permute(0, 3, 1, 2)

    def _looking_back(self, convolution: Any, x: torch.Tensor, norm: Any = None) -> torch.Tensor:
        """Return (2 + T, C, H, W): what the convolution looks back at, and x after the norm and SiLU, if any.

        Before the clip's first frame all is zero; that frame comes without.
        """
        seen = None if self._is_first else self._seen.pop(convolution)
        known = 0 if self._is_first else LOOK_BACK
        frames = _empty(x, known + len(x))
        if seen is not None:
            frames[: LOOK_BACK - len(seen)].zero_()
            frames[LOOK_BACK - len(seen) : LOOK_BACK] = seen
        del seen
        _activate(norm, x, frames[known:])
        if self._is_first or self._frames_at_once:
            # A copy: a view would hold all of the frames until the next piece.
            self._seen[convolution] = frames[-LOOK_BACK:].clone()
        return frames

    def _convolved(self, convolution: Any, frames: torch.Tensor) -> torch.Tensor:
        """Convolve 3 x 3 x 3 what `_looking_back` returned: (T, O, H, W)."""
        if self._is_first:  # only the last third of the kernel meets anything but zeros
            return conv2d(frames, convolution.weight[:, :, -1], convolution.bias, padding=1)
        return _over_frames(convolution, frames)


def _activate(norm: Any, x: torch.Tensor, target: torch.Tensor) -> None:
    """Write silu(norm(x)) to the target, or x where there is no norm."""
    if norm is None:
        target.copy_(x)
        return
    most = max(1, VALUES_AT_A_TIME // x[0].numel())
    for source, part in zip(torch.split(x, most), torch.split(target, most), strict=True):
        torch.ops.aten.silu.out(_normalised(norm, source), out=part)


def _over_frames(convolution: Any, frames: torch.Tensor) -> torch.Tensor:
    """Return (T, O, H, W) of (2 + T, C, H, W).

    On a CPU the three taps are three convolutions of pictures, because a convolution of volumes as small as these is
    many times slower there; elsewhere it is one, in the layout that its kernels want.
    """
    weight, bias = convolution.weight, convolution.bias
    if frames.device.type != "cpu":
        volume = _pixels(frames)[None].permute(0, 4, 1, 2, 3)
        return conv3d(volume, weight, bias, padding=(0, 1, 1))[0].transpose(0, 1)
    result = conv2d(frames[2:], weight[:, :, 2], bias, padding=1)
    result += conv2d(frames[1:-1], weight[:, :, 1], padding=1)
    result += conv2d(frames[:-2], weight[:, :, 0], padding=1)
    return result


def _normalised(norm: Any, x: torch.Tensor) -> torch.Tensor:
    """Return x / |x| sqrt(C) gamma, pixel by pixel, in the memory format of x."""
    channels = x.shape[1]
    # A pixel of zeros stays one; stock keeps its length above 1e-12 for that.
    normalised = rms_norm(_pixels(x), (channels,), norm.gamma.flatten(), eps=1e-24 / channels)
    return normalised.permute(0, 3, 1, 2)


def _attended(block: Any, x: torch.Tensor) -> torch.Tensor:
    """Let the positions of each frame look at one another, with one head."""
    pixels = _pixels(_normalised(block.norm, x)).flatten(1, 2)
    query, key, value = linear(pixels, block.to_qkv.weight.flatten(1), block.to_qkv.bias)[:, None].chunk(3, dim=-1)
    attended = scaled_dot_product_attention(query, key, value)[:, 0]
    projected = linear(attended, block.proj.weight.flatten(1), block.proj.bias)
    return projected.view(len(x), *x.shape[2:], -1).permute(0, 3, 1, 2).add_(x)


def _add_repeated(shortcut: Any, below: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Add to x (T f, O, H s, W s) the channels of below (T, C, H, W), each spread over a part of a block of pixels.

    f, s: factors in time and space. The channels, each repeated O f s^2 / C times, are in this order those of O blocks
    of f frames, s rows and s columns. Of the clip's first frame there is the last of f alone.
    """
    count, _, height, width = below.shape
    frames, side = len(x) // count, shortcut.factor_s
    spread = below[:, :, None].expand(-1, -1, shortcut.repeats, -1, -1)
    spread = spread.reshape(count, x.shape[1], shortcut.factor_t, side, side, height, width)
    blocks = x.view(count, frames, -1, height, side, width, side)
    blocks.add_(spread[:, :, -frames:].permute(0, 2, 1, 5, 3, 6, 4))
    return x


def _without_patches(x: torch.Tensor, size: int) -> torch.Tensor:
    """Return (T, 3, H s, W s) of (T, 3 s^2, H, W), whose channels are colour, column and row in a patch."""
    count, _, height, width = x.shape
    patches = x.view(count, -1, size, size, height, width).permute(0, 1, 4, 3, 5, 2)
    return patches.reshape(count, -1, height * size, width * size)


def _per_pixel(convolution: Any, x: torch.Tensor) -> torch.Tensor:
    return conv2d(x, convolution.weight[:, :, 0], convolution.bias)


def _pixels(x: torch.Tensor) -> torch.Tensor:
    """View channels-last (T, C, H, W) as (T, H, W, C)."""
    return x.permute(0, 2, 3, 1)


def _empty(like: torch.Tensor, num_frames: int) -> torch.Tensor:
    _, channels, height, width = like.shape
    return like.new_empty(num_frames, height, width, channels).permute(0, 3, 1, 2)
