"""LTX-Video from text, pictures or a video, on diffusers' LTX pipelines.

LTX-Video: Realtime Video Latent Diffusion, arXiv 2501.00103. The decoder of 0.9.1 and later does the last denoising
step: it takes latents with a little noise, and how much.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.latent_preview import LatentPreview
from pipelines.local import LocalGenerator, guidance_of
from pipelines.placement import Placement
from pipelines.rehearsal import Outline
from pipelines.sampling import StepCallback
from pipelines.source_video import STRENGTH, end_of_source, remarks_on_end, remarks_on_source, source_frames
from pipelines.task_pipeline import pipeline_as
from studio.extending.part import part_of
from studio.media import fit_image, read_image
from studio.request import ResolvedRequest, Role, Task

if TYPE_CHECKING:
    import torch

CONDITIONED = "LTXConditionPipeline"
UNCONDITIONED = {Task.TEXT_TO_VIDEO: "LTXPipeline", Task.IMAGE_TO_VIDEO: "LTXImageToVideoPipeline"}
EMBEDDINGS = (
    "prompt_embeds",
    "prompt_attention_mask",
    "negative_prompt_embeds",
    "negative_prompt_attention_mask",
)
TRAINED_STEPS = 1000
# What the pipelines take unless told.
MAX_TOKENS = {CONDITIONED: 256}
FEWER_TOKENS = 128


class LTXVideoGenerator(LocalGenerator):
    """Serves every LTX-Video checkpoint in the diffusers layout.

    The frame rate conditions the model and is the clip's own. A video-to-video request starts from its source with the
    share `strength` of noise, and does all its steps from there; or, where the row's option for it says how many, goes
    on from its source's last frames. Their latents stay as they are, so the clip begins with them as the VAE shows
    them: its decoder sees the latents behind them as well, and does a step of its own.
    Row settings: has_conditions (True unless told; False for checkpoints before 0.9.5, which know no pictures but the
    first), continues (see `studio.extending.part`), timesteps (those a distilled checkpoint was made for, taken where
    so many steps are asked for), decode_timestep, decode_noise_scale (of the decoder's own step), max_sequence_length
    (tokens of the prompt).
    Row options: guidance_rescale, image_cond_noise_scale (noise on what is given), strength, the one of `continues`.
    """

    gpu_dtype = "bfloat16"
    channel_axis = -1
    _latent_size = (1, 1, 1)

    def _load(self, folder: Path, placement: Placement) -> Any:
        import diffusers

        return diffusers.DiffusionPipeline.from_pretrained(
            folder, dtype=placement.dtype, use_safetensors=True, local_files_only=True
        )

    def _encode(self, pipeline: Any, resolved: ResolvedRequest) -> dict[str, Any]:
        found = pipeline_as(pipeline, self._class_for(resolved)).encode_prompt(
            prompt=resolved.prompt,
            negative_prompt=resolved.negative_prompt,
            do_classifier_free_guidance=guidance_of(resolved) > 1,
            max_sequence_length=self._tokens(resolved),
            device=pipeline._execution_device,
        )
        return {name: tensor for name, tensor in zip(EMBEDDINGS, found, strict=True) if tensor is not None}

    def _sample(
        self,
        pipeline: Any,
        resolved: ResolvedRequest,
        embeddings: Mapping[str, Any],
        rng: Any,
        on_step: StepCallback,
    ) -> Any:
        """Return latents (1, C, T, h, w) as the decoder takes them: in the VAE's own scale, with its noise."""
        stock = pipeline_as(pipeline, self._class_for(resolved))
        size = self._latent_size = latent_size(stock, resolved)
        latents = stock(
            **embeddings,
            **self._material(stock, resolved, rng),
            height=resolved.height,
            width=resolved.width,
            num_frames=resolved.num_frames,
            frame_rate=float(resolved.frame_rate),
            num_inference_steps=resolved.num_inference_steps,
            guidance_scale=guidance_of(resolved),
            guidance_rescale=float(resolved.options.get("guidance_rescale", 0.0)),
            generator=rng,
            output_type="latent",
            callback_on_step_end=on_step,
        ).frames
        if latents.ndim == 3:  # the pipelines without conditions return them packed
            latents = stock._unpack_latents(latents, *size, stock.transformer_spatial_patch_size)
        return self._for_decoder(stock, latents, embeddings["prompt_embeds"].dtype, rng)

    def _decode(self, pipeline: Any, latents: Any, resolved: ResolvedRequest) -> Iterator[torch.Tensor]:
        """Decode as the end of diffusers' pipelines does. latents: what `_sample` returns."""
        import torch

        vae = pipeline.vae
        latents = latents.to(vae.device)
        timestep = None
        if vae.config.timestep_conditioning:
            timestep = torch.tensor([self._decode_timestep], device=latents.device, dtype=latents.dtype)
        with _own_noise(vae, latents, resolved.seed):
            video = vae.decode(latents.to(vae.dtype), timestep, return_dict=False)[0]
        yield video[0].transpose(0, 1)

    def _measure_preview(self, pipeline: Any) -> LatentPreview:
        import torch

        vae = pipeline.vae
        stock = pipeline_as(pipeline, CONDITIONED)

        def encode(picture: torch.Tensor) -> torch.Tensor:
            latents = vae.encode(picture[:, :, None].to(vae.device, vae.dtype)).latent_dist.mode()
            return torch.as_tensor(stock._normalize_latents(latents, vae.latents_mean, vae.latents_std)[0, :, 0])

        return LatentPreview.measure(encode, scale=vae.spatial_compression_ratio)

    def _latent_frame(self, latents: Any) -> Any:
        """Return the middle frame. latents: (1, N, C), packed; tokens of given pictures stand before the clip's."""
        frames, height, width = self._latent_size
        clip = latents[0, -frames * height * width :].unflatten(0, self._latent_size)
        return clip[frames // 2].permute(2, 0, 1)

    def _outline(self, pipeline: Any, resolved: ResolvedRequest, dtype: Any) -> Outline:
        import torch

        config = pipeline.transformer.config
        frames, height, width = latent_size(pipeline, resolved)
        pictures = {item.role for item in resolved.conditionings} - {Role.SOURCE_VIDEO}
        part = part_of(resolved, self.spec)
        # A last frame is a frame of its own, before the clip's.
        tokens = (frames + (Role.LAST_FRAME in pictures)) * height * width
        batch = 2 if guidance_of(resolved) > 1 else 1
        with torch.device("meta"):
            call: dict[str, Any] = {
                "hidden_states": torch.empty(batch, tokens, config.in_channels, dtype=dtype),
                "encoder_hidden_states": torch.empty(
                    batch, self._tokens(resolved), config.caption_channels, dtype=dtype
                ),
                "timestep": torch.empty(batch, tokens if pictures or part else 1),
                "encoder_attention_mask": torch.empty(batch, self._tokens(resolved), dtype=torch.bool),
                "video_coords": torch.empty(batch, 3, tokens),
                "return_dict": False,
            }
            latents = torch.empty(1, config.in_channels, frames, height, width, dtype=dtype)
            picture = torch.empty(1, 3, 1, resolved.height, resolved.width) if pictures else None
            if resolved.task is Task.VIDEO_TO_VIDEO:
                picture = torch.empty(1, 3, part or resolved.num_frames, resolved.height, resolved.width)
        return Outline(call=call, latents=latents, picture=picture)

    def _warnings(self, resolved: ResolvedRequest) -> tuple[str, ...]:
        if resolved.task is not Task.VIDEO_TO_VIDEO:
            return ()
        part = part_of(resolved, self.spec)
        return remarks_on_end(resolved, part) if part else remarks_on_source(resolved)

    # -- inside -------------------------------------------------------------------------------------------------

    def _class_for(self, resolved: ResolvedRequest) -> str:
        return CONDITIONED if self.spec.settings.get("has_conditions", True) else UNCONDITIONED[resolved.task]

    def _tokens(self, resolved: ResolvedRequest) -> int:
        usual = MAX_TOKENS.get(self._class_for(resolved), FEWER_TOKENS)
        return int(self.spec.settings.get("max_sequence_length", usual))

    @property
    def _decode_timestep(self) -> float:
        return float(self.spec.settings.get("decode_timestep", 0.0))

    def _material(self, stock: Any, resolved: ResolvedRequest, rng: Any) -> dict[str, Any]:
        """Return the arguments of the pipeline that are the task's own."""
        part = part_of(resolved, self.spec)
        if resolved.task is Task.VIDEO_TO_VIDEO and not part:
            return _from_source(stock, resolved, rng)
        timesteps = self.spec.settings.get("timesteps", ())
        found: dict[str, Any] = {"timesteps": timesteps} if len(timesteps) == resolved.num_inference_steps else {}
        pictures = _pictures(resolved)
        if self._class_for(resolved) != CONDITIONED:
            return found | ({"image": pictures[Role.FIRST_FRAME]} if pictures else {})
        conditions = _conditions(pictures, resolved.num_frames) + (_part(resolved, part) if part else [])
        if conditions:
            found["conditions"] = conditions
            found["image_cond_noise_scale"] = float(resolved.options.get("image_cond_noise_scale", 0.0))
        return found

    def _for_decoder(self, stock: Any, latents: Any, dtype: Any, rng: Any) -> Any:
        """Do what the pipelines do between their loop and their decode, in the same order of random numbers."""
        vae = stock.vae
        latents = stock._denormalize_latents(latents, vae.latents_mean, vae.latents_std, vae.config.scaling_factor)
        latents = latents.to(dtype)
        if not vae.config.timestep_conditioning:
            return latents
        return with_noise(latents, float(self.spec.settings.get("decode_noise_scale", self._decode_timestep)), rng)


def with_noise(latents: Any, share: float, rng: Any) -> Any:
    """Return latents for a decoder that does the last denoising step. share: of the noise, in [0, 1]."""
    import torch
    from diffusers.utils.torch_utils import randn_tensor

    noise = randn_tensor(latents.shape, generator=rng, device=latents.device, dtype=latents.dtype)
    scale = torch.tensor(share, device=latents.device, dtype=latents.dtype)
    return (1 - scale) * latents + scale * noise


def latent_size(pipeline: Any, resolved: ResolvedRequest) -> tuple[int, int, int]:
    """Return frames, height and width of the latents."""
    side = pipeline.vae_spatial_compression_ratio
    frames = (resolved.num_frames - 1) // pipeline.vae_temporal_compression_ratio + 1
    return frames, resolved.height // side, resolved.width // side


def _pictures(resolved: ResolvedRequest) -> dict[Role, Any]:
    """Return the given first and last frame as PIL images of the clip's size."""
    from PIL import Image

    given = [item for item in resolved.conditionings if item.role in (Role.FIRST_FRAME, Role.LAST_FRAME)]
    return {
        item.role: Image.fromarray(fit_image(read_image(item.path), resolved.width, resolved.height)) for item in given
    }


def _conditions(pictures: Mapping[Role, Any], num_frames: int) -> list[Any]:
    from diffusers.pipelines.ltx.pipeline_ltx_condition import LTXVideoCondition

    places = {Role.FIRST_FRAME: 0, Role.LAST_FRAME: num_frames - 1}
    return [LTXVideoCondition(image=picture, frame_index=places[role]) for role, picture in pictures.items()]


def _part(resolved: ResolvedRequest, count: int) -> list[Any]:
    """Return the end of the source video as what the clip begins with."""
    from diffusers.pipelines.ltx.pipeline_ltx_condition import LTXVideoCondition

    return [LTXVideoCondition(video=end_of_source(resolved, count), frame_index=0)]


def _from_source(stock: Any, resolved: ResolvedRequest, rng: Any) -> dict[str, Any]:
    """Return the arguments of a run that starts from the source video with the share `strength` of noise over it.

    The pipeline starts behind the first of its timesteps, which share of them `denoise_strength` says; so that it does
    all steps asked for, it is given one more.
    """
    vae, steps, strength = stock.vae, resolved.num_inference_steps or 1, float(resolved.options[STRENGTH])
    video = stock.video_processor.preprocess_video(source_frames(resolved), resolved.height, resolved.width)
    latents = vae.encode(video.to(stock._execution_device, vae.dtype)).latent_dist.sample(rng)
    levels = [strength * (1 - step / steps) for step in range(steps)]
    return {
        "latents": stock._normalize_latents(latents.float(), vae.latents_mean, vae.latents_std),
        "denoise_strength": (steps + 0.5) / (steps + 1),
        "timesteps": [TRAINED_STEPS * level for level in (1.0, *levels)],
    }


def _own_noise(vae: Any, latents: Any, seed: int) -> AbstractContextManager[None]:
    """Let a decoder that draws noise in its layers, from torch's common generator, draw the same for the same seed."""
    return _seeded(latents, seed) if any(vae.config.decoder_inject_noise) else nullcontext()


@contextmanager
def _seeded(latents: Any, seed: int) -> Iterator[None]:
    import torch

    with torch.random.fork_rng(devices=[latents.device] if latents.is_cuda else []):
        torch.manual_seed(seed)
        yield
