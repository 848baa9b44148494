"""AnimateDiff: motion for Stable Diffusion 1.5 checkpoints, from text or a video, on diffusers' AnimateDiff pipelines.

AnimateDiff: Animate Your Personalized Text-to-Image Diffusion Models without Specific Tuning, arXiv 2307.04725.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.latent_preview import LatentPreview
from pipelines.local import guidance_of
from pipelines.placement import Placement
from pipelines.prompt_embeddings import PLAIN, encode_prompt
from pipelines.rehearsal import META, Outline
from pipelines.restyling import RestylingGenerator
from pipelines.sampling import StepCallback
from pipelines.task_pipeline import pipeline_as
from pipelines.vae_preview import preview_of_picture_vae
from studio.errors import MissingWeights
from studio.request import ResolvedRequest, Task

if TYPE_CHECKING:
    import torch

CLASSES = {Task.TEXT_TO_VIDEO: "AnimateDiffPipeline", Task.VIDEO_TO_VIDEO: "AnimateDiffVideoToVideoPipeline"}
INDEX = "model_index.json"
# Each frame is decoded by itself; so many at a time keep a card busy.
FRAMES_AT_ONCE = 4


class AnimateDiffGenerator(RestylingGenerator):
    """Serves a motion adapter and a Stable Diffusion 1.5 checkpoint in one folder, as `AnimateDiffPipeline` saves them.

    Row option: strength (how much of the source video is made anew, for rows that do video-to-video).
    """

    def _load(self, folder: Path, placement: Placement) -> Any:
        import diffusers

        if not (folder / INDEX).is_file():
            raise MissingWeights(
                "the folder holds a motion adapter alone, and no Stable Diffusion checkpoint that it moves",
                field="weights",
                got=folder,
                allowed="a folder as diffusers' AnimateDiffPipeline saves it",
                fix="load both with AnimateDiffPipeline and save them in one folder with save_pretrained",
            )
        return diffusers.AnimateDiffPipeline.from_pretrained(
            folder, dtype=placement.dtype, use_safetensors=True, local_files_only=True
        )

    def _encode(self, pipeline: Any, resolved: ResolvedRequest) -> dict[str, Any]:
        return encode_prompt(pipeline, resolved, PLAIN, num_images_per_prompt=1)

    def _sample(
        self,
        pipeline: Any,
        resolved: ResolvedRequest,
        embeddings: Mapping[str, Any],
        rng: Any,
        on_step: StepCallback,
    ) -> Any:
        is_edit = resolved.task is Task.VIDEO_TO_VIDEO
        own = self._source(resolved) if is_edit else {"num_frames": resolved.num_frames}
        return pipeline_as(pipeline, CLASSES[resolved.task])(
            **embeddings,
            **own,
            height=resolved.height,
            width=resolved.width,
            num_inference_steps=resolved.num_inference_steps,
            guidance_scale=guidance_of(resolved),
            generator=rng,
            output_type="latent",
            callback_on_step_end=on_step,
        ).frames

    def _decode(self, pipeline: Any, latents: Any, resolved: ResolvedRequest) -> Iterator[torch.Tensor]:  # noqa: ARG002
        """Decode as `AnimateDiffPipeline.decode_latents` does, a few frames at a time. latents: (1, C, T, h, w)."""
        vae = pipeline.vae
        frames = (1 / vae.config.scaling_factor * latents.to(vae.device))[0].transpose(0, 1)
        for piece in frames.split(FRAMES_AT_ONCE):
            yield vae.decode(piece).sample.float()

    def _measure_preview(self, pipeline: Any) -> LatentPreview:
        return preview_of_picture_vae(pipeline.vae, scale=pipeline.vae_scale_factor)

    def _latent_frame(self, latents: Any) -> Any:
        return latents[0, :, latents.shape[2] // 2]

    def _outline(self, pipeline: Any, resolved: ResolvedRequest, dtype: Any) -> Outline:
        import torch

        unet, text = pipeline.unet.config, pipeline.text_encoder.config
        batch, scale = 2 if guidance_of(resolved) > 1 else 1, pipeline.vae_scale_factor
        shape = (resolved.num_frames, resolved.height // scale, resolved.width // scale)
        with torch.device(META):
            call = {
                "sample": torch.empty(batch, unet.in_channels, *shape, dtype=dtype),
                "timestep": torch.empty(()),
                "encoder_hidden_states": torch.empty(
                    batch * resolved.num_frames, text.max_position_embeddings, text.hidden_size, dtype=dtype
                ),
            }
            latents = torch.empty(1, unet.in_channels, *shape, dtype=dtype)
            # diffusers encodes so many frames of a video at a time.
            picture = torch.empty(min(resolved.num_frames, 16), 3, resolved.height, resolved.width)
        return Outline(call=call, latents=latents, picture=picture if resolved.task is Task.VIDEO_TO_VIDEO else None)
