"""HunyuanVideo and HunyuanVideo-1.5 without the padding of their text: the same video, and no attention mask.

Both fill prompts up to a fixed length (256 tokens; in 1.5 1000 and 256, and 729 of a picture that text-to-video has
not) and let the joint attention of video and text mask what was filled up. HunyuanVideo-1.5 builds that mask in each of
its 54 blocks, dense and twice, N x N booleans for N = video + text tokens; with a mask torch takes neither its flash
nor its cuDNN kernel, and others measured 22 times as long for one call (facts/performance.md, 1.7).

Why it may be left out: no token that counts looks at one that was filled up, and positions are given to the video
tokens alone (RoPE), so that the text is a set. Without the filled-up tokens the sums of each softmax have the same
terms. What changes is rounding: 4e-7 at most in float32.

What it saves, counted for one forward of 121 frames at 848x480 (49,290 video tokens), a prompt of 60 tokens:

| | stock | trimmed |
|---|---|---|
| tokens | 51,275 | 49,350 |
| masks alive in a block, twice N^2 bytes | 4.9 GiB | 0 |
| mask traffic, 54 blocks x 5 N^2 bytes or more | 710 GB | 0 |
| attention, 54 x 4 N^2 x 2048 FLOP | 1,163 TFLOP | 1,077 TFLOP |
| linear layers of the text, 1,985 against 60 tokens | 11 TFLOP | 0.3 TFLOP |
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from inspect import signature
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

# Where the blocks of both transformers take the mask: after the video, the text and the time.
MASK_POSITION = 3


@dataclass
class _Call:
    """One forward in progress. needs_mask: some tokens still only fill up, as the batch has texts of two lengths."""

    needs_mask: bool = True


@contextmanager
def without_padding(transformer: Any) -> Iterator[None]:
    """Let a stock transformer of HunyuanVideo or HunyuanVideo-1.5 leave out the text tokens that only fill up.

    All items of a batch are cut to the tokens that one of them has; where they have the same ones, which a batch of one
    always does, attention runs without a mask. The module's weights, blocks and forward are diffusers' own, and it is
    left as it was found. On the meta device, where nothing can be read, all tokens are taken to count.
    """
    call = _Call()
    names = signature(type(transformer).forward)
    is_second = hasattr(transformer, "context_embedder_2")
    trim = _trim_all_texts if is_second else _trim_text

    def before_forward(module: Any, arguments: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        bound = names.bind(module, *arguments, **named).arguments
        bound.pop("self")
        call.needs_mask = True
        trim(bound, call)
        return (), bound

    with ExitStack() as stack:
        stack.callback(transformer.register_forward_pre_hook(before_forward, with_kwargs=True).remove)
        if is_second:
            stack.enter_context(_embedders_take_what_lies_elsewhere(transformer))
            stack.enter_context(_attention_without_mask(transformer.transformer_blocks))
        for block in _blocks(transformer):
            stack.callback(block.register_forward_pre_hook(_mask_dropped(call)).remove)
        yield


def _trim_text(named: dict[str, Any], call: _Call) -> None:
    """Cut the text of HunyuanVideo at its end: its transformer takes the first tokens for those that count."""
    mask = named["encoder_attention_mask"]
    counts = _read(mask)
    if not counts.any():
        return
    length = int(counts.any(0).nonzero().max()) + 1
    named["encoder_hidden_states"] = named["encoder_hidden_states"][:, :length]
    named["encoder_attention_mask"] = mask[:, :length]
    call.needs_mask = not bool(counts[:, :length].all())


def _trim_all_texts(named: dict[str, Any], call: _Call) -> None:
    """Cut both texts of HunyuanVideo-1.5, and the place for a picture where there is none (its embedding is zero)."""
    picture = named["image_embeds"]
    has_picture = picture.shape[1] > 0 and (picture.is_meta or bool(picture.any()))
    if not _read(named["encoder_attention_mask"]).any():
        return
    masks = {}
    for text in ("encoder_hidden_states", "encoder_hidden_states_2"):
        mask = text.replace("hidden_states", "attention_mask")
        counts = _read(named[mask])
        kept = counts.any(0).nonzero().flatten()
        named[text], named[mask], masks[mask] = (_columns(one, kept) for one in (named[text], named[mask], counts))
    named["image_embeds"] = picture if has_picture else picture[:, :0]
    call.needs_mask = not all(bool(counts.all()) for counts in masks.values())
    if not call.needs_mask:
        # The transformer asks masks and picture for numbers: meta tensors have none, and a GPU must be waited for.
        named.update(masks)
        if picture.is_meta or not has_picture:
            named["image_embeds"] = _stand_in(named["image_embeds"])


def _read(mask: torch.Tensor) -> torch.Tensor:
    """Return a mask as booleans in main memory."""
    import torch

    return torch.ones(mask.shape, dtype=torch.bool) if mask.is_meta else mask.bool().cpu()


def _columns(tensor: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
    """Return tokens (B, L, ...) or a mask (B, L) with the given positions alone."""
    is_everything = len(kept) == tensor.shape[1]
    return tensor if is_everything else tensor.index_select(1, kept.to(tensor.device))


def _stand_in(picture: torch.Tensor) -> torch.Tensor:
    import torch

    return torch.ones(picture.shape, dtype=picture.dtype)


def _blocks(transformer: Any) -> list[Any]:
    return [*transformer.transformer_blocks, *getattr(transformer, "single_transformer_blocks", ())]


def _mask_dropped(call: _Call) -> Any:
    def before_block(_block: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...] | None:
        if call.needs_mask:
            return None
        return (*arguments[:MASK_POSITION], None, *arguments[MASK_POSITION + 1 :])

    return before_block


@contextmanager
def _embedders_take_what_lies_elsewhere(transformer: Any) -> Iterator[None]:
    """Bring a mask and a picture that lie in main memory to the device, at the embedders that compute with them."""

    def mask_to_text(_embedder: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        text, timestep, mask = arguments
        return text, timestep, mask.to(text.device)

    device: list[Any] = []

    def device_of_video(_embedder: Any, arguments: tuple[Any, ...]) -> None:
        device[:] = [arguments[0].device]

    def picture_to_video(_embedder: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        return (arguments[0].to(device[0]),)

    hooks = (
        (transformer.context_embedder, mask_to_text),
        (transformer.x_embedder, device_of_video),
        (transformer.image_embedder, picture_to_video),
    )
    with ExitStack() as stack:
        for embedder, hook in hooks:
            stack.callback(embedder.register_forward_pre_hook(hook).remove)
        yield


@contextmanager
def _attention_without_mask(blocks: Any) -> Iterator[None]:
    """Let the attention of HunyuanVideo-1.5 run without a mask: as that of HunyuanVideo, which does the same but it."""
    from diffusers.models.transformers.transformer_hunyuan_video import HunyuanVideoAttnProcessor2_0
    from diffusers.models.transformers.transformer_hunyuan_video15 import HunyuanVideo15AttnProcessor2_0

    class Processor(HunyuanVideo15AttnProcessor2_0):  # type: ignore[misc]
        def __call__(
            self,
            attn: Any,
            hidden_states: torch.Tensor,
            encoder_hidden_states: torch.Tensor | None = None,
            attention_mask: torch.Tensor | None = None,
            image_rotary_emb: Any = None,
        ) -> Any:
            way = HunyuanVideoAttnProcessor2_0 if attention_mask is None else HunyuanVideo15AttnProcessor2_0
            return way.__call__(self, attn, hidden_states, encoder_hidden_states, attention_mask, image_rotary_emb)

    stock = [block.attn.processor for block in blocks]
    for block, processor in zip(blocks, stock, strict=True):
        ours = Processor()
        ours.__dict__.update(vars(processor))
        block.attn.set_processor(ours)
    try:
        yield
    finally:
        for block, processor in zip(blocks, stock, strict=True):
            block.attn.set_processor(processor)
