"""Attention by a chosen kernel of torch's, and batches of any size."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from pipelines.kernels import dot_product_attention as module
from pipelines.kernels.dot_product_attention import dot_product_attention
from pipelines.kernels.programs import DotProduct, Program, Programs, chosen, running
from studio.errors import UnsupportedValue


def masks() -> dict[str, torch.Tensor | None]:
    seen = torch.rand(7, 1, 5, 6) > 0.3
    seen[..., 0] = True
    return {"none": None, "one for all": seen[0, 0], "one for each": seen, "added": seen.float().log().clamp(min=-9)}


@pytest.mark.parametrize("mask", ["none", "one for all", "one for each", "added"])
def test_a_large_batch_is_computed_in_parts(mask: str, monkeypatch: pytest.MonkeyPatch) -> None:
    query, key, value = torch.randn(7, 2, 5, 8), torch.randn(7, 2, 6, 8), torch.randn(7, 2, 6, 8)
    seen = masks()[mask]
    expected = scaled_dot_product_attention(query, key, value, attn_mask=seen, scale=0.3)
    monkeypatch.setattr(module, "MOST_ROWS", 3)
    result = dot_product_attention(query, key, value, mask=seen, scale=0.3)
    torch.testing.assert_close(result, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("are_heads_last", [False, True])
def test_parts_lie_in_memory_as_a_whole_does(are_heads_last: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    query = torch.randn(7, 5, 2, 8).transpose(1, 2) if are_heads_last else torch.randn(7, 2, 5, 8)
    expected = scaled_dot_product_attention(query, query, query)
    monkeypatch.setattr(module, "MOST_ROWS", 3)
    assert dot_product_attention(query, query, query).stride() == expected.stride()


def test_a_causal_call_stays_causal() -> None:
    query = torch.randn(1, 2, 5, 8)
    expected = scaled_dot_product_attention(query, query, query, is_causal=True)
    assert torch.equal(dot_product_attention(query, query, query, is_causal=True), expected)


def test_a_kernel_that_does_not_take_the_tensors_is_named_with_a_way_out() -> None:
    query = torch.randn(1, 2, 5, 8)
    with (
        running(Programs(attention=DotProduct.CUDNN)),
        pytest.raises(UnsupportedValue, match=r"\(1, 2, 5, 8\) float32 with a mask; got sdpa-cudnn; choose auto"),
    ):
        dot_product_attention(query, query, query, mask=torch.ones(5, 5, dtype=torch.bool))


def test_other_faults_stay_what_they_are() -> None:
    with running(Programs(attention=DotProduct.MATH)), pytest.raises(RuntimeError, match="Expected size"):
        dot_product_attention(torch.randn(1, 2, 5, 8), torch.randn(1, 2, 5, 9), torch.randn(1, 2, 5, 8))


def test_programs_hold_inside_their_context_alone() -> None:
    inner, outer = Programs(attention=DotProduct.MATH), Programs.all(Program.TORCH)
    with running(outer):
        with running(inner):
            assert chosen() == inner
        assert chosen() == outer
    assert chosen() == Programs()
