"""Real diffusers classes at small configurations, with random weights, in the layout the hub has them in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from studio.app import Studio
from studio.catalog.loader import load_catalog
from studio.generator import Generator
from studio.media import Preview
from studio.request import Conditioning, Role
from studio.weights import WeightStore


@dataclass
class RecordingRun:
    """A `RunContext` that remembers what it was told, and cancels at a step if asked to.

    shelf: what it was told to keep, by stage. earlier: the shelf of the run that this one retries.
    keeps_each_step: it wants a checkpoint every time.
    """

    workdir: Path
    cancel_at: int | None = None
    keeps_each_step: bool = False
    steps: list[tuple[int, int]] = field(default_factory=list)
    stages: list[str] = field(default_factory=list)
    previews: list[Preview] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    earlier: dict[str, bytes] = field(default_factory=dict, repr=False)
    shelf: dict[str, bytes] = field(default_factory=dict, repr=False)

    def progress(self, done: int, total: int, preview: Preview | None = None) -> None:
        self.steps.append((done, total))
        if preview is not None:
            self.previews.append(preview)

    def stage(self, name: str, detail: str = "") -> None:
        self.stages.append(name)

    def raise_if_canceled(self) -> None:
        from studio.errors import Canceled

        if self.cancel_at is not None and self.steps and self.steps[-1][0] >= self.cancel_at:
            raise Canceled

    def keep(self, stage: str, content: bytes) -> None:
        self.shelf[stage] = content

    def kept(self, stage: str) -> bytes | None:
        return self.earlier.get(stage)

    def wants_checkpoint(self) -> bool:
        return self.keeps_each_step

    def note(self, text: str) -> None:
        self.notes.append(text)

    def bill(self, cost: Any, *, units: float | None = None, unit: str = "") -> None:
        raise AssertionError("a local model costs nothing")

    def save_operation(self, operation: Any) -> None:
        raise AssertionError("a local generator has no remote operation")


@pytest.fixture
def run(tmp_path: Path) -> RecordingRun:
    return RecordingRun(workdir=tmp_path)


@pytest.fixture
def photo(tmp_path: Path) -> Conditioning:
    """A smooth landscape-format picture."""
    y, x = np.mgrid[0:90, 0:160]
    image = np.stack([x, 2 * y, 255 - x], axis=-1).clip(0, 255).astype(np.uint8)
    PIL.Image.fromarray(image).save(tmp_path / "photo.png")
    return Conditioning(role=Role.FIRST_FRAME, path=tmp_path / "photo.png")


@pytest.fixture
def generator_of(studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Generator]:
    """Return a function: catalog row, folder with weights, changed settings -> its generator."""

    def make(base: str, folder: Path, **row: Any) -> Generator:
        monkeypatch.setattr(WeightStore, "locate", lambda _self, _spec: folder)
        spec = load_catalog().get(base)
        small = {"min": 16, "max": 256, "default": 32, "step": 16, "offset": 0}
        sizes = {
            "width": small,
            "height": small,
            "num_frames": {"min": 1, "max": 9, "default": 5},
            "sizes": [],
            "max_pixels": None,
        }
        data = spec.model_dump()
        data["parameters"] |= sizes | row.pop("parameters", {})
        data["settings"] = data["settings"] | row.pop("settings", {})
        changed = type(spec).model_validate(data | row)
        from studio.registry import _import_class

        return _import_class(changed)(changed, studio.settings)  # type: ignore[return-value]

    return make


def save_wan(
    folder: Path, *, tasks: Sequence[str] = ("t2v",), experts: int = 1, expand_timesteps: bool = False
) -> Path:
    """Write a tiny random Wan checkpoint. experts: 2 makes a pair as in Wan 2.2 A14B."""
    import torch
    from diffusers import AutoencoderKLWan, UniPCMultistepScheduler, WanTransformer3DModel
    from diffusers.pipelines import WanImageToVideoPipeline, WanPipeline
    from transformers import UMT5Config, UMT5EncoderModel

    torch.manual_seed(0)
    channels = 4
    image_to_video = "i2v" in tasks
    vae = AutoencoderKLWan(base_dim=4, z_dim=channels, dim_mult=[1, 1, 1, 1], num_res_blocks=1,
                           temperal_downsample=[False, True, True],
                           latents_mean=[0.1, -0.2, 0.3, 0.0], latents_std=[0.7, 1.3, 0.9, 1.1])  # fmt: skip

    def transformer() -> WanTransformer3DModel:
        in_channels = 2 * channels + 4 if image_to_video and not expand_timesteps else channels
        return WanTransformer3DModel(patch_size=(1, 2, 2), num_attention_heads=2, attention_head_dim=12,
                                     in_channels=in_channels, out_channels=channels, text_dim=16, freq_dim=32,
                                     ffn_dim=24, num_layers=2, cross_attn_norm=True,
                                     qk_norm="rms_norm_across_heads", rope_max_seq_len=32)  # fmt: skip

    encoder = UMT5EncoderModel(UMT5Config(vocab_size=32, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2))
    components: dict[str, Any] = {
        "tokenizer": word_tokenizer(),
        "text_encoder": encoder,
        "vae": vae,
        "scheduler": UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0),
        "transformer": transformer(),
        "transformer_2": transformer() if experts == 2 else None,
    }
    if experts == 2:
        components["boundary_ratio"] = 0.875
    if image_to_video and not expand_timesteps:
        pipeline = WanImageToVideoPipeline(**components)
    else:
        pipeline = WanPipeline(**components, expand_timesteps=expand_timesteps)
    pipeline.save_pretrained(folder)
    return folder


def word_tokenizer() -> Any:
    """Return a tokenizer that knows four words."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {"<pad>": 0, "</s>": 1, "<unk>": 2, "a": 3, "red": 4, "circle": 5, "moving": 6}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")


