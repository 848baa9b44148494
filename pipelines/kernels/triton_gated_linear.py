"""The gate of GEGLU as one program in Triton; imported only where it runs. Imports torch and triton.

Tested in Triton's interpreter and compiled for NVIDIA's cards; not yet timed on one.
"""

# mypy: disable-error-code="import-untyped, import-not-found, untyped-decorator, no-untyped-call"
from __future__ import annotations

import torch
import triton
import triton.language as tl

# Of a program.
NUMBERS = 4096
MOST_COLUMNS = 256
_DTYPES = (torch.float16, torch.bfloat16, torch.float32)


def takes(projected: torch.Tensor) -> bool:
    """Say whether `gated` computes this."""
    is_whole = projected.is_contiguous() and projected.numel() > 0
    return is_whole and projected.dtype in _DTYPES and projected.shape[-1] % 2 == 0


def gated(projected: torch.Tensor) -> torch.Tensor:
    """Return (..., F), value * gelu(gate), for contiguous (..., 2 F). Both in float32, rounded once."""
    columns = projected.shape[-1] // 2
    result = projected.new_empty(*projected.shape[:-1], columns)
    rows = result.numel() // columns
    width = min(triton.next_power_of_2(columns), MOST_COLUMNS)
    height = NUMBERS // width
    grid = (triton.cdiv(rows, height) * triton.cdiv(columns, width),)
    with torch.cuda.device_of(projected):
        _gate[grid](projected, result, rows, columns, height=height, width=width, num_warps=4, enable_fp_fusion=True)
    return result


@triton.jit
def _gate(
    projected: tl.tensor,
    result: tl.tensor,
    rows: tl.tensor,
    columns: tl.tensor,
    height: tl.constexpr,
    width: tl.constexpr,
) -> None:
    across = tl.cdiv(columns, width)
    row = (tl.program_id(0) // across) * height + tl.arange(0, height)
    column = (tl.program_id(0) % across) * width + tl.arange(0, width)
    is_inside = (row < rows)[:, None] & (column < columns)[None, :]
    row = row.to(tl.int64)[:, None]
    column = column[None, :]
    value = tl.load(projected + row * (2 * columns) + column, is_inside, other=0.0)
    gate = tl.load(projected + row * (2 * columns) + columns + column, is_inside, other=0.0).to(tl.float32)
    # 1 / sqrt(2)
    opened = 0.5 * gate * (1.0 + tl.erf(gate * 0.7071067811865476))
    tl.store(result + row * columns + column, (value.to(tl.float32) * opened).to(value.dtype), is_inside)
