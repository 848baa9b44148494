"""CogVideoX 1.0 and 1.5 from text, a picture or a video, on diffusers' CogVideoX pipelines.

CogVideoX: Text-to-Video Diffusion Models with An Expert Transformer, arXiv 2408.06072.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.latent_preview import LatentPreview
from pipelines.local import LocalGenerator, guidance_of
from pipelines.placement import Placement
from pipelines.rehearsal import Outline
from pipelines.sampling import StepCallback
from pipelines.source_video import STRENGTH, remarks_on_source, source_frames, steps_of_strength
from pipelines.task_pipeline import pipeline_as
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


class CogVideoXGenerator(LocalGenerator):
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
        prompt, negative = pipeline.encode_prompt(
            resolved.prompt,
            resolved.negative_prompt,
            guidance_of(resolved) > 1,
            max_sequence_length=self._tokens(pipeline),
            device=pipeline._execution_device,
        )
        return {"prompt_embeds": prompt} | ({} if negative is None else {"negative_prompt_embeds": negative})

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
            return {"video": source_frames(resolved), STRENGTH: resolved.options[STRENGTH]}
        image = self._first_frame(resolved)
        return {"num_frames": resolved.num_frames} | ({} if image is None else {"image": image})

    def _decode(self, pipeline: Any, latents: Any, resolved: ResolvedRequest) -> Iterator[torch.Tensor]:
        """Decode as `AutoencoderKLCogVideoX._decode` does, a few latent frames at a time. latents: (1, T, C, h, w).

        Each piece goes on from the last frames of the one before, and the first takes what does not divide evenly.
        """
        vae = pipeline.vae
        latents = latents[:, latents.shape[1] - self._latent_frames(pipeline, resolved) :].to(vae.device)
        latents = 1 / pipeline.vae_scaling_factor_image * latents.permute(0, 2, 1, 3, 4)
        frames, step = latents.shape[2], vae.num_latent_frames_batch_size
        ends = range(frames % step + step, frames + 1, step) if frames >= step else (frames,)
        start, memory = 0, None
        for end in ends:
            piece = latents[:, :, start:end]
            if vae.post_quant_conv is not None:
                piece = vae.post_quant_conv(piece)
            piece, memory = vae.decoder(piece, conv_cache=memory)
            yield piece[0].transpose(0, 1)
            start = end

    def _measure_preview(self, pipeline: Any) -> LatentPreview:
        import torch

        vae = pipeline.vae

        def encode(picture: torch.Tensor) -> torch.Tensor:
            distribution = vae.encode(picture[:, :, None].to(vae.device, vae.dtype)).latent_dist
            return torch.as_tensor(distribution.mode()[0, :, 0] * vae.config.scaling_factor)

        return LatentPreview.measure(encode, scale=pipeline.vae_scale_factor_spatial)

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

    def _number_of_steps(self, resolved: ResolvedRequest) -> int:
        """Return how many steps the pipeline reports."""
        if resolved.task is Task.VIDEO_TO_VIDEO:
            return steps_of_strength(resolved)
        return resolved.num_inference_steps or 1

    def _warnings(self, resolved: ResolvedRequest) -> tuple[str, ...]:
        if resolved.task is not Task.VIDEO_TO_VIDEO:
            return ()
        self._number_of_steps(resolved)
        return remarks_on_source(resolved)

    def _tokens(self, pipeline: Any) -> int:
        return int(self.spec.settings.get("max_sequence_length", pipeline.transformer.config.max_text_seq_length))

    @staticmethod
    def _latent_frames(pipeline: Any, resolved: ResolvedRequest) -> int:
        """Return how many latent frames are the clip's; CogVideoX 1.5 has others before them, to fill its patches."""
        return int((resolved.num_frames - 1) // pipeline.vae_scale_factor_temporal + 1)
