"""LTX-2 and LTX-2.5: video with its sound from text or a picture, on diffusers' LTX-2 pipelines.

LTX-2: Efficient Joint Audio-Visual Foundation Model, arXiv 2601.03233. One denoiser makes both at once, each from its
own latents and looking at the other's; connectors bring the text, of all layers of a Gemma, into the form of each.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.latent_preview import LatentPreview
from pipelines.local import LocalGenerator, guidance_of
from pipelines.ltx import latent_size, with_noise
from pipelines.placement import Placement
from pipelines.prompt_embeddings import MASKED, encode_prompt
from pipelines.rehearsal import Outline
from pipelines.sampling import StepCallback
from pipelines.task_pipeline import pipeline_as
from pipelines.vae_preview import preview_of_video_vae
from studio.media import Audio
from studio.request import ResolvedRequest, Task

if TYPE_CHECKING:
    import torch

CLASSES = {Task.TEXT_TO_VIDEO: "LTX2Pipeline", Task.IMAGE_TO_VIDEO: "LTX2ImageToVideoPipeline"}
MAX_TOKENS = 1024
VIDEO, AUDIO = "video", "audio"
STEP_TENSORS = ("latents", "audio_latents")


class LTX2Generator(LocalGenerator):
    """Serves LTX-2 and LTX-2.5 checkpoints in the diffusers layout. Its clips have sound unless it is not wanted.

    The frame rate conditions the model and is the clip's own.
    Row settings: use_cross_timestep (how sound and picture tell each other the time; False for 2.0),
    spatio_temporal_guidance_blocks (those weakened for stg_scale), sigmas (those a distilled checkpoint was made for),
    decode_timestep and decode_noise_scale (for decoders that take a timestep), max_sequence_length (tokens, 1024 unless
    told). Row options: audio_guidance_scale, stg_scale, modality_scale, guidance_rescale; each guidance costs a call of
    the denoiser, of half the size.
    """

    gpu_dtype = "bfloat16"
    channel_axis = -1
    # What the checkpoints have besides, to rewrite prompts and guess lengths: large, and not asked for.
    sound_networks = ("audio_vae", "vocoder")
    left_out = ("processor", "prompt_enhancer", "duration_head")
    # Frames, height, width and channels of the latents of the present run.
    _packed = (1, 1, 1, 1)

    def _load(self, folder: Path, placement: Placement) -> Any:
        import diffusers

        return diffusers.DiffusionPipeline.from_pretrained(
            folder,
            **dict.fromkeys(self.left_out),
            dtype=placement.dtype,
            use_safetensors=True,
            local_files_only=True,
        )

    def _encode(self, pipeline: Any, resolved: ResolvedRequest) -> dict[str, Any]:
        return encode_prompt(
            pipeline,
            resolved,
            MASKED,
            do_classifier_free_guidance=_is_guided(resolved),
            max_sequence_length=self._tokens,
        )

    def _sample(
        self,
        pipeline: Any,
        resolved: ResolvedRequest,
        embeddings: Mapping[str, Any],
        rng: Any,
        on_step: StepCallback,
    ) -> Any:
        """Return the latents of picture and sound by name, as their VAEs take them: (1, C, T, h, w), (1, C, L, M)."""
        # A copy over the same modules: its callback may be given more than the pipeline's own.
        stock = copy.copy(pipeline_as(pipeline, CLASSES[resolved.task]))
        stock._callback_tensor_inputs = list(STEP_TENSORS)
        self._packed = (*latent_size(stock, resolved), stock.transformer.config.in_channels)
        watch = _BothAtOnce(on_step)
        _, audio = stock(
            **embeddings,
            **({"image": self._first_frame(resolved)} if resolved.task is Task.IMAGE_TO_VIDEO else {}),
            **self._guidance(resolved),
            **({"sigmas": self.spec.settings["sigmas"]} if "sigmas" in self.spec.settings else {}),
            height=resolved.height,
            width=resolved.width,
            num_frames=resolved.num_frames,
            frame_rate=float(resolved.frame_rate),
            num_inference_steps=resolved.num_inference_steps,
            use_cross_timestep=self._has_cross_timestep,
            generator=rng,
            output_type="latent",
            return_dict=False,
            callback_on_step_end=watch.on_step,
            callback_on_step_end_tensor_inputs=list(STEP_TENSORS),
        )
        video = self._for_decoder(stock, watch.video, embeddings["prompt_embeds"].dtype, rng)
        return {VIDEO: video, AUDIO: audio}

    def _decode(self, pipeline: Any, latents: Any, resolved: ResolvedRequest) -> Iterator[torch.Tensor]:  # noqa: ARG002
        """Decode as the end of diffusers' pipelines does. latents: what `_sample` returns."""
        import torch

        vae, video = pipeline.vae, latents[VIDEO].to(pipeline.vae.device)
        timestep = None
        if vae.config.timestep_conditioning:
            timestep = torch.tensor([self._decode_timestep], device=video.device, dtype=video.dtype)
        yield vae.decode(video.to(vae.dtype), timestep, return_dict=False)[0][0].transpose(0, 1)

    def _decode_audio(self, pipeline: Any, latents: Any, resolved: ResolvedRequest) -> Audio | None:
        """Decode the sound as the end of diffusers' pipelines does: a mel spectrogram, then the wave."""
        if not resolved.generate_audio:
            return None
        audio_vae, vocoder = pipeline.audio_vae, pipeline.vocoder
        spectrogram = audio_vae.decode(latents[AUDIO].to(audio_vae.device, audio_vae.dtype), return_dict=False)[0]
        wave = vocoder(spectrogram)[0]
        samples = np.ascontiguousarray(wave.float().cpu().numpy().T.clip(-1, 1))
        return Audio(samples=samples, sample_rate=int(vocoder.config.output_sampling_rate))

    def _measure_preview(self, pipeline: Any) -> LatentPreview:
        vae = pipeline.vae
        return preview_of_video_vae(
            vae,
            scale=vae.spatial_compression_ratio,
            normalise=lambda latents: pipeline._normalize_latents(latents, vae.latents_mean, vae.latents_std),
        )

    def _latent_frame(self, latents: Any) -> Any:
        """Return the middle frame. latents: picture and sound one after the other, flat, as a step hands them over."""
        clip = latents[: prod(self._packed)].view(self._packed)
        return clip[len(clip) // 2].permute(2, 0, 1)

    def _outline(self, pipeline: Any, resolved: ResolvedRequest, dtype: Any) -> Outline:
        import torch

        config, connectors = pipeline.transformer.config, pipeline.connectors.config
        size = frames, height, width = latent_size(pipeline, resolved)
        sound = _sound_length(pipeline, resolved)
        batch = 2 if _is_guided(resolved) else 1
        has_picture = resolved.task is Task.IMAGE_TO_VIDEO
        is_split = connectors.per_modality_projections
        widths = (
            [connectors.video_hidden_dim, connectors.audio_hidden_dim] if is_split else 2 * [config.caption_channels]
        )
        with torch.device("meta"):
            times = torch.empty(batch)
            call = {
                "hidden_states": torch.empty(batch, prod(size), config.in_channels, dtype=dtype),
                "audio_hidden_states": torch.empty(batch, sound, config.audio_in_channels, dtype=dtype),
                "encoder_hidden_states": torch.empty(batch, self._tokens, widths[0], dtype=dtype),
                "audio_encoder_hidden_states": torch.empty(batch, self._tokens, widths[1], dtype=dtype),
                "timestep": torch.empty(batch, prod(size)) if has_picture else times,
                "audio_timestep": times,
                "sigma": times,
                "encoder_attention_mask": torch.empty(batch, self._tokens, dtype=torch.int64),
                "audio_encoder_attention_mask": torch.empty(batch, self._tokens, dtype=torch.int64),
                "num_frames": frames,
                "height": height,
                "width": width,
                "fps": float(resolved.frame_rate),
                "audio_num_frames": sound,
                "use_cross_timestep": self._has_cross_timestep,
                "return_dict": False,
            }
            audio = (pipeline.audio_vae.config.latent_channels, sound, _mel_bins(pipeline))
            latents = {
                VIDEO: torch.empty(1, config.in_channels, *size, dtype=dtype),
                AUDIO: torch.empty(1, *audio),
            }
            picture = torch.empty(1, 3, 1, resolved.height, resolved.width) if has_picture else None
        # The calls for other guidance are of one clip each.
        others = sum(scale > none for scale, none in ((_stg_scale(resolved), 0), (_modality_scale(resolved), 1)))
        return Outline(call=call, latents=latents, calls=1 + -(-others // batch), picture=picture)

    # -- inside -------------------------------------------------------------------------------------------------

    @property
    def _tokens(self) -> int:
        return int(self.spec.settings.get("max_sequence_length", MAX_TOKENS))

    @property
    def _has_cross_timestep(self) -> bool:
        return bool(self.spec.settings.get("use_cross_timestep", True))

    @property
    def _decode_timestep(self) -> float:
        return float(self.spec.settings.get("decode_timestep", 0.0))

    def _guidance(self, resolved: ResolvedRequest) -> dict[str, Any]:
        stg, modality = _stg_scale(resolved), _modality_scale(resolved)
        rescale = float(resolved.options.get("guidance_rescale", 0.0))
        return {
            "guidance_scale": guidance_of(resolved),
            "audio_guidance_scale": _audio_guidance(resolved),
            "stg_scale": stg,
            "audio_stg_scale": stg,
            "modality_scale": modality,
            "audio_modality_scale": modality,
            "guidance_rescale": rescale,
            "audio_guidance_rescale": rescale,
            "spatio_temporal_guidance_blocks": self.spec.settings.get("spatio_temporal_guidance_blocks"),
        }

    def _for_decoder(self, stock: Any, packed: Any, dtype: Any, rng: Any) -> Any:
        """Do what the pipelines do between their loop and their decode, in the same order."""
        vae = stock.vae
        latents = packed[0].view(self._packed).permute(3, 0, 1, 2)[None].to(dtype)
        if vae.config.timestep_conditioning:
            share = float(self.spec.settings.get("decode_noise_scale", self._decode_timestep))
            latents = with_noise(latents, share, rng)
        return stock._denormalize_latents(latents, vae.latents_mean, vae.latents_std, vae.config.scaling_factor)


class _BothAtOnce:
    """The callback of a loop that has two latents, for one that knows one: it is handed both, flat and in one piece.

    The pipelines take back the picture's alone; what comes back is therefore written into the tensors that they hold.
    video: (1, N, C), the picture's latents after the latest step.
    """

    def __init__(self, on_step: StepCallback) -> None:
        self._on_step = on_step
        self.video: Any = None

    def on_step(self, pipeline: Any, index: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        import torch

        both = [tensors[name] for name in STEP_TENSORS]
        answer = self._on_step(pipeline, index, timestep, {"latents": torch.cat([one.flatten() for one in both])})
        if "latents" in answer:
            parts = answer["latents"].split([one.numel() for one in both])
            for one, part in zip(both, parts, strict=True):
                one.copy_(part.view(one.shape))
        self.video = both[0]
        return {}


def _is_guided(resolved: ResolvedRequest) -> bool:
    return max(guidance_of(resolved), _audio_guidance(resolved)) > 1


def _audio_guidance(resolved: ResolvedRequest) -> float:
    return float(resolved.options.get("audio_guidance_scale", guidance_of(resolved)))


def _stg_scale(resolved: ResolvedRequest) -> float:
    return float(resolved.options.get("stg_scale", 0.0))


def _modality_scale(resolved: ResolvedRequest) -> float:
    return float(resolved.options.get("modality_scale", 1.0))


def _sound_length(pipeline: Any, resolved: ResolvedRequest) -> int:
    """Return how many latents the sound has."""
    per_second = (
        pipeline.audio_sampling_rate / pipeline.audio_hop_length / pipeline.audio_vae_temporal_compression_ratio
    )
    length: int = round(resolved.num_frames / float(resolved.frame_rate) * per_second)
    return length


def _mel_bins(pipeline: Any) -> int:
    return int(pipeline.audio_vae.config.mel_bins) // int(pipeline.audio_vae_mel_compression_ratio)
