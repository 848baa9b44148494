"""The transformers of HunyuanVideo make the same video without the padding of their text, and without its mask."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode

from pipelines.exact.hunyuan_text import without_padding

pytestmark = pytest.mark.filterwarnings("ignore")

Arguments = dict[str, Any]
TOKENS, LETTERS, SEEN = 24, 12, 9
VIDEO = (3, 4, 2)


def second() -> Any:
    """Return HunyuanVideo-1.5's transformer at its smallest, in eval mode."""
    from diffusers import HunyuanVideo15Transformer3DModel

    torch.manual_seed(0)
    return HunyuanVideo15Transformer3DModel(
        in_channels=9, out_channels=4, num_attention_heads=2, attention_head_dim=8, num_layers=2, num_refiner_layers=1,
        mlp_ratio=2.0, text_embed_dim=16, text_embed_2_dim=8, image_embed_dim=12, rope_axes_dim=(2, 2, 4),
    ).eval()  # fmt: skip


def first(condition: str | None = None) -> Any:
    """Return HunyuanVideo's transformer at its smallest, in eval mode."""
    from diffusers import HunyuanVideoTransformer3DModel

    torch.manual_seed(0)
    return HunyuanVideoTransformer3DModel(
        in_channels=4, out_channels=4, num_attention_heads=2, attention_head_dim=10, num_layers=2, num_single_layers=2,
        num_refiner_layers=1, patch_size=1, patch_size_t=1, guidance_embeds=True, text_embed_dim=16,
        pooled_projection_dim=8, rope_axes_dim=(2, 4, 4), image_condition_type=condition,
    ).eval()  # fmt: skip


def call_of_second(*counts: tuple[list[int], list[int]], has_picture: bool = False) -> Arguments:
    """Return a call. counts: for each item of the batch the places of its tokens and of its letters that count."""
    batch = len(counts)
    masks = [torch.zeros(batch, TOKENS), torch.zeros(batch, LETTERS)]
    for item, places in enumerate(counts):
        for mask, counted in zip(masks, places, strict=True):
            mask[item, counted] = 1
    rng = torch.Generator().manual_seed(1)
    picture = torch.randn(batch, SEEN, 12, generator=rng)
    return {
        "hidden_states": torch.randn(batch, 9, *VIDEO, generator=rng),
        "timestep": torch.full((batch,), 500.0),
        "encoder_hidden_states": torch.randn(batch, TOKENS, 16, generator=rng),
        "encoder_attention_mask": masks[0],
        "encoder_hidden_states_2": torch.randn(batch, LETTERS, 8, generator=rng),
        "encoder_attention_mask_2": masks[1],
        "image_embeds": picture if has_picture else torch.zeros_like(picture),
        "return_dict": False,
    }


def call_of_first(*lengths: int) -> Arguments:
    """Return a call. lengths: for each item of the batch how many of its tokens count."""
    batch = len(lengths)
    rng = torch.Generator().manual_seed(1)
    return {
        "hidden_states": torch.randn(batch, 4, *VIDEO, generator=rng),
        "timestep": torch.full((batch,), 500.0),
        "encoder_hidden_states": torch.randn(batch, TOKENS, 16, generator=rng),
        "encoder_attention_mask": (torch.arange(TOKENS) < torch.tensor(lengths)[:, None]).float(),
        "pooled_projections": torch.randn(batch, 8, generator=rng),
        "guidance": torch.full((batch,), 6000.0),
        "return_dict": False,
    }


class Attentions(TorchFunctionMode):
    """Remembers, of each attention inside it, the number of tokens and whether it had a mask."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[int, bool]] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        named = kwargs or {}
        if func is scaled_dot_product_attention:
            query = named.get("query", args[0] if args else None)
            self.seen.append((query.shape[2], named.get("attn_mask") is not None))
        return func(*args, **named)


def both(transformer: Any, call: Arguments) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what stock makes of a call, and what the trimmed one does."""
    with torch.inference_mode():
        stock = transformer(**call)[0]
        with without_padding(transformer):
            return stock, transformer(**call)[0]


