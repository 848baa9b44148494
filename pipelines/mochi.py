"""Mochi 1: text-to-video on diffusers' Mochi pipeline.

Genmo, Mochi 1 (2024): an asymmetric diffusion transformer of 10 billion numbers and a VAE that makes six frames into
one; https://github.com/genmoai/mochi.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from pipelines.latent_preview import LatentPreview
from pipelines.local import LocalGenerator, guidance_of
from pipelines.mochi_decoder import decode_mochi
from pipelines.placement import Placement
from pipelines.plan import MemoryPlan
from pipelines.prompt_embeddings import MASKED, encode_prompt
from pipelines.rehearsal import META, Outline
from pipelines.replaced_forward import replaced_forward
from pipelines.sampling import StepCallback
from pipelines.vae_preview import preview_of_video_vae
from studio.request import ResolvedRequest

if TYPE_CHECKING:
    import torch

MAX_TOKENS = 256


class MochiGenerator(LocalGenerator):
    """Serves Mochi 1 checkpoints in the diffusers layout.

    Row setting: max_sequence_length (tokens of the prompt, 256 unless told).
    """

    gpu_dtype = "bfloat16"

    def _load(self, folder: Path, placement: Placement) -> Any:
        import diffusers

        pipeline = diffusers.MochiPipeline.from_pretrained(
            folder,
            dtype=placement.dtype,
            variant=self._variant(folder),
            use_safetensors=True,
            local_files_only=True,
        )
        denoiser = pipeline.transformer
        # The hub's configuration leaves it out; a run that is taken up again has to know.
        denoiser.register_to_config(out_channels=denoiser.config.out_channels or denoiser.config.in_channels)
        return pipeline

    def _encode(self, pipeline: Any, resolved: ResolvedRequest) -> dict[str, Any]:
        return encode_prompt(pipeline, resolved, MASKED, max_sequence_length=self._tokens)

    def _sample(
        self,
        pipeline: Any,
        resolved: ResolvedRequest,
        embeddings: Mapping[str, Any],
        rng: Any,
        on_step: StepCallback,
    ) -> Any:
        return pipeline(
            **embeddings,
            height=resolved.height,
            width=resolved.width,
            num_frames=resolved.num_frames,
            num_inference_steps=resolved.num_inference_steps,
            guidance_scale=guidance_of(resolved),
            generator=rng,
            output_type="latent",
            callback_on_step_end=on_step,
        ).frames

    def _decode(self, pipeline: Any, latents: Any, resolved: ResolvedRequest) -> Iterator[torch.Tensor]:  # noqa: ARG002
        """Decode as the end of diffusers' Mochi pipeline does. latents: (1, C, T, h, w), as the denoiser sees them."""
        vae = pipeline.vae
        latents = latents.to(vae.device)
        spread, mean = (part.to(latents.device, latents.dtype) for part in _statistics(vae))
        yield from decode_mochi(vae, latents * spread / vae.config.scaling_factor + mean)

    def _measure_preview(self, pipeline: Any) -> LatentPreview:
        vae = pipeline.vae
        spread, mean = (part.to(vae.device, vae.dtype) for part in _statistics(vae))
        return preview_of_video_vae(
            vae,
            scale=vae.spatial_compression_ratio,
            num_frames=vae.temporal_compression_ratio,
            normalise=lambda latents: (latents - mean) * vae.config.scaling_factor / spread,
        )

    def _latent_frame(self, latents: Any) -> Any:
        return latents[0, :, latents.shape[2] // 2]

    def _outline(self, pipeline: Any, resolved: ResolvedRequest, dtype: Any) -> Outline:
        import torch

        denoiser, batch = pipeline.transformer.config, 2 if guidance_of(resolved) > 1 else 1
        shape = (
            (resolved.num_frames - 1) // pipeline.vae_temporal_scale_factor + 1,
            resolved.height // pipeline.vae_spatial_scale_factor,
            resolved.width // pipeline.vae_spatial_scale_factor,
        )
        with torch.device(META):
            call = {
                "hidden_states": torch.empty(batch, denoiser.in_channels, *shape, dtype=dtype),
                "encoder_hidden_states": torch.empty(batch, self._tokens, denoiser.text_embed_dim, dtype=dtype),
                "timestep": torch.empty(batch, dtype=dtype),
                "encoder_attention_mask": torch.empty(batch, self._tokens, dtype=torch.bool),
                "return_dict": False,
            }
            latents = torch.empty(1, denoiser.in_channels, *shape, dtype=dtype)
        return Outline(call=call, latents=latents)

    @contextmanager
    def _adapters(self, pipeline: Any, plan: MemoryPlan, resolved: ResolvedRequest) -> Iterator[None]:
        with super()._adapters(pipeline, plan, resolved), ExitStack() as stack:
            if pipeline.transformer.device.type == META:
                _without_numbers(pipeline.transformer, stack)
            yield

    def _variant(self, folder: Path) -> str | None:
        """Return the row's variant if the checkpoint has it: one that was saved anew has none."""
        variant = None if self.spec.weights is None else self.spec.weights.variant
        return variant if any(folder.glob(f"*/*.{variant}*.safetensors")) else None

    @property
    def _tokens(self) -> int:
        return int(self.spec.settings.get("max_sequence_length", MAX_TOKENS))


def _without_numbers(denoiser: Any, stack: ExitStack) -> None:
    """Let a denoiser on the meta device run as if no token of the prompt were padding."""
    import torch
    from torch.fx.experimental import _config

    def positions(frequencies: torch.Tensor, *sizes: int, **_: Any) -> tuple[torch.Tensor, torch.Tensor]:
        shape = (math.prod(sizes), *frequencies.shape[1:])
        return torch.empty(shape, device=META), torch.empty(shape, device=META)

    stack.enter_context(cast("Any", _config).patch(meta_nonzero_assume_all_nonzero=True))
    # The stock one asks for autocast, which there is none of without a device.
    stack.enter_context(replaced_forward(denoiser.rope, lambda _stock: positions))


def _statistics(vae: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Return spread and mean of the VAE's latents, (1, C, 1, 1, 1); one and zero where it does not say."""
    import torch

    shape = (1, -1, 1, 1, 1)
    spread, mean = vae.config.latents_std, vae.config.latents_mean
    if spread is None or mean is None:
        spread, mean = [1.0], [0.0]
    return torch.tensor(spread).view(shape), torch.tensor(mean).view(shape)
