"""Cross-attention to one key is a constant: the stock module's output, bit for bit, without attention."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from pipelines.exact.attention import CrossAttention, answer_of_one_key
from pipelines.exact.unet import exact_forward
from pipelines.plan import Tiling
from tests.pipelines.exact.unets import inputs_of, small_unet

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def attention_of(channels: int, heads: int, tokens: int, dtype: torch.dtype) -> Any:
    from diffusers.models.attention_processor import Attention

    torch.manual_seed(0)
    return Attention(query_dim=channels, cross_attention_dim=tokens, heads=heads, dim_head=channels // heads).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("channels", "heads", "width"), [(64, 2, 32), (96, 3, 8), (320, 5, 1024), (40, 1, 24)])
@pytest.mark.parametrize(
    ("sequences", "length"),
    # frames and positions as spatial layers have them, then as temporal layers do
    [(1, 1), (1, 9), (2, 35), (3, 35), (14, 1), (14, 64), (25, 30), (9, 2), (35, 3), (64, 14), (30, 25), (256, 1)],
)
@torch.inference_mode()
def test_it_is_bit_equal_to_the_stock_module(
    channels: int, heads: int, width: int, sequences: int, length: int, dtype: torch.dtype, threads: int
) -> None:
    attention = attention_of(channels, heads, width, dtype)
    context = torch.randn(1, 1, width).to(dtype)
    stock = attention(
        torch.randn(sequences, length, channels).to(dtype),
        encoder_hidden_states=context.expand(sequences, -1, -1).contiguous(),
    )
    answer = answer_of_one_key(attention, context, sequences=sequences, length=length)
    if threads > 1 and min(sequences, sequences * length) < 12:
        # The stock module's own rows differ in their last bits: to each thread its way through the few it has.
        torch.testing.assert_close(answer.expand_as(stock), stock, atol=1e-5, rtol=1e-2 if dtype.itemsize == 2 else 0)
        return
    assert torch.equal(stock, answer.expand_as(stock))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_whole_unet_with_the_collapse_alone_is_bit_equal_to_stock(dtype: torch.dtype, threads: int) -> None:
    """Every cross-attention of the stock forward is replaced by its answer, and nothing else."""
    unet = small_unet(dtype, layers_per_block=2)
    inputs = inputs_of(unet, frames=14, height=6, width=10)
    with torch.inference_mode():
        stock = unet(*inputs).sample
        replaced = [module for name, module in unet.named_modules() if name.endswith("attn2")]
        for module in replaced:
            module.forward = _answering(module)
        ours = unet(*inputs).sample
    assert len(replaced) == 12  # two for each of the transformers: two on the way down, one in the middle, three up
    assert torch.equal(ours, stock)


def _answering(attention: Any) -> Any:
    def forward(hidden_states: torch.Tensor, encoder_hidden_states: torch.Tensor, **others: Any) -> torch.Tensor:
        sequences, length, _ = hidden_states.shape
        answer = answer_of_one_key(attention, encoder_hidden_states[:1], sequences=sequences, length=length)
        return answer.expand_as(hidden_states)

    return forward


def test_every_clip_of_a_batch_has_its_own_context() -> None:
    unet = small_unet()
    sample, timestep, context, conditions = inputs_of(unet, batch=2)
    context[1] = 5 * context[0]
    swapped = context.flip(0)
    with torch.inference_mode():
        forward = exact_forward(unet, Tiling())
        ours, other = (forward(sample, timestep, given, conditions).sample for given in (context, swapped))
        stock = unet(sample, timestep, context, conditions).sample
    assert (ours - stock).abs().max() <= 1e-5
    assert (ours - other).abs().amax((1, 2, 3, 4)).min() > 1e-3


def test_a_context_that_changes_in_place_or_weights_that_do_are_seen_at_once() -> None:
    """Nothing is remembered from one call to the next."""
    unet = small_unet()
    inputs = inputs_of(unet)
    forward = exact_forward(unet, Tiling())
    with torch.inference_mode():
        for change in (inputs[2], unet.mid_block.attentions[0].transformer_blocks[0].attn2.to_v.weight.data):
            before = forward(*inputs).sample
            change.mul_(-2)
            after = forward(*inputs).sample
            assert (after - unet(*inputs).sample).abs().max() <= 1e-5
            assert (after - before).abs().max() > 1e-3


def test_two_keys_are_attended_to() -> None:
    unet = small_unet()
    block = unet.mid_block.attentions[0].transformer_blocks[0]
    context = torch.randn(1, 2, 16)
    x = torch.randn(3, 8, 64)
    with torch.inference_mode():
        cross = CrossAttention(block, context, sequences=3, length=8)
        expected = x + block.attn2(block.norm2(x), encoder_hidden_states=context.expand(3, -1, -1))
        cross.add_to(x)
    assert cross.answer is None
    torch.testing.assert_close(x, expected, atol=1e-6, rtol=0)