def save_svd(folder: Path) -> Path:
    """Write a tiny random SVD checkpoint."""
    import torch
    from diffusers import (
        AutoencoderKLTemporalDecoder,
        EulerDiscreteScheduler,
        StableVideoDiffusionPipeline,
        UNetSpatioTemporalConditionModel,
    )
    from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection

    torch.manual_seed(0)
    unet = UNetSpatioTemporalConditionModel(
        block_out_channels=(32, 64), layers_per_block=1, sample_size=8, in_channels=8, out_channels=4,
        down_block_types=("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
        up_block_types=("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"),
        cross_attention_dim=16, num_attention_heads=4, projection_class_embeddings_input_dim=96,
        addition_time_embed_dim=32, num_frames=5,
    )  # fmt: skip
    scheduler = EulerDiscreteScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", interpolation_type="linear",
        num_train_timesteps=1000, prediction_type="v_prediction", sigma_max=80.0, sigma_min=0.002, steps_offset=1,
        timestep_spacing="leading", timestep_type="continuous", trained_betas=None, use_karras_sigmas=True,
    )  # fmt: skip
    vae = AutoencoderKLTemporalDecoder(
        block_out_channels=(32, 32), in_channels=3, out_channels=3, latent_channels=4, layers_per_block=1,
        down_block_types=("DownEncoderBlock2D", "DownEncoderBlock2D"),
    )  # fmt: skip
    encoder = CLIPVisionModelWithProjection(
        CLIPVisionConfig(hidden_size=16, projection_dim=16, num_hidden_layers=1, num_attention_heads=2,
                         image_size=224, intermediate_size=16, patch_size=32)
    )  # fmt: skip
    processor = CLIPImageProcessor(size={"shortest_edge": 224}, crop_size={"height": 224, "width": 224})
    StableVideoDiffusionPipeline(
        vae=vae, image_encoder=encoder, unet=unet, scheduler=scheduler, feature_extractor=processor
    ).save_pretrained(folder)
    return folder
