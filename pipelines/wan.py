"""Wan 2.1 and 2.2: text-to-video and image-to-video on diffusers' Wan pipelines.

Wan: Open and Advanced Large-Scale Video Generative Models, arXiv 2503.20314. The 2.2 TI2V checkpoints do both tasks
with one transformer: an image enters as the clean first latent frame at timestep 0 (``expand_timesteps``).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.latent_preview import LatentPreview
from pipelines.local import LocalGenerator, guidance_of
from pipelines.placement import Placement
from pipelines.sampling import StepCallback
from pipelines.vocabulary import unknown_words
from studio.errors import MissingWeights
from studio.request import ResolvedRequest, Task
from studio.weights import WeightStore

PIPELINES = {Task.TEXT_TO_VIDEO: "WanPipeline", Task.IMAGE_TO_VIDEO: "WanImageToVideoPipeline"}


class WanGenerator(LocalGenerator):
    """Serves every Wan checkpoint in the diffusers layout.

    Row settings: max_sequence_length (tokens of the prompt, 512 unless told), flow_shift (overrides the
    scheduler's). Row option: guidance_scale_2 (of the low-noise expert of the 2.2 A14B pair).
    """

    gpu_dtype = "bfloat16"

    def _load(self, folder: Path, placement: Placement) -> Any:
        import diffusers
        import torch

        # The VAE is kept in float32 as the model cards ask; it is small beside the transformer.
        safely = {"use_safetensors": True, "local_files_only": True}
        vae = diffusers.AutoencoderKLWan.from_pretrained(folder, subfolder="vae", dtype=torch.float32, **safely)
        pipeline = diffusers.DiffusionPipeline.from_pretrained(folder, vae=vae, dtype=placement.dtype, **safely)
        if "flow_shift" in self.spec.settings:
            pipeline.scheduler.register_to_config(flow_shift=self.spec.settings["flow_shift"])
        return pipeline.to(placement.device)

    def _encode(self, pipeline: Any, resolved: ResolvedRequest) -> dict[str, Any]:
        prompt, negative = pipeline.encode_prompt(
            prompt=resolved.prompt,
            negative_prompt=resolved.negative_prompt,
            do_classifier_free_guidance=guidance_of(resolved) > 1,
            max_sequence_length=self.spec.settings.get("max_sequence_length", 512),
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
        arguments: dict[str, Any] = {
            **embeddings,
            "height": resolved.height,
            "width": resolved.width,
            "num_frames": resolved.num_frames,
            "num_inference_steps": resolved.num_inference_steps,
            "guidance_scale": guidance_of(resolved),
            "generator": rng,
            "output_type": "latent",
            "callback_on_step_end": on_step,
        }
        if "guidance_scale_2" in resolved.options:
            arguments["guidance_scale_2"] = resolved.options["guidance_scale_2"]
        image = self._first_frame(resolved)
        if image is not None:
            arguments["image"] = image
        return _for_task(pipeline, resolved.task)(**arguments).frames

    def _decode(self, pipeline: Any, latents: Any, resolved: ResolvedRequest) -> np.ndarray[Any, Any]:  # noqa: ARG002
        """Decode as the end of diffusers' Wan pipelines does. latents: (1, C, T, h, w), as the denoiser sees them."""
        import torch

        vae = pipeline.vae
        latents = latents.to(vae.device, vae.dtype)
        shape = (1, vae.config.z_dim, 1, 1, 1)
        mean = torch.tensor(vae.config.latents_mean).view(shape).to(latents.device, latents.dtype)
        # One over the spread, and then a division: multiplying would round otherwise.
        factor = 1.0 / torch.tensor(vae.config.latents_std).view(shape).to(latents.device, latents.dtype)
        video = vae.decode(latents / factor + mean, return_dict=False)[0]
        frames: np.ndarray[Any, Any] = pipeline.video_processor.postprocess_video(video, output_type="np")[0]
        pipeline.maybe_free_model_hooks()
        return frames

    def _measure_preview(self, pipeline: Any) -> LatentPreview:
        import torch

        vae = pipeline.vae
        mean = torch.tensor(vae.config.latents_mean, device=vae.device).view(-1, 1, 1)
        spread = torch.tensor(vae.config.latents_std, device=vae.device).view(-1, 1, 1)

        def encode(picture: torch.Tensor) -> torch.Tensor:
            latents = vae.encode(picture[:, :, None].to(vae.device, vae.dtype)).latent_dist.mode()[0, :, 0]
            return torch.as_tensor((latents - mean) / spread)

        return LatentPreview.measure(encode, scale=vae.config.scale_factor_spatial)

    def _latent_frame(self, latents: Any) -> Any:
        return latents[0, :, latents.shape[2] // 2]

    def _warnings(self, resolved: ResolvedRequest) -> tuple[str, ...]:
        grammar = self.spec.parameters.prompt_grammar
        if not grammar:
            return ()
        try:
            folder = WeightStore(self._settings).locate(self.spec)
        except MissingWeights:
            return ()
        words = unknown_words(folder / "tokenizer", resolved.prompt)
        if not words:
            return ()
        return (
            f"prompt: {self.spec.id} has never seen {', '.join(map(repr, words))} and ignores it; it knows: {grammar}",
        )


def _for_task(pipeline: Any, task: Task) -> Any:
    """Return the pipeline class of the task over the same weights."""
    import diffusers

    wanted = getattr(diffusers, PIPELINES[task])
    if isinstance(pipeline, wanted):
        return pipeline
    settings = {
        name: pipeline.config[name] for name in ("boundary_ratio", "expand_timesteps") if name in pipeline.config
    }
    converted = wanted(**_accepted(wanted, pipeline.components), **settings)
    converted.set_progress_bar_config(disable=True)
    return converted


def _accepted(pipeline_class: Any, components: dict[str, Any]) -> dict[str, Any]:
    import inspect

    names = inspect.signature(pipeline_class.__init__).parameters
    return {name: component for name, component in components.items() if name in names}
