"""GEGLU in plain torch beside diffusers' own."""

from __future__ import annotations

import pytest
import torch
from diffusers.models.activations import GEGLU

from pipelines.kernels.gated_linear import geglu
from pipelines.kernels.programs import Program


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("shape", [(8,), (3, 8), (2, 5, 7, 8)])
def test_equals_diffusers_own_bit_for_bit(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    layer = GEGLU(8, 12).to(dtype)
    x = torch.randn(shape).to(dtype)
    with torch.inference_mode():
        assert torch.equal(geglu(x, layer.proj), layer(x))


def test_without_a_gpu_triton_may_be_asked_for_and_torch_computes() -> None:
    layer, x = torch.nn.Linear(8, 24), torch.randn(3, 8)
    assert torch.equal(geglu(x, layer, program=Program.TRITON), geglu(x, layer))


def test_gradients_are_those_of_diffusers_own() -> None:
    layer, x = GEGLU(8, 12), torch.randn(3, 8)
    layer(x).sum().backward()
    expected, layer.proj.weight.grad = layer.proj.weight.grad, None
    geglu(x, layer.proj).sum().backward()
    assert layer.proj.weight.grad is not None
    torch.testing.assert_close(layer.proj.weight.grad, expected)
