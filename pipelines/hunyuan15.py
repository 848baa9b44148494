"""HunyuanVideo-1.5 from text or a picture, on diffusers' pipelines.

HunyuanVideo 1.5 Technical Report, arXiv 2511.18870. A prompt is read by Qwen2.5-VL, and what stands in it in quotation
marks, the text to be seen in the picture, letter by letter by a ByT5.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.exact.decode_hunyuan15 import decode_hunyuan15
from pipelines.exact.frame_causal import without_frame_mask
from pipelines.exact.hunyuan_text import without_padding
from pipelines.latent_preview import LatentPreview
from pipelines.local import LocalGenerator, guidance_of
from pipelines.placement import Placement
from pipelines.plan import DecodeForm, MemoryPlan
from pipelines.rehearsal import Outline
from pipelines.sampling import StepCallback
from pipelines.task_pipeline import pipeline_as
from pipelines.vae_preview import preview_of_video_vae
from studio.request import ResolvedRequest, Task

if TYPE_CHECKING:
    import torch

CLASSES = {
    Task.TEXT_TO_VIDEO: "HunyuanVideo15Pipeline",
    Task.IMAGE_TO_VIDEO: "HunyuanVideo15ImageToVideoPipeline",
}
EMBEDDINGS = ("prompt_embeds", "prompt_embeds_mask", "prompt_embeds_2", "prompt_embeds_mask_2")


class HunyuanVideo15Generator(LocalGenerator):
    """Serves every HunyuanVideo-1.5 checkpoint in the diffusers layout.

    Row settings: flow_shift (overrides the scheduler's). The text's padding and the masks of both attentions are left
    out, which changes rounding only: `pipelines.exact.hunyuan_text`, `pipelines.exact.frame_causal`.
    """

    gpu_dtype = "bfloat16"
    decode_forms = (DecodeForm.WHOLE, DecodeForm.STREAMED)

    def _load(self, folder: Path, placement: Placement) -> Any:
        import diffusers

        pipeline = diffusers.DiffusionPipeline.from_pretrained(
            folder, dtype=placement.dtype, use_safetensors=True, local_files_only=True
        )
        if "flow_shift" in self.spec.settings:
            pipeline.scheduler.set_shift(self.spec.settings["flow_shift"])
        return pipeline

    @contextmanager
    def _adapters(self, pipeline: Any, plan: MemoryPlan, resolved: ResolvedRequest) -> Iterator[None]:  # noqa: ARG002
        with without_padding(pipeline.transformer), without_frame_mask(pipeline.vae):
            yield

    def _encode(self, pipeline: Any, resolved: ResolvedRequest) -> dict[str, Any]:
        def encode(prompt: str) -> tuple[Any, ...]:
            embeddings: tuple[Any, ...] = pipeline.encode_prompt(
                prompt=prompt, device=pipeline._execution_device, dtype=pipeline.transformer.dtype
            )
            return embeddings

        found = dict(zip(EMBEDDINGS, encode(resolved.prompt), strict=True))
        if guidance_of(resolved) > 1:
            names = [f"negative_{name}" for name in EMBEDDINGS]
            found |= zip(names, encode(resolved.negative_prompt), strict=True)
        return found

    def _sample(
        self,
        pipeline: Any,
        resolved: ResolvedRequest,
        embeddings: Mapping[str, Any],
        rng: Any,
        on_step: StepCallback,
    ) -> Any:
        # A copy over the same modules: what differs for this run stays out of the one that is kept.
        stock = copy.copy(pipeline_as(pipeline, CLASSES[resolved.task]))
        stock.guider = pipeline.guider.new(guidance_scale=guidance_of(resolved))
        # Past the pipeline's own setter, which would look for a scheduler of the library.
        vars(stock)["scheduler"] = _TellingScheduler(pipeline, on_step)
        if resolved.task is Task.IMAGE_TO_VIDEO:
            stock.video_processor = _of_size(stock.video_processor, resolved)
            material = {"image": self._first_frame(resolved)}
        else:
            material = {"height": resolved.height, "width": resolved.width}
        return stock(
            **embeddings,
            **material,
            num_frames=resolved.num_frames,
            num_inference_steps=resolved.num_inference_steps,
            generator=rng,
            output_type="latent",
        ).frames

    def _decode(self, pipeline: Any, latents: Any, resolved: ResolvedRequest) -> Iterator[torch.Tensor]:  # noqa: ARG002
        """Decode as the end of diffusers' pipelines does. latents: (1, C, T, h, w)."""
        vae = pipeline.vae
        scaled = latents.to(vae.device, vae.dtype) / vae.config.scaling_factor
        if self._plan.decode is DecodeForm.WHOLE:
            yield vae.decode(scaled, return_dict=False)[0][0].transpose(0, 1)
        else:
            yield from decode_hunyuan15(vae, scaled, on_part=self._on_part)

    def _measure_preview(self, pipeline: Any) -> LatentPreview:
        return preview_of_video_vae(pipeline.vae, scale=pipeline.vae.spatial_compression_ratio)

    def _latent_frame(self, latents: Any) -> Any:
        return latents[0, :, latents.shape[2] // 2]

    def _outline(self, pipeline: Any, resolved: ResolvedRequest, dtype: Any) -> Outline:
        import torch

        config, vae = pipeline.transformer.config, pipeline.vae
        side = vae.spatial_compression_ratio
        size = (
            (resolved.num_frames - 1) // vae.temporal_compression_ratio + 1,
            resolved.height // side,
            resolved.width // side,
        )
        has_picture = resolved.task is Task.IMAGE_TO_VIDEO
        tokens, letters = pipeline.tokenizer_max_length, pipeline.tokenizer_2_max_length
        seen = pipeline.vision_num_semantic_tokens if has_picture else 0
        with torch.device("meta"):
            call = {
                "hidden_states": torch.empty(1, config.in_channels, *size, dtype=dtype),
                "timestep": torch.empty(1, dtype=dtype),
                "encoder_hidden_states": torch.empty(1, tokens, config.text_embed_dim, dtype=dtype),
                "encoder_attention_mask": torch.empty(1, tokens, dtype=dtype),
                "encoder_hidden_states_2": torch.empty(1, letters, config.text_embed_2_dim, dtype=dtype),
                "encoder_attention_mask_2": torch.empty(1, letters, dtype=dtype),
                "image_embeds": torch.empty(1, seen, config.image_embed_dim, dtype=dtype),
                "return_dict": False,
            }
            latents = torch.empty(1, vae.config.latent_channels, *size, dtype=dtype)
            picture = torch.empty(1, 3, 1, resolved.height, resolved.width) if has_picture else None
        return Outline(call=call, latents=latents, calls=2 if guidance_of(resolved) > 1 else 1, picture=picture)


class _TellingScheduler:
    """A pipeline's scheduler that tells the end of each step, for pipelines that take no callback for it."""

    def __init__(self, pipeline: Any, on_step: StepCallback) -> None:
        self._pipeline = pipeline
        self._scheduler = pipeline.scheduler
        self._on_step = on_step
        self._index = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._scheduler, name)

    def step(self, prediction: Any, timestep: Any, latents: Any, *, return_dict: bool) -> tuple[Any, ...]:
        stepped = self._scheduler.step(prediction, timestep, latents, return_dict=return_dict)[0]
        answer = self._on_step(self._pipeline, self._index, timestep, {"latents": stepped})
        self._index += 1
        return (answer.get("latents", stepped),)


def _of_size(processor: Any, resolved: ResolvedRequest) -> Any:
    """Return a processor of pictures that takes the clip's size, not the nearest of those the model was trained on."""
    changed = copy.copy(processor)
    changed.calculate_default_height_width = lambda **_: (resolved.height, resolved.width)
    return changed
