"""Allegro: text-to-video on diffusers' Allegro pipeline.

Allegro: Open the Black Box of Commercial-Level Video Generation Model, arXiv 2410.15458. Its VAE was made for tiles of
24 frames with 320 pixels a side, and diffusers knows no other way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.latent_preview import LatentPreview
from pipelines.local import LocalGenerator, guidance_of
from pipelines.placement import Placement
from pipelines.prompt_embeddings import MASKED, encode_prompt
from pipelines.rehearsal import META, Outline
from pipelines.sampling import StepCallback
from studio.request import ResolvedRequest

if TYPE_CHECKING:
    import torch

MAX_TOKENS = 512


class AllegroGenerator(LocalGenerator):
    """Serves Allegro in the diffusers layout.

    Row setting: max_sequence_length (tokens of the prompt, 512 unless told).
    """

    gpu_dtype = "bfloat16"

    def _load(self, folder: Path, placement: Placement) -> Any:
        import diffusers
        import torch

        safely = {"use_safetensors": True, "local_files_only": True}
        vae = diffusers.AutoencoderKLAllegro.from_pretrained(folder, subfolder="vae", dtype=torch.float32, **safely)
        return diffusers.AllegroPipeline.from_pretrained(folder, vae=vae, dtype=placement.dtype, **safely)

    def own_dtypes(self, placement: Placement) -> Mapping[str, Any]:  # noqa: ARG002
        """Return the number formats of networks that are loaded in another one than the placement's, by name."""
        import torch

        return {"vae": torch.float32}

    def _encode(self, pipeline: Any, resolved: ResolvedRequest) -> dict[str, Any]:
        # Captions are cleaned, as the pipeline does when it is given words.
        return encode_prompt(pipeline, resolved, MASKED, max_sequence_length=self._tokens, clean_caption=True)

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
            negative_prompt=None,  # an empty one, which is what it takes unless told, counts as a second one
            height=resolved.height,
            width=resolved.width,
            num_frames=resolved.num_frames,
            num_inference_steps=resolved.num_inference_steps,
            guidance_scale=guidance_of(resolved),
            generator=rng,
            output_type="latent",
            callback_on_step_end=on_step,
        ).frames

    def _decode(self, pipeline: Any, latents: Any, resolved: ResolvedRequest) -> Iterator[torch.Tensor]:
        """Decode as the end of diffusers' Allegro pipeline does. latents: (1, C, T, h, w)."""
        vae = pipeline.vae
        vae.enable_tiling()
        latents = 1 / vae.config.scaling_factor * latents.to(vae.device, vae.dtype)
        yield vae.decode(latents).sample[0][: resolved.num_frames]

    def _measure_preview(self, pipeline: Any) -> LatentPreview:
        import torch

        vae = pipeline.vae

        def encode(picture: torch.Tensor) -> torch.Tensor:
            # So many frames that the encoder makes them into one; by its parts, for the whole asks for full tiles.
            still = picture[:, :, None].expand(-1, -1, vae.config.temporal_compression_ratio, -1, -1)
            moments = vae.quant_conv(vae.encoder(still.to(vae.device, vae.dtype))[:, :, 0])
            return torch.as_tensor(moments[0].chunk(2)[0] * vae.config.scaling_factor)

        return LatentPreview.measure(encode, scale=pipeline.vae_scale_factor_spatial)

    def _latent_frame(self, latents: Any) -> Any:
        return latents[0, :, latents.shape[2] // 2]

    def _outline(self, pipeline: Any, resolved: ResolvedRequest, dtype: Any) -> Outline:
        import torch

        denoiser, batch = pipeline.transformer.config, 2 if guidance_of(resolved) > 1 else 1
        scale = pipeline.vae_scale_factor_spatial
        # An odd first frame has a latent of its own.
        odd = resolved.num_frames % 2
        frames = -(-(resolved.num_frames - odd) // pipeline.vae_scale_factor_temporal) + odd
        shape = (frames, resolved.height // scale, resolved.width // scale)
        positions = pipeline._prepare_rotary_positional_embeddings(
            batch, resolved.height, resolved.width, frames, torch.device(META)
        )
        with torch.device(META):
            call = {
                "hidden_states": torch.empty(batch, denoiser.in_channels, *shape, dtype=dtype),
                "encoder_hidden_states": torch.empty(batch, 1, self._tokens, denoiser.caption_channels, dtype=dtype),
                "encoder_attention_mask": torch.empty(batch, self._tokens, dtype=torch.int64),
                "timestep": torch.empty(batch),
                "image_rotary_emb": positions,
                "return_dict": False,
            }
            latents = torch.empty(1, denoiser.in_channels, *shape, dtype=dtype)
        return Outline(call=call, latents=latents)

    @property
    def _tokens(self) -> int:
        return int(self.spec.settings.get("max_sequence_length", MAX_TOKENS))
