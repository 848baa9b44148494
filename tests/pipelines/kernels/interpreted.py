"""The programs in Triton beside plain torch, in Triton's interpreter.

Triton reads TRITON_INTERPRET once, when it is imported, so that these run in a process of their own, which
`test_triton.py` starts: TRITON_INTERPRET=1 python -m pytest tests/pipelines/kernels/interpreted.py
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.nn.functional import gelu

if os.environ.get("TRITON_INTERPRET") != "1":
    pytest.skip("TRITON_INTERPRET=1 is not set", allow_module_level=True)

from pipelines.attention import Backend, available, choose, route, using
from pipelines.kernels import triton_gated_linear, triton_group_norm, triton_temporal_attention
from pipelines.kernels.dot_product_attention import dot_product_attention
from pipelines.kernels.gated_linear import geglu
from pipelines.kernels.group_norm import Moments, normalise
from pipelines.kernels.programs import Program, Programs, chosen, running
from pipelines.kernels.temporal_attention import temporal_attention

pytestmark = pytest.mark.filterwarnings("ignore")

CPU = torch.device("cpu")
TOLERANCES = {torch.float32: 1e-5, torch.float16: 2e-3}
# In steps of the number format. Cards round to the nearest; the interpreter cuts the digits of bfloat16 off.
ROUNDING = {torch.float32: 0.5, torch.float16: 0.51, torch.bfloat16: 1.01}


@pytest.fixture(autouse=True)
def inference() -> Iterator[None]:
    torch.manual_seed(0)
    with torch.inference_mode():
        yield


@pytest.fixture
def launches(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Remember the shape of each launch of the program for temporal attention."""
    seen: list[tuple[int, ...]] = []
    launch = triton_temporal_attention._launch

    def remember(query: torch.Tensor, *others: Any, **named: Any) -> None:
        seen.append(tuple(query.shape))
        launch(query, *others, **named)

    monkeypatch.setattr(triton_temporal_attention, "_launch", remember)
    return seen


# -- temporal attention --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dtype", "frames"),
    [
        *((torch.float32, frames) for frames in (1, 14, 16, 25, 32, 64)),
        *((torch.float16, frames) for frames in (1, 25)),
    ],
)
@pytest.mark.parametrize(
    ("batch", "positions", "heads", "width"), [(1, 35, 1, 64), (2, 7, 2, 40), (2, 3, 1, 160), (1, 9, 3, 80)]
)
def test_temporal_attention(
    dtype: torch.dtype, frames: int, batch: int, positions: int, heads: int, width: int, launches: list[Any]
) -> None:
    query, key, value = torch.randn(3, batch, frames, positions, heads * width, dtype=dtype)
    result = temporal_attention(query, key, value, heads=heads, program=Program.TRITON)
    expected = temporal_attention(query.float(), key.float(), value.float(), heads=heads, program=Program.TORCH)
    assert launches == [(batch, frames, positions, heads, width)]
    assert result.dtype is dtype
    torch.testing.assert_close(result.float(), expected, atol=TOLERANCES[dtype], rtol=0)


def test_temporal_attention_on_parts_of_one_tensor(launches: list[Any]) -> None:
    query, key, value = torch.randn(2, 28, 11, 3 * 32)[:, ::2, 1:].chunk(3, dim=-1)
    result = temporal_attention(query, key, value, heads=4, scale=0.2, program=Program.TRITON)
    expected = temporal_attention(query, key, value, heads=4, scale=0.2, program=Program.TORCH)
    assert len(launches) == 1
    torch.testing.assert_close(result, expected, atol=1e-5, rtol=0)


