"""Group normalisation in two passes, in plain torch, beside torch's own in one."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import group_norm, silu

from pipelines.counting import Counting
from pipelines.kernels import group_norm as module
from pipelines.kernels.group_norm import Moments, normalise

FORMATS = {4: torch.channels_last, 5: torch.channels_last_3d}


def exact(x: torch.Tensor, groups: int, weight: torch.Tensor, bias: torch.Tensor, is_activated: bool) -> torch.Tensor:
    """Normalise in float64."""
    result = group_norm(x.double(), groups, weight.double(), bias.double(), eps=1e-5)
    return silu(result) if is_activated else result


@given(
    batch=st.integers(1, 2),
    groups=st.sampled_from([1, 2, 32]),
    per_group=st.integers(2, 10),
    size=st.lists(st.integers(1, 5), min_size=1, max_size=3),
    is_channels_last=st.booleans(),
    is_activated=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_equals_torchs_own(
    batch: int, groups: int, per_group: int, size: list[int], is_channels_last: bool, is_activated: bool
) -> None:
    torch.manual_seed(0)
    channels = groups * per_group
    x = torch.randn(batch, channels, *size)
    if is_channels_last and x.ndim in FORMATS:
        x = x.contiguous(memory_format=FORMATS[x.ndim])
    weight, bias = torch.randn(2, channels)
    result = normalise(x, Moments.of(x, groups), weight, bias, eps=1e-5, is_activated=is_activated)
    torch.testing.assert_close(result.double(), exact(x, groups, weight, bias, is_activated), atol=1e-5, rtol=0)
    assert result.stride() == x.stride()


def test_keeps_its_digits_where_the_mean_is_large_beside_the_spread() -> None:
    x = torch.randn(1, 8, 6, 10, 10) + 1000
    moments = Moments.of(x, 2)
    variance = x.double().reshape(2, -1).var(1, correction=0)
    torch.testing.assert_close((moments.squares / moments.count)[0].double(), variance, rtol=1e-5, atol=0)


def test_a_large_tensor_is_not_widened_as_a_whole() -> None:
    x = torch.empty(2, 64, 50, 128, 128, dtype=torch.float16, device="meta")
    with Counting() as count, torch.inference_mode():
        Moments.of(x, 32)
    assert count.peak_bytes < x.nbytes / 2


@pytest.mark.parametrize("at_a_time", [1, 37, 500])
@pytest.mark.parametrize("shape", [(2, 8, 7, 3, 5), (1, 8, 1, 11, 2), (2, 8, 13)])
def test_large_tensors_are_measured_in_parts(
    at_a_time: int, shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    x = torch.randn(shape)
    whole = Moments.of(x, 4)
    monkeypatch.setattr(module, "VALUES_AT_A_TIME", at_a_time)
    parts = Moments.of(x, 4)
    assert parts.count == whole.count
    torch.testing.assert_close(parts.mean, whole.mean)
    torch.testing.assert_close(parts.squares, whole.squares)


def test_the_moments_of_two_parts_are_those_of_the_whole() -> None:
    x = torch.randn(2, 8, 9, 4, 4)
    joined = Moments.of(x[:, :, :2], 4).joined(Moments.of(x[:, :, 2:], 4))
    whole = Moments.of(x, 4)
    assert joined.count == whole.count
    torch.testing.assert_close(joined.mean, whole.mean)
    torch.testing.assert_close(joined.squares, whole.squares)


def test_the_moments_of_frames_are_those_of_the_clip() -> None:
    clip = torch.randn(2, 8, 5, 4, 4)
    frames = clip.transpose(1, 2).flatten(0, 1)
    pooled, whole = Moments.of(frames, 4).pooled(5), Moments.of(clip, 4)
    assert pooled.count == whole.count
    torch.testing.assert_close(pooled.mean, whole.mean)
    torch.testing.assert_close(pooled.squares, whole.squares)


def test_one_set_of_moments_may_serve_the_whole_batch() -> None:
    clip = torch.randn(1, 8, 5, 4, 4)
    weight, bias = torch.randn(2, 8)
    frames = clip[0].transpose(0, 1)
    result = normalise(frames, Moments.of(clip, 4), weight, bias, eps=1e-5, is_activated=False)
    torch.testing.assert_close(result.transpose(0, 1)[None], group_norm(clip, 4, weight, bias), atol=1e-5, rtol=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("is_inference", [False, True])
def test_small_number_formats_are_computed_in_float32(dtype: torch.dtype, is_inference: bool) -> None:
    x = (torch.randn(2, 8, 6, 10, 10) * 3 + 20).to(dtype).contiguous(memory_format=torch.channels_last_3d)
    weight, bias = torch.randn(2, 8).to(dtype)
    with torch.inference_mode(is_inference):
        result = normalise(x, Moments.of(x, 2), weight, bias, eps=1e-5, is_activated=False)
    assert result.dtype is dtype
    assert result.is_contiguous(memory_format=torch.channels_last_3d)
    # Rounded once: half a step of the number format from the truth.
    expected = exact(x, 2, weight, bias, is_activated=False)
    step = torch.finfo(dtype).eps * expected.abs().clamp(min=1)
    assert ((result.double() - expected).abs() <= 0.51 * step + 1e-5).all()


def test_works_on_the_meta_device() -> None:
    x = torch.empty(2, 8, 3, 4, 4, dtype=torch.float16, device="meta")
    weight, bias = torch.empty(2, 8, dtype=torch.float16, device="meta")
    with torch.inference_mode():
        result = normalise(x, Moments.of(x, 2), weight, bias, eps=1e-5, is_activated=True)
    assert (result.shape, result.dtype) == (x.shape, x.dtype)
