"""HunyuanVideo from text or a picture, on diffusers' pipelines.

HunyuanVideo: A Systematic Framework For Large Video Generative Models, arXiv 2412.03603. The checkpoints are distilled
for guidance: its scale is an input of the denoiser and costs no second call.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.exact.frame_causal import without_frame_mask
from pipelines.exact.hunyuan_text import without_padding
from pipelines.latent_preview import LatentPreview
from pipelines.local import LocalGenerator, guidance_of
from pipelines.placement import Placement
from pipelines.plan import MemoryPlan
from pipelines.rehearsal import Outline
from pipelines.sampling import StepCallback
from pipelines.task_pipeline import pipeline_as
from pipelines.vae_preview import preview_of_video_vae
from studio.request import ResolvedRequest, Task

if TYPE_CHECKING:
    import torch

CLASSES = {
    Task.TEXT_TO_VIDEO: "HunyuanVideoPipeline",
    Task.IMAGE_TO_VIDEO: "HunyuanVideoImageToVideoPipeline",
}
EMBEDDINGS = ("prompt_embeds", "pooled_prompt_embeds", "prompt_attention_mask")
NEGATIVE_EMBEDDINGS = ("negative_prompt_embeds", "negative_pooled_prompt_embeds", "negative_prompt_attention_mask")
MAX_TOKENS = 256
TRUE_GUIDANCE = "true_cfg_scale"

# How a picture enters: beside each latent frame, or in place of the first. What follows is fixed in diffusers' code.
BESIDE, IN_PLACE = "latent_concat", "token_replace"
# Of the picture's tokens in the prompt every so many are kept.
INTERLEAVE = {BESIDE: 2, IN_PLACE: 4}
NEGATIVE_INTERLEAVE = 2
PICTURE_TOKENS = 576
# Tokens that stand between the prompt and its end in the template, and are cut out.
TEMPLATE_TOKENS = 4
# The first frames of a clip whose picture stands beside them are thrown away.
FRAMES_DROPPED = 4


class HunyuanVideoGenerator(LocalGenerator):
    """Serves every HunyuanVideo checkpoint in the diffusers layout.

    guidance_scale is the embedded one. Row option: true_cfg_scale; above 1 each step asks the denoiser a second time,
    with the negative prompt. Row settings: max_sequence_length (tokens of the prompt, 256 unless told). The text's
    padding and the masks of both attentions are left out, which changes rounding only: `pipelines.exact.hunyuan_text`,
    `pipelines.exact.frame_causal`.
    """

    gpu_dtype = "bfloat16"

    def _load(self, folder: Path, placement: Placement) -> Any:
        import diffusers

        return diffusers.DiffusionPipeline.from_pretrained(
            folder, dtype=placement.dtype, use_safetensors=True, local_files_only=True
        )

    @contextmanager
    def _adapters(self, pipeline: Any, plan: MemoryPlan, resolved: ResolvedRequest) -> Iterator[None]:  # noqa: ARG002
        with without_padding(pipeline.transformer), without_frame_mask(pipeline.vae):
            yield

    def _encode(self, pipeline: Any, resolved: ResolvedRequest) -> dict[str, Any]:
        """Return the embeddings of the prompt, which with a picture are of both."""
        import PIL.Image

        how = pipeline.transformer.config.image_condition_type
        stock = pipeline_as(pipeline, CLASSES[resolved.task])
        common = {"device": pipeline._execution_device, "max_sequence_length": self._tokens}
        picture = negative_picture = {}
        if resolved.task is Task.IMAGE_TO_VIDEO:
            black = PIL.Image.new("RGB", (resolved.width, resolved.height), 0)
            picture = {"image": self._first_frame(resolved), "image_embed_interleave": INTERLEAVE[how]}
            negative_picture = {"image": black, "image_embed_interleave": NEGATIVE_INTERLEAVE}
        found = dict(zip(EMBEDDINGS, stock.encode_prompt(prompt=resolved.prompt, **picture, **common), strict=True))
        if _true_guidance(resolved) > 1:
            negative = stock.encode_prompt(prompt=resolved.negative_prompt, **negative_picture, **common)
            found |= zip(NEGATIVE_EMBEDDINGS, negative, strict=True)
        return found

    def _sample(
        self,
        pipeline: Any,
        resolved: ResolvedRequest,
        embeddings: Mapping[str, Any],
        rng: Any,
        on_step: StepCallback,
    ) -> Any:
        last: dict[str, Any] = {}

        def remembering(stock: Any, index: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            answer = on_step(stock, index, timestep, tensors)
            last.update(tensors | answer)
            return answer

        material = {"image": self._first_frame(resolved)} if resolved.task is Task.IMAGE_TO_VIDEO else {}
        pipeline_as(pipeline, CLASSES[resolved.task])(
            **embeddings,
            **material,
            height=resolved.height,
            width=resolved.width,
            num_frames=resolved.num_frames + _frames_dropped(pipeline),
            num_inference_steps=resolved.num_inference_steps,
            guidance_scale=guidance_of(resolved),
            true_cfg_scale=_true_guidance(resolved),
            generator=rng,
            output_type="latent",
            callback_on_step_end=remembering,
        )
        # What the pipeline returns lacks a first frame that its own decode needs.
        return last["latents"]

    def _decode(self, pipeline: Any, latents: Any, resolved: ResolvedRequest) -> Iterator[torch.Tensor]:  # noqa: ARG002
        """Decode as the end of diffusers' pipelines does. latents: (1, C, T, h, w)."""
        vae = pipeline.vae
        scaled = latents.to(vae.device, vae.dtype) / vae.config.scaling_factor
        dropped = _frames_dropped(pipeline)
        for frames in _decoded(vae, scaled):
            kept = frames[:, :, dropped:]
            dropped = max(0, dropped - frames.shape[2])
            if kept.shape[2]:
                yield kept[0].transpose(0, 1)

    def _measure_preview(self, pipeline: Any) -> LatentPreview:
        return preview_of_video_vae(pipeline.vae, scale=pipeline.vae.spatial_compression_ratio)

    def _latent_frame(self, latents: Any) -> Any:
        return latents[0, :, latents.shape[2] // 2]

    def _outline(self, pipeline: Any, resolved: ResolvedRequest, dtype: Any) -> Outline:
        import torch

        config, vae = pipeline.transformer.config, pipeline.vae
        num_frames = resolved.num_frames + _frames_dropped(pipeline)
        side = vae.spatial_compression_ratio
        size = ((num_frames - 1) // vae.temporal_compression_ratio + 1, resolved.height // side, resolved.width // side)
        has_picture = resolved.task is Task.IMAGE_TO_VIDEO
        tokens = self._tokens
        if has_picture:
            tokens += PICTURE_TOKENS // INTERLEAVE[config.image_condition_type] - TEMPLATE_TOKENS
        with torch.device("meta"):
            call = {
                "hidden_states": torch.empty(1, config.in_channels, *size, dtype=dtype),
                "timestep": torch.empty(1),
                "encoder_hidden_states": torch.empty(1, tokens, config.text_embed_dim, dtype=dtype),
                "encoder_attention_mask": torch.empty(1, tokens, dtype=dtype),
                "pooled_projections": torch.empty(1, config.pooled_projection_dim, dtype=dtype),
                "guidance": torch.empty(1, dtype=dtype) if config.guidance_embeds else None,
                "return_dict": False,
            }
            latents = torch.empty(1, vae.config.latent_channels, *size)
            picture = torch.empty(1, 3, 1, resolved.height, resolved.width) if has_picture else None
        return Outline(call=call, latents=latents, calls=2 if _true_guidance(resolved) > 1 else 1, picture=picture)

    def _warnings(self, resolved: ResolvedRequest) -> tuple[str, ...]:
        if not resolved.negative_prompt or _true_guidance(resolved) > 1:
            return ()
        return (f"negative_prompt: it counts only with the option {TRUE_GUIDANCE} above 1",)

    @property
    def _tokens(self) -> int:
        return int(self.spec.settings.get("max_sequence_length", MAX_TOKENS))


def _true_guidance(resolved: ResolvedRequest) -> float:
    return float(resolved.options.get(TRUE_GUIDANCE, 1.0))


def _frames_dropped(pipeline: Any) -> int:
    return FRAMES_DROPPED if pipeline.transformer.config.image_condition_type == BESIDE else 0


def _decoded(vae: Any, latents: Any) -> Iterator[Any]:
    """Yield (1, 3, n, H, W) of consecutive frames.

    Stock decodes clips of more than a few frames in tiles that overlap in time and are blended, whether memory is short
    or not. The same tiles, handed on one by one.
    """
    window = vae.tile_sample_min_num_frames // vae.temporal_compression_ratio
    if not vae.use_framewise_decoding or latents.shape[2] <= window:
        yield vae.decode(latents, return_dict=False)[0]
        return
    fresh = vae.tile_sample_stride_num_frames
    overlap = vae.tile_sample_min_num_frames - fresh
    before = None
    for start in range(0, latents.shape[2], fresh // vae.temporal_compression_ratio):
        tile = vae.decoder(vae.post_quant_conv(latents[:, :, start : start + window + 1]))
        if before is None:
            yield tile[:, :, : fresh + 1]
        else:
            tile = vae.blend_t(before, tile[:, :, 1:], overlap)
            yield tile[:, :, :fresh]
        before = tile
