"""CogVideoX 1.0 and 1.5 from text, a picture or a video, on diffusers' CogVideoX pipelines.

CogVideoX: Text-to-Video Diffusion Models with An Expert Transformer, arXiv 2408.06072.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.exact.decode_pieces import decode_pieces
from pipelines.latent_preview import LatentPreview
from pipelines.local import guidance_of
from pipelines.placement import Placement
from pipelines.prompt_embeddings import PLAIN, encode_prompt
from pipelines.rehearsal import Outline
from pipelines.restyling import RestylingGenerator
from pipelines.sampling import StepCallback
from pipelines.task_pipeline import pipeline_as
from pipelines.vae_preview import preview_of_video_vae
from studio.catalog.schema import ModelSpec
from studio.config import Settings
from studio.request import ResolvedRequest, Task

if TYPE_CHECKING:
    import torch

CLASSES = {
    Task.TEXT_TO_VIDEO: "CogVideoXPipeline",
    Task.IMAGE_TO_VIDEO: "CogVideoXImageToVideoPipeline",
    Task.VIDEO_TO_VIDEO: "CogVideoXVideoToVideoPipeline",
}
# CogVideoX 1.5 I2V is told how far the picture may move; diffusers' pipeline tells it always the same.
OFFSET_SHAPE = (1,)


class CogVideoXGenerator(RestylingGenerator):
    """Serves every CogVideoX checkpoint in the diffusers layout.

    Row settings: max_sequence_length (tokens of the prompt, the denoiser's own number unless told), gpu_dtype
    (``bfloat16`` unless told). Row options: use_dynamic_cfg (guidance that grows over the steps), strength (how much
    of the source video is made anew, for rows that do video-to-video).
    """

    gpu_dtype = "bfloat16"
    channel_axis = 2

    def __init__(self, spec: ModelSpec, settings: Settings) -> None:
        super().__init__(spec, settings)
        self.gpu_dtype = spec.settings.get("gpu_dtype", self.gpu_dtype)

    def _load(self, folder: Path, placement: Placement) -> Any:
        import diffusers

        pipeline = diffusers.DiffusionPipeline.from_pretrained(
            folder, dtype=placement.dtype, use_safetensors=True, local_files_only=True
        )
        if isinstance(pipeline.scheduler, diffusers.CogVideoXDPMScheduler):
            from pipelines.cogvideox_scheduler import RememberingScheduler

            pipeline.scheduler = RememberingScheduler.from_config(pipeline.scheduler.config)
        return pipeline

    def _encode(self, pipeline: Any, resolved: ResolvedRequest) -> dict[str, Any]:
        return encode_prompt(pipeline, resolved, PLAIN, max_sequence_length=self._tokens(pipeline))

    def _sample(
        self,
        pipeline: Any,
        resolved: ResolvedRequest,
        embeddings: Mapping[str, Any],
        rng: Any,
        on_step: StepCallback,
    ) -> Any:
        return pipeline_as(pipeline, CLASSES[resolved.task])(
            **embeddings,
            **self._material(resolved),
            height=resolved.height,
            width=resolved.width,
            num_inference_steps=resolved.num_inference_steps,
            guidance_scale=guidance_of(resolved),
            use_dynamic_cfg=resolved.options["use_dynamic_cfg"],
            generator=rng,
            output_type="latent",
            callback_on_step_end=on_step,
        ).frames

    def _material(self, resolved: ResolvedRequest) -> dict[str, Any]:
        if resolved.task is Task.VIDEO_TO_VIDEO:
            return self._source(resolved)
        image = self._first_frame(resolved)
        return {"num_frames": resolved.num_frames} | ({} if image is None else {"image": image})

    def _decode(self, pipeline: Any, latents: Any, resolved: ResolvedRequest) -> Iterator[torch.Tensor]:
        """Decode as the end of diffusers' pipelines does, a few latent frames at a time. latents: (1, T, C, h, w)."""
        vae = pipeline.vae
        latents = latents[:, latents.shape[1] - self._latent_frames(pipeline, resolved) :].to(vae.device)
        scaled = 1 / pipeline.vae_scaling_factor_image * latents.permute(0, 2, 1, 3, 4)
        yield from decode_pieces(vae, scaled, on_part=self._on_part)

    def _measure_preview(self, pipeline: Any) -> LatentPreview:
        return preview_of_video_vae(pipeline.vae, scale=pipeline.vae_scale_factor_spatial)

    def _latent_frame(self, latents: Any) -> Any:
        return latents[0, latents.shape[1] // 2]

    def _outline(self, pipeline: Any, resolved: ResolvedRequest, dtype: Any) -> Outline:
        import torch

        denoiser, vae = pipeline.transformer.config, pipeline.vae.config
        scale, batch = pipeline.vae_scale_factor_spatial, 2 if guidance_of(resolved) > 1 else 1
        patch, frames_each = denoiser.patch_size, denoiser.patch_size_t or 1
        frames = self._latent_frames(pipeline, resolved)
        frames += -frames % frames_each
        height, width = resolved.height // scale, resolved.width // scale
        tokens = frames // frames_each * (height // patch) * (width // patch)
        with torch.device("meta"):
            call: dict[str, Any] = {
                "hidden_states": torch.empty(batch, frames, denoiser.in_channels, height, width, dtype=dtype),
                "encoder_hidden_states": torch.empty(
                    batch, self._tokens(pipeline), denoiser.text_embed_dim, dtype=dtype
                ),
                "timestep": torch.empty(batch),
                "return_dict": False,
            }
            if denoiser.use_rotary_positional_embeddings:
                call["image_rotary_emb"] = tuple(torch.empty(tokens, denoiser.attention_head_dim) for _ in range(2))
            if denoiser.ofs_embed_dim is not None:
                call["ofs"] = torch.empty(OFFSET_SHAPE, dtype=dtype)
            read = {Task.IMAGE_TO_VIDEO: 1, Task.VIDEO_TO_VIDEO: resolved.num_frames}.get(resolved.task)
            picture = None if read is None else torch.empty(1, 3, read, resolved.height, resolved.width)
            latents = torch.empty(1, frames, vae.latent_channels, height, width, dtype=dtype)
        return Outline(call=call, latents=latents, picture=picture)

    def _tokens(self, pipeline: Any) -> int:
        return int(self.spec.settings.get("max_sequence_length", pipeline.transformer.config.max_text_seq_length))

    @staticmethod
    def _latent_frames(pipeline: Any, resolved: ResolvedRequest) -> int:
        """Return how many latent frames are the clip's; CogVideoX 1.5 has others before them, to fill its patches."""
        return int((resolved.num_frames - 1) // pipeline.vae_scale_factor_temporal + 1)