FEW = [0, 1, 2, 3, 4]
CASES: dict[str, tuple[Callable[[], Any], Arguments]] = {
    "1.5 from text": (second, call_of_second((FEW, []))),
    "1.5 with words to be seen": (second, call_of_second((FEW, [0, 1]))),
    "1.5 from a picture": (second, call_of_second((FEW, []), has_picture=True)),
    "1.5 with gaps": (second, call_of_second(([3, 9, 10, 23], [5]))),
    "1.5, two of one length": (second, call_of_second((FEW, [0]), (FEW, [0]))),
    "from text": (first, call_of_first(5)),
    "with a picture in place": (lambda: first("token_replace"), call_of_first(5)),
    "two of one length": (first, call_of_first(5, 5)),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_video_is_the_same_and_no_block_has_a_mask(case: tuple[Callable[[], Any], Arguments]) -> None:
    make, call = case
    transformer = make()
    stock, ours = both(transformer, call)
    torch.testing.assert_close(ours, stock, rtol=0, atol=1e-5)
    with torch.inference_mode(), without_padding(transformer), Attentions() as attentions:
        transformer(**call)
    video = 3 * 4 * 2
    in_blocks = [(tokens, has_mask) for tokens, has_mask in attentions.seen if tokens >= video]
    assert len(in_blocks) == len(transformer.transformer_blocks) + len(
        getattr(transformer, "single_transformer_blocks", ())
    )
    assert not any(has_mask for _, has_mask in in_blocks)
    assert {tokens for tokens, _ in in_blocks} == {video + counted_tokens(call)}


def counted_tokens(call: Arguments) -> int:
    """Return how many tokens beside the video's count in the first item of a call."""
    masks = [call[name][0].sum() for name in ("encoder_attention_mask", "encoder_attention_mask_2") if name in call]
    picture = call.get("image_embeds")
    return int(sum(masks)) + (SEEN if picture is not None and picture.any() else 0)


def test_stock_has_a_mask_over_all_tokens_in_each_block() -> None:
    with torch.inference_mode(), Attentions() as attentions:
        second()(**CASES["1.5 from text"][1])
    assert attentions.seen.count((3 * 4 * 2 + TOKENS + LETTERS + SEEN, True)) == 2


@pytest.mark.parametrize("make", [second, first])
def test_in_double_precision_they_are_equal_to_the_last_digits(make: Callable[[], Any]) -> None:
    call = call_of_second((FEW, [0])) if make is second else call_of_first(5)
    precise = {name: value.double() if torch.is_tensor(value) else value for name, value in call.items()}
    stock, ours = both(make().double(), precise)
    # Stock itself computes parts of the time embedding in float32, the same for both.
    torch.testing.assert_close(ours, stock, rtol=0, atol=1e-13)


@pytest.mark.parametrize("counts", [[(FEW, [0]), ([0, 1], [])], [(FEW, []), ([0], [1, 2])]])
def test_a_batch_of_two_lengths_keeps_the_mask_it_needs(counts: list[tuple[list[int], list[int]]]) -> None:
    stock, ours = both(second(), call_of_second(*counts, has_picture=True))
    torch.testing.assert_close(ours, stock, rtol=0, atol=1e-5)
    stock, ours = both(first(), call_of_first(5, 2))
    torch.testing.assert_close(ours, stock, rtol=0, atol=1e-5)


def test_a_text_that_fills_all_places_is_left_as_it_is() -> None:
    everything = (list(range(TOKENS)), list(range(LETTERS)))
    for stock, ours in (
        both(second(), call_of_second(everything, has_picture=True)),
        both(first(), call_of_first(TOKENS)),
    ):
        torch.testing.assert_close(ours, stock, rtol=0, atol=1e-6)


def test_a_call_without_any_text_is_stocks_own() -> None:
    stock, ours = both(second(), call_of_second(([], [0])))
    assert torch.equal(stock, ours)


@settings(max_examples=25, deadline=None)
@given(
    places=st.tuples(
        st.sets(st.integers(0, TOKENS - 1), min_size=1).map(sorted), st.sets(st.integers(0, LETTERS - 1)).map(sorted)
    ),
    has_picture=st.booleans(),
)
def test_any_places_may_count(places: tuple[list[int], list[int]], has_picture: bool) -> None:
    stock, ours = both(TRANSFORMER, call_of_second(places, has_picture=has_picture))
    torch.testing.assert_close(ours, stock, rtol=0, atol=1e-5)


TRANSFORMER = second()


@pytest.mark.parametrize("make", [second, first])
def test_the_transformer_is_left_as_it_was_found(make: Callable[[], Any]) -> None:
    transformer = make()
    before = [type(block.attn.processor) for block in transformer.transformer_blocks]
    call = call_of_second((FEW, [])) if make is second else call_of_first(5)
    with torch.inference_mode():
        stock = transformer(**call)[0]
    with without_padding(transformer):
        pass
    assert [type(block.attn.processor) for block in transformer.transformer_blocks] == before
    assert not any(module._forward_pre_hooks for module in transformer.modules())
    with torch.inference_mode():
        assert torch.equal(transformer(**call)[0], stock)


@pytest.mark.parametrize("has_picture", [True, False])
def test_it_runs_without_numbers(has_picture: bool) -> None:
    call = call_of_second((FEW, []), has_picture=has_picture)
    if not has_picture:
        call["image_embeds"] = call["image_embeds"][:, :0]
    shapes = {name: value.to("meta") if torch.is_tensor(value) else value for name, value in call.items()}
    transformer = second().to("meta")
    with torch.inference_mode(), without_padding(transformer):
        assert transformer(**shapes)[0].shape == (1, 4, *VIDEO)


def test_a_backend_that_was_chosen_stays_chosen() -> None:
    transformer = second()
    transformer.set_attention_backend("_native_math")
    with without_padding(transformer):
        assert all(block.attn.processor._attention_backend is not None for block in transformer.transformer_blocks)
