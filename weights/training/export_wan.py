"""Pack micro-wan's checkpoints into the stock diffusers layout that `WanPipeline.from_pretrained` reads.

Run: python -m weights.training.export_wan --checkpoints DIR --out weights/micro-wan
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
from pathlib import Path

import diffusers
import torch
from diffusers import UniPCMultistepScheduler
from safetensors.torch import save_file
from torch import Tensor, nn

from weights.training.wan_decoder import load_refined_vae
from weights.training.wan_text import build_tokenizer
from weights.training.wan_transformer import load_trained

FLOW_SHIFT = 3.0
"""Noise levels of sampling: s' = shift s / (1 + (shift - 1) s)."""
COMPONENTS = {
    "scheduler": ("diffusers", "UniPCMultistepScheduler"),
    "text_encoder": ("transformers", "UMT5EncoderModel"),
    "tokenizer": ("transformers", "PreTrainedTokenizerFast"),
    "transformer": ("diffusers", "WanTransformer3DModel"),
    "transformer_2": (None, None),
    "vae": ("diffusers", "AutoencoderKLWan"),
}
MAX_BYTES = 12_000_000


def build_scheduler(flow_shift: float) -> UniPCMultistepScheduler:
    """The solver Wan ships with, for flow prediction."""
    return UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=flow_shift, num_train_timesteps=1000
    )


def half_precision(module: nn.Module) -> dict[str, Tensor]:
    """State dict in float16, without tied duplicates (safetensors refuses two names for one tensor)."""
    seen: set[int] = set()
    state = {}
    for name, value in module.state_dict().items():
        if value.data_ptr() not in seen:
            seen.add(value.data_ptr())
            state[name] = value.half().contiguous() if value.is_floating_point() else value
    return state


def export(checkpoints: Path, out: Path, *, flow_shift: float) -> int:
    """Write all parts to a folder beside `out`, then move file by file into place. Returns the total size in bytes."""
    model, mean, std = load_trained(checkpoints)
    vae = load_refined_vae(checkpoints)
    vae.register_to_config(
        latents_mean=[round(v, 5) for v in mean.tolist()], latents_std=[round(v, 5) for v in std.tolist()]
    )
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".export-") as temporary:
        staging = Path(temporary)
        build_scheduler(flow_shift).save_pretrained(staging / "scheduler")
        build_tokenizer().save_pretrained(staging / "tokenizer")
        _save_model(staging / "text_encoder", model.text_encoder, "model.safetensors")
        _save_model(staging / "transformer", model.transformer, "diffusion_pytorch_model.safetensors")
        _save_model(staging / "vae", vae, "diffusion_pytorch_model.safetensors")
        _write_model_index(staging)
        size_bytes = sum(path.stat().st_size for path in staging.rglob("*") if path.is_file())
        if size_bytes > MAX_BYTES:
            raise ValueError(f"the export takes {size_bytes} bytes, {MAX_BYTES} are allowed")
        for path in sorted(staging.rglob("*")):
            if path.is_file():
                target = out / path.relative_to(staging)
                target.parent.mkdir(exist_ok=True)
                shutil.copymode(__file__, path)
                os.replace(path, target)
    return size_bytes


def _save_model(folder: Path, module: nn.Module, file_name: str) -> None:
    folder.mkdir(parents=True)
    save_file(half_precision(module), folder / file_name, metadata={"format": "pt"})
    if hasattr(module, "save_config"):
        module.save_config(folder)
    else:
        module.config.architectures = [type(module).__name__]
        module.config.dtype = torch.float32  # what to compute in; the file itself is float16
        module.config.save_pretrained(folder)


def _write_model_index(folder: Path) -> None:
    index = {"_class_name": "WanPipeline", "_diffusers_version": diffusers.__version__}
    index |= {"boundary_ratio": None, "expand_timesteps": True}
    index |= {name: list(where) for name, where in COMPONENTS.items()}
    (folder / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")


def main() -> None:
    """Parse the command line and export."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoints", type=Path, required=True, help="folder with vae.pt and transformer.pt")
    parser.add_argument("--out", type=Path, default=Path("weights/micro-wan"))
    parser.add_argument("--flow-shift", type=float, default=FLOW_SHIFT)
    arguments = parser.parse_args()
    size_bytes = export(arguments.checkpoints, arguments.out, flow_shift=arguments.flow_shift)
    print(f"{arguments.out}: {size_bytes / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