def test_temporal_attention_survives_large_scores() -> None:
    query, key, value = 100 * torch.randn(3, 1, 25, 3, 16)
    result = temporal_attention(query, key, value, heads=1, program=Program.TRITON)
    expected = temporal_attention(*(x.double() for x in (query, key, value)), heads=1, program=Program.TORCH)
    torch.testing.assert_close(result.double(), expected, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize(
    ("shape", "heads", "dtype"),
    [
        ((1, 65, 2, 16), 1, torch.float32),
        ((1, 4, 2, 257), 1, torch.float32),
        ((1, 4, 2, 16), 1, torch.float64),
        ((1, 4, 2, 16), 1, torch.bfloat16),  # the interpreter multiplies it wrongly
    ],
)
def test_what_triton_does_not_take_is_computed_by_torch(
    shape: tuple[int, ...], heads: int, dtype: torch.dtype, launches: list[Any]
) -> None:
    query, key, value = torch.randn(3, *shape, dtype=dtype)
    result = temporal_attention(query, key, value, heads=heads, program=Program.TRITON)
    assert torch.equal(result, temporal_attention(query, key, value, heads=heads, program=Program.TORCH))
    assert launches == []


def test_channels_that_do_not_lie_side_by_side_are_computed_by_torch(launches: list[Any]) -> None:
    query, key, value = torch.randn(3, 1, 4, 2, 32)[..., ::2]
    temporal_attention(query, key, value, heads=2, program=Program.TRITON)
    assert launches == []


def test_where_gradients_are_wanted_torch_computes(launches: list[Any]) -> None:
    with torch.inference_mode(False):
        query, key, value = torch.randn(3, 1, 4, 2, 16, requires_grad=True)
        temporal_attention(query, key, value, heads=1, program=Program.TRITON).sum().backward()
    assert launches == []


def test_without_being_asked_torch_computes(launches: list[Any]) -> None:
    query, key, value = torch.randn(3, 1, 4, 2, 16)
    temporal_attention(query, key, value, heads=1)
    with running(Programs.all(Program.TRITON)):
        temporal_attention(query, key, value, heads=1, program=Program.TORCH)
    assert launches == []


def test_short_rows_of_a_stock_model_go_the_same_way(launches: list[Any]) -> None:
    query, key, value = (x.transpose(1, 2) for x in torch.randn(3, 21, 14, 2, 40))
    expected = dot_product_attention(query, key, value)
    with running(Programs.all(Program.TRITON)):
        result = dot_product_attention(query, key, value)
        dot_product_attention(query, key[:, :, :9], value[:, :, :9])  # not attending to itself
        dot_product_attention(query, key, value, mask=torch.ones(14, 14, dtype=torch.bool))
    assert launches == [(1, 14, 21, 2, 40)]
    torch.testing.assert_close(result, expected, atol=1e-5, rtol=0)
    assert result.stride() == expected.stride()


# -- group normalisation and the gate --------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ROUNDING, ids=str)
@pytest.mark.parametrize(
    ("shape", "groups"),
    [((2, 64, 3, 5, 7), 32), ((1, 320, 9, 5), 32), ((2, 96, 4), 32), ((3, 1, 2, 2), 1), ((1, 6, 1, 1), 2)],
)
def test_group_norm(dtype: torch.dtype, shape: tuple[int, ...], groups: int) -> None:
    batch, channels, *size = shape
    x = (torch.randn(batch, *size, channels) * 3 + 20).to(dtype).movedim(-1, 1)
    weight, bias = torch.randn(2, channels)
    assert triton_group_norm.takes(x)
    moments, expected = Moments.of(x, groups, program=Program.TRITON), Moments.of(x.double(), groups)
    assert moments.count == expected.count
    torch.testing.assert_close(moments.mean.double(), expected.mean, atol=2e-5, rtol=0)
    torch.testing.assert_close(moments.squares.double(), expected.squares, rtol=1e-5, atol=1e-5)
    for is_activated in (False, True):
        norm = {"eps": 1e-5, "is_activated": is_activated}
        result = normalise(x, moments, weight, bias, program=Program.TRITON, **norm)
        plain = normalise(x.double(), expected, weight.double(), bias.double(), **norm)
        assert result.dtype is dtype
        assert result.movedim(1, -1).is_contiguous()
        rounding = torch.finfo(dtype).eps * plain.abs().clamp(min=1)
        assert ((result.double() - plain).abs() <= ROUNDING[dtype] * rounding + 1e-5).all()


def test_moments_of_parts_of_unequal_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton_group_norm, "NUMBERS", 64)
    monkeypatch.setattr(triton_group_norm, "PROGRAMS", 4)
    x = (torch.randn(1, 13, 17, 8) + 5).movedim(-1, 1)
    found, expected = Moments.of(x, 2, program=Program.TRITON), Moments.of(x, 2)
    torch.testing.assert_close(found.mean, expected.mean)
    torch.testing.assert_close(found.squares, expected.squares)


