"""Attention along the frames, in plain torch, beside the way stock models go: positions moved to the batch and back."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.kernels import temporal_attention as module
from pipelines.kernels.programs import Program
from pipelines.kernels.temporal_attention import temporal_attention


def stock(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, heads: int) -> torch.Tensor:
    """Attend as diffusers' temporal transformer blocks do, from (B, T, N, C) to (B, T, N, C)."""
    batch, frames, positions, channels = query.shape

    def rows(x: torch.Tensor) -> torch.Tensor:
        moved = x.permute(0, 2, 1, 3).reshape(batch * positions, frames, channels)
        return moved.view(batch * positions, frames, heads, -1).transpose(1, 2)

    attended = torch.nn.functional.scaled_dot_product_attention(rows(query), rows(key), rows(value))
    return attended.transpose(1, 2).reshape(batch, positions, frames, channels).permute(0, 2, 1, 3)


@given(
    batch=st.integers(1, 2),
    frames=st.sampled_from([1, 14, 16, 25, 32, 64]),
    positions=st.integers(1, 21),
    heads=st.integers(1, 3),
    width=st.sampled_from([8, 40, 64]),
)
@settings(max_examples=25, deadline=None)
def test_equals_the_stock_way(batch: int, frames: int, positions: int, heads: int, width: int) -> None:
    torch.manual_seed(0)
    query, key, value = torch.randn(3, batch, frames, positions, heads * width)
    expected = stock(query, key, value, heads)
    torch.testing.assert_close(temporal_attention(query, key, value, heads=heads), expected, atol=1e-5, rtol=0)


def test_takes_parts_of_one_tensor_and_every_other_frame() -> None:
    query, key, value = torch.randn(2, 10, 9, 3 * 32)[:, ::2].chunk(3, dim=-1)
    assert not query.is_contiguous()
    expected = stock(query, key, value, heads=4)
    torch.testing.assert_close(temporal_attention(query, key, value, heads=4), expected, atol=1e-5, rtol=0)


def test_takes_any_number_of_positions(monkeypatch: pytest.MonkeyPatch) -> None:
    query, key, value = torch.randn(3, 2, 3, 23, 16)
    whole = temporal_attention(query, key, value, heads=2)
    monkeypatch.setattr(module, "POSITIONS_AT_A_TIME", 5)
    torch.testing.assert_close(temporal_attention(query, key, value, heads=2), whole, atol=1e-6, rtol=0)


def test_runs_beyond_the_rows_where_fused_kernels_end() -> None:
    query = torch.randn(1, 2, 73_728, 8)
    attended = temporal_attention(query, query, query, heads=1)
    torch.testing.assert_close(attended[:, :, -1:], stock(*(query[:, :, -1:],) * 3, heads=1), atol=1e-5, rtol=0)


def test_the_scale_is_the_callers() -> None:
    query, key, value = torch.randn(3, 1, 5, 4, 16)
    even = temporal_attention(query, key, value, heads=2, scale=0.0)
    torch.testing.assert_close(even, value.mean(1, keepdim=True).expand_as(value), atol=1e-6, rtol=0)


def test_without_a_gpu_triton_may_be_asked_for_and_torch_computes() -> None:
    query, key, value = torch.randn(3, 1, 5, 4, 16)
    by_torch = temporal_attention(query, key, value, heads=2, program=Program.TORCH)
    assert torch.equal(temporal_attention(query, key, value, heads=2, program=Program.TRITON), by_torch)


def test_gradients_are_those_of_the_stock_way() -> None:
    given = torch.randn(3, 2, 3, 4, 8, requires_grad=True)
    (expected,) = torch.autograd.grad(stock(*given, heads=2).square().sum(), given)
    (found,) = torch.autograd.grad(temporal_attention(*given, heads=2).square().sum(), given)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
