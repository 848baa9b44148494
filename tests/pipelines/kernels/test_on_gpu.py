"""The programs in Triton and the attention backends on a card, at the shapes of real models: pytest -m gpu."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch.nn.functional import gelu, group_norm, silu

from pipelines.attention import Backend, available, choose, route, using
from pipelines.kernels.gated_linear import geglu
from pipelines.kernels.group_norm import Moments, normalise
from pipelines.kernels.programs import Program
from pipelines.kernels.temporal_attention import temporal_attention
from tests.pipelines.test_attention import svd_unet

pytestmark = [pytest.mark.gpu, pytest.mark.filterwarnings("ignore")]

CARD = torch.device("cuda")


@pytest.fixture(autouse=True)
def inference() -> Iterator[None]:
    torch.manual_seed(0)
    with torch.inference_mode():
        yield


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize(
    ("frames", "positions", "heads", "width"),
    [
        (25, 9216, 5, 64),
        (25, 2304, 10, 64),
        (14, 576, 20, 64),
        (25, 73_728, 5, 64),
        (16, 4096, 8, 40),
        (16, 256, 8, 160),
    ],
)
def test_temporal_attention_at_real_shapes(
    dtype: torch.dtype, frames: int, positions: int, heads: int, width: int
) -> None:
    query, key, value = torch.randn(1, frames, positions, 3 * heads * width, dtype=dtype, device=CARD).chunk(3, dim=-1)
    result = temporal_attention(query, key, value, heads=heads, program=Program.TRITON)
    last = (slice(None), slice(None), slice(-64, None))
    expected = temporal_attention(query[last].float(), key[last].float(), value[last].float(), heads=heads)
    torch.testing.assert_close(result[last].float(), expected, atol=1e-2, rtol=0)
    by_torch = temporal_attention(query, key, value, heads=heads, program=Program.TORCH)
    torch.testing.assert_close(result, by_torch, atol=2e-2, rtol=0)


@pytest.mark.parametrize("program", [Program.TORCH, Program.TRITON])
def test_group_norm_at_a_real_shape(program: Program) -> None:
    x = torch.randn(2, 320, 25, 72, 128, dtype=torch.float16, device=CARD).to(memory_format=torch.channels_last_3d)
    weight, bias = torch.randn(2, 320, dtype=torch.float16, device=CARD)
    moments = Moments.of(x, 32, program=program)
    result = normalise(x, moments, weight, bias, eps=1e-5, is_activated=True, program=program)
    torch.testing.assert_close(result, silu(group_norm(x, 32, weight, bias)), atol=2e-2, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32], ids=str)
def test_the_gate_at_a_real_shape(dtype: torch.dtype) -> None:
    projected = torch.randn(2, 9216, 2560, dtype=dtype, device=CARD)
    value, gate = projected.chunk(2, dim=-1)
    result = geglu(projected, torch.nn.Identity(), program=Program.TRITON)
    torch.testing.assert_close(result, value * gelu(gate), atol=1e-5 if dtype is torch.float32 else 5e-2, rtol=0)


@pytest.mark.parametrize("backend", Backend)
def test_stock_svd_computes_the_same_by_every_backend_there_is(backend: Backend) -> None:
    found = next(one for one in available(CARD) if one.backend is backend)
    if not found.is_available:
        pytest.skip(found.reason)
    unet, given = svd_unet()
    unet.to(CARD, torch.float16)
    given = {name: x.to(CARD, torch.float16 if x.is_floating_point() else x.dtype) for name, x in given.items()}
    expected = unet(**given)[0]
    choice = choose(backend, CARD)
    with using(choice), route(unet, choice):
        result = unet(**given)[0]
    torch.testing.assert_close(result, expected, atol=2e-2, rtol=0)
