"""Write trained checkpoints as a stock `StableVideoDiffusionPipeline` folder in fp16 safetensors.

    python -m weights.training.export_svd --vae DIR/vae.pt --unet DIR/unet.pt --out weights/micro-svd

The folder is written beside its place and moved in file by file, so that a reader never sees half a file.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
from pathlib import Path

import torch
from diffusers import StableVideoDiffusionPipeline
from torch import nn

from weights.training.checkpoint import load_checkpoint
from weights.training.svd_clips import load_vae
from weights.training.svd_models import build_feature_extractor, build_image_encoder, build_scheduler, build_unet


def build_pipeline(vae_path: Path, unet_path: Path) -> StableVideoDiffusionPipeline:
    """The stock pipeline in fp32 with averaged weights. Without a UNet checkpoint its weights are random."""
    vae = load_vae(vae_path)
    models = nn.ModuleDict({"unet": build_unet(), "image_encoder": build_image_encoder()})
    state = load_checkpoint(unet_path)
    if state:
        models.load_state_dict(state["average"]["average"])
        vae.register_to_config(scaling_factor=round(float(state["scale"]), 6))
    return StableVideoDiffusionPipeline(
        vae=vae,
        image_encoder=models["image_encoder"].eval(),
        unet=models["unet"].eval(),
        scheduler=build_scheduler(),
        feature_extractor=build_feature_extractor(),
    )


def export(vae_path: Path, unet_path: Path, out: Path) -> int:
    """Write the folder and return its size in bytes."""
    fresh = out.with_name(out.name + ".fresh")
    shutil.rmtree(fresh, ignore_errors=True)
    pipeline = build_pipeline(vae_path, unet_path).to(dtype=torch.float16)
    for module in (pipeline.vae, pipeline.unet):
        for parameter in module.parameters():
            parameter.data = parameter.data.contiguous()
    pipeline.save_pretrained(fresh, safe_serialization=True)
    _load_as_float32(fresh / "image_encoder" / "config.json")
    _name_processor_as_the_hub_does(fresh / "model_index.json")
    for path in sorted(fresh.rglob("*")):
        if path.is_file():
            target = out / path.relative_to(fresh)
            target.parent.mkdir(parents=True, exist_ok=True)
            path.chmod(0o644)
            os.replace(path, target)
    shutil.rmtree(fresh)
    return sum(path.stat().st_size for path in out.rglob("*") if path.is_file())


def _load_as_float32(config: Path) -> None:
    """transformers loads the stored type unless told, diffusers float32: without this a plain load mixes both."""
    content = json.loads(config.read_text())
    content["dtype"] = "float32"
    config.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")


def _name_processor_as_the_hub_does(index: Path) -> None:
    """The class without torchvision has a name that not every version of transformers knows."""
    index.write_text(index.read_text().replace("CLIPImageProcessorPil", "CLIPImageProcessor"))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vae", type=Path, required=True)
    parser.add_argument("--unet", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("weights/micro-svd"))
    args = parser.parse_args()
    print(f"{args.out}: {export(args.vae, args.unet, args.out) / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
