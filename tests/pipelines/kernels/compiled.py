"""Compile the programs in Triton for NVIDIA's cards, which takes no card, and print what each takes of one.

`test_triton.py` starts it in a process where Triton does not interpret: python -m tests.pipelines.kernels.compiled 90
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from pipelines.kernels import triton_gated_linear, triton_group_norm, triton_temporal_attention

HALF, SINGLE, WHOLE = "*fp16", "*fp32", "i32"


def cases() -> dict[str, tuple[Any, dict[str, str], dict[str, Any], int]]:
    """Return program, types of its first arguments, constants and warps, as the launches have them."""
    found = {}
    for frames, channels in ((25, 64), (16, 40), (32, 160)):
        width = max(16, triton.next_power_of_2(channels))
        constants = {"frames": frames, "channels": channels, "together": 64 // frames, "rows": 64, "width": width}
        types = dict.fromkeys(triton_temporal_attention._attend.arg_names[:18], WHOLE)
        types |= dict.fromkeys(("query", "key", "value", "result"), HALF) | {"scale": "fp32"}
        name = f"attention {frames} x {channels}"
        found[name] = (triton_temporal_attention._attend, types, constants, 8 if width > 128 else 4)
    block = {"height": 32, "width": 128}
    measure = dict.fromkeys(triton_group_norm._measure.arg_names[:8], WHOLE)
    measure |= {"x": HALF, "means": SINGLE, "squares": SINGLE}
    found["moments"] = (triton_group_norm._measure, measure, block, 4)
    scale = dict.fromkeys(triton_group_norm._scale.arg_names[:8], WHOLE)
    scale |= {"x": HALF, "scale": SINGLE, "shift": SINGLE, "result": HALF}
    found["norm"] = (triton_group_norm._scale, scale, block | {"is_activated": True}, 4)
    gate = {"projected": HALF, "result": HALF, "rows": WHOLE, "columns": WHOLE}
    found["gate"] = (triton_gated_linear._gate, gate, {"height": 16, "width": 256}, 4)
    return found


def resources(program: Any, types: dict[str, str], constants: dict[str, Any], warps: int, card: int) -> dict[str, int]:
    """Return a thread's registers, the bytes of its stack, used where those run out, and a block's shared bytes."""
    names = program.arg_names
    source = ASTSource(
        fn=program,
        signature={name: types.get(name, "constexpr") for name in names},
        constexprs={(names.index(name),): value for name, value in constants.items()},
        attrs={(names.index(name),): [["tt.divisibility", 16]] for name in types if name not in ("scale", "heads")},
    )
    options = {"num_warps": warps, "num_stages": 1, "enable_fp_fusion": True}
    compiled = triton.compile(source, target=GPUTarget("cuda", card, 32), options=options)
    with tempfile.NamedTemporaryFile(suffix=".cubin") as binary:
        binary.write(compiled.asm["cubin"])
        binary.flush()
        tool = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
        command = [str(tool), "--dump-resource-usage", binary.name]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = dict(re.findall(r"(REG|STACK):(\d+)", told))
    return {"registers": int(found["REG"]), "stack": int(found["STACK"]), "shared": compiled.metadata.shared}


if __name__ == "__main__":
    json.dump({name: resources(*case, card=int(sys.argv[1])) for name, case in cases().items()}, sys.stdout)