def test_a_few_frames_of_each_clip_of_a_batch_are_normalised_where_they_lie() -> None:
    clips = torch.randn(2, 6, 4, 4, 8).movedim(-1, 1)
    frames = clips[:, :, 2:5]
    weight, bias = torch.randn(2, 8)
    assert triton_group_norm.takes(frames)
    moments = Moments.of(clips, 2)
    result = normalise(frames, moments, weight, bias, eps=1e-5, is_activated=True, program=Program.TRITON)
    expected = normalise(frames, moments, weight, bias, eps=1e-5, is_activated=True)
    torch.testing.assert_close(result, expected, atol=1e-5, rtol=0)


def test_one_set_of_moments_serves_the_whole_batch() -> None:
    frames = torch.randn(5, 4, 4, 8).movedim(-1, 1)
    moments = Moments.of(frames, 2).pooled(5)
    weight, bias = torch.randn(2, 8)
    result = normalise(frames, moments, weight, bias, eps=1e-5, is_activated=False, program=Program.TRITON)
    expected = normalise(frames, moments, weight, bias, eps=1e-5, is_activated=False)
    torch.testing.assert_close(result, expected, atol=1e-5, rtol=0)


def test_channels_that_lie_apart_are_normalised_by_torch() -> None:
    x = torch.randn(2, 8, 4, 4)
    assert not triton_group_norm.takes(x)
    assert torch.equal(Moments.of(x, 2, program=Program.TRITON).mean, Moments.of(x, 2).mean)


@pytest.mark.parametrize("dtype", ROUNDING, ids=str)
@pytest.mark.parametrize("shape", [(3, 2), (2, 3, 5, 140), (1, 9, 600)])
def test_the_gate(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    projected = (2 * torch.randn(shape)).to(dtype)
    result = geglu(projected, torch.nn.Identity(), program=Program.TRITON)
    value, gate = projected.double().chunk(2, dim=-1)
    expected = value * gelu(gate)
    assert triton_gated_linear.takes(projected)
    assert (result.shape, result.dtype) == (expected.shape, dtype)
    rounding = torch.finfo(dtype).eps * expected.abs().clamp(min=1)
    assert ((result.double() - expected).abs() <= ROUNDING[dtype] * rounding + 1e-5).all()


# -- the studio's attention backend ----------------------------------------------------------------------------------


def test_the_studio_backend_computes_the_temporal_attention_of_stock_svd(launches: list[Any]) -> None:
    from tests.pipelines.test_attention import svd_unet

    unet, given = svd_unet()
    expected = unet(**given)[0]
    assert next(one for one in available(CPU) if one.backend is Backend.STUDIO).is_available
    with route(unet, choose("studio", CPU)):
        result = unet(**given)[0]
    assert any(frames == given["sample"].shape[1] for _, frames, *_ in launches)
    torch.testing.assert_close(result, expected, atol=1e-5, rtol=0)


def test_the_studio_backend_leaves_group_norm_and_the_gate_alone() -> None:
    with using(choose("studio", CPU)):
        assert chosen() == Programs(temporal_attention=Program.TRITON)
