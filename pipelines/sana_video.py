"""SANA-Video from text or a picture, on diffusers' SANA-Video pipelines.

SANA-Video: Efficient Video Generation with Block Linear Diffusion Transformer, arXiv 2509.24695. The 480p checkpoint
has Wan's VAE, the 720p one that of LTX-2.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.latent_preview import LatentPreview
from pipelines.local import LocalGenerator, guidance_of
from pipelines.placement import Placement
from pipelines.plan import DecodeForm
from pipelines.prompt_embeddings import MASKED, encode_prompt
from pipelines.rehearsal import META, Outline
from pipelines.sampling import StepCallback
from pipelines.task_pipeline import pipeline_as
from pipelines.vae_preview import preview_of_video_vae
from pipelines.wan_vae import decode_wan_latents, measure_wan_preview
from studio.request import ResolvedRequest, Task

if TYPE_CHECKING:
    import torch

CLASSES = {Task.TEXT_TO_VIDEO: "SanaVideoPipeline", Task.IMAGE_TO_VIDEO: "SanaImageToVideoPipeline"}
MAX_TOKENS = 300


class SanaVideoGenerator(LocalGenerator):
    """Serves SANA-Video checkpoints in the diffusers layout; one denoiser does both tasks.

    Row setting: max_sequence_length (tokens of the prompt, 300 unless told). Row option: motion_score (how much is to
    move; the model reads it at the end of the prompt). Sizes are the row's alone: diffusers' own choice of a near
    size, with a crop afterwards, is off.
    """

    gpu_dtype = "bfloat16"
    # Wan's VAE has both; loading tells which one it is.
    decode_forms: tuple[DecodeForm, ...] = (DecodeForm.WHOLE, DecodeForm.STREAMED)

    def _load(self, folder: Path, placement: Placement) -> Any:
        import diffusers
        import torch

        safely = {"use_safetensors": True, "local_files_only": True}
        vae = diffusers.AutoModel.from_pretrained(str(folder), subfolder="vae", dtype=torch.float32, **safely)
        self.decode_forms = (DecodeForm.WHOLE, DecodeForm.STREAMED) if _is_wans(vae) else (DecodeForm.WHOLE,)
        return diffusers.DiffusionPipeline.from_pretrained(folder, vae=vae, dtype=placement.dtype, **safely)

    def own_dtypes(self, placement: Placement) -> Mapping[str, Any]:  # noqa: ARG002
        """Return the number formats of networks that are loaded in another one than the placement's, by name."""
        import torch

        return {"vae": torch.float32}

    def _encode(self, pipeline: Any, resolved: ResolvedRequest) -> dict[str, Any]:
        # What the text encoder is told to do with the prompt stands in the pipeline's signature alone.
        instruction = inspect.signature(type(pipeline).__call__).parameters["complex_human_instruction"].default
        return encode_prompt(
            pipeline,
            resolved,
            MASKED,
            prompt=f"{resolved.prompt} motion score: {resolved.options['motion_score']}.",
            max_sequence_length=self._tokens,
            complex_human_instruction=instruction,
        )

    def _sample(
        self,
        pipeline: Any,
        resolved: ResolvedRequest,
        embeddings: Mapping[str, Any],
        rng: Any,
        on_step: StepCallback,
    ) -> Any:
        image = self._first_frame(resolved)
        return pipeline_as(pipeline, CLASSES[resolved.task])(
            **embeddings,
            **({} if image is None else {"image": image}),
            negative_prompt=None,  # an empty one, which is what it takes unless told, counts as a second one
            height=resolved.height,
            width=resolved.width,
            frames=resolved.num_frames,
            num_inference_steps=resolved.num_inference_steps,
            guidance_scale=guidance_of(resolved),
            use_resolution_binning=False,
            generator=rng,
            output_type="latent",
            callback_on_step_end=on_step,
        ).frames

    def _decode(self, pipeline: Any, latents: Any, resolved: ResolvedRequest) -> Iterator[torch.Tensor]:  # noqa: ARG002
        """Decode as the end of diffusers' pipelines does. latents: (1, C, T, h, w), as the denoiser sees them."""
        vae = pipeline.vae
        if _is_wans(vae):
            yield from decode_wan_latents(vae, latents, self._plan.decode, self._on_part)
            return
        latents = latents.to(vae.device, vae.dtype)
        mean, spread = (part.to(latents.device, latents.dtype) for part in _statistics(vae))
        # One over the spread, and then a division: multiplying would round otherwise.
        yield vae.decode(latents / (1.0 / spread) + mean, return_dict=False)[0][0].transpose(0, 1)

    def _measure_preview(self, pipeline: Any) -> LatentPreview:
        vae = pipeline.vae
        if _is_wans(vae):
            return measure_wan_preview(vae)
        mean, spread = (part.to(vae.device, vae.dtype) for part in _statistics(vae))
        return preview_of_video_vae(
            vae, scale=pipeline.vae_scale_factor_spatial, normalise=lambda latents: (latents - mean) / spread
        )

    def _latent_frame(self, latents: Any) -> Any:
        return latents[0, :, latents.shape[2] // 2]

    def _outline(self, pipeline: Any, resolved: ResolvedRequest, dtype: Any) -> Outline:
        import torch

        denoiser, batch = pipeline.transformer.config, 2 if guidance_of(resolved) > 1 else 1
        scale = pipeline.vae_scale_factor_spatial
        shape = (
            (resolved.num_frames - 1) // pipeline.vae_scale_factor_temporal + 1,
            resolved.height // scale,
            resolved.width // scale,
        )
        patches = [size // patch for size, patch in zip(shape, denoiser.patch_size, strict=True)]
        has_picture = resolved.task is Task.IMAGE_TO_VIDEO
        with torch.device(META):
            call = {
                "hidden_states": torch.empty(batch, denoiser.in_channels, *shape, dtype=dtype),
                "encoder_hidden_states": torch.empty(batch, self._tokens, denoiser.caption_channels, dtype=dtype),
                "encoder_attention_mask": torch.empty(batch, self._tokens, dtype=torch.int64),
                # A picture is a frame that is done: each patch has a time of its own.
                "timestep": torch.empty(batch, 1, *patches) if has_picture else torch.empty(batch),
                "return_dict": False,
            }
            latents = torch.empty(1, denoiser.in_channels, *shape)
            picture = torch.empty(1, 3, 1, resolved.height, resolved.width) if has_picture else None
        return Outline(call=call, latents=latents, picture=picture)

    @property
    def _tokens(self) -> int:
        return int(self.spec.settings.get("max_sequence_length", MAX_TOKENS))


def _statistics(vae: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Return mean and spread of the latents of LTX-2's VAE, (1, C, 1, 1, 1); it has them among its weights."""
    shape = (1, -1, 1, 1, 1)
    return vae.latents_mean.view(shape), vae.latents_std.view(shape)


def _is_wans(vae: Any) -> bool:
    return "z_dim" in vae.config
