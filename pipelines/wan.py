"""Wan 2.1 and 2.2 from text, pictures or a video, on diffusers' Wan pipelines.

Wan: Open and Advanced Large-Scale Video Generative Models, arXiv 2503.20314. The 2.2 TI2V checkpoints do both tasks
with one transformer: an image enters as the clean first latent frame at timestep 0 (``expand_timesteps``).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.exact.guidance_pair import paired
from pipelines.exact.wan_timestep import one_timestep
from pipelines.latent_preview import LatentPreview
from pipelines.local import guidance_of
from pipelines.placement import Placement
from pipelines.plan import DecodeForm, MemoryPlan
from pipelines.prompt_embeddings import PLAIN, encode_prompt
from pipelines.rehearsal import Outline
from pipelines.restyling import RestylingGenerator
from pipelines.sampling import StepCallback
from pipelines.task_pipeline import pipeline_as
from pipelines.vocabulary import unknown_words
from pipelines.wan_vae import decode_wan_latents, load_wan_vae, measure_wan_preview, wan_latent_shape
from studio.errors import MissingWeights, UnsupportedValue
from studio.media import fit_image, read_image
from studio.request import ResolvedRequest, Role, Task
from studio.weights import WeightStore

if TYPE_CHECKING:
    import torch

MAX_TOKENS = 512
# Up to so many tokens the two branches of guidance run as one batch: 1.4 times faster with 80 tokens on a CPU, and no
# faster where one branch keeps a device busy.
MOST_TOKENS_OF_A_PAIR = 1024
IMAGE_ENCODER = "image_encoder"


class WanGenerator(RestylingGenerator):
    """Serves every Wan checkpoint in the diffusers layout.

    Row settings: max_sequence_length (tokens of the prompt, 512 unless told), flow_shift (overrides the
    scheduler's). Row options: guidance_scale_2 (of the low-noise expert of the 2.2 A14B pair), strength (how much of
    the source video is made anew, for rows that do video-to-video).
    """

    gpu_dtype = "bfloat16"
    decode_forms = (DecodeForm.WHOLE, DecodeForm.STREAMED)
    # The pipeline class of diffusers for each task.
    classes: Mapping[Task, str] = {
        Task.TEXT_TO_VIDEO: "WanPipeline",
        Task.IMAGE_TO_VIDEO: "WanImageToVideoPipeline",
        Task.FIRST_LAST_FRAME_TO_VIDEO: "WanImageToVideoPipeline",
        Task.VIDEO_TO_VIDEO: "WanVideoToVideoPipeline",
    }
    image_encoder_class = "CLIPVisionModel"

    def _load(self, folder: Path, placement: Placement) -> Any:
        import diffusers

        pipeline = diffusers.DiffusionPipeline.from_pretrained(
            folder,
            vae=load_wan_vae(folder),
            **self._image_encoder(folder),
            dtype=placement.dtype,
            use_safetensors=True,
            local_files_only=True,
        )
        if "flow_shift" in self.spec.settings:
            pipeline.scheduler.register_to_config(flow_shift=self.spec.settings["flow_shift"])
        return pipeline

    def _encode(self, pipeline: Any, resolved: ResolvedRequest) -> dict[str, Any]:
        return encode_prompt(pipeline, resolved, PLAIN, max_sequence_length=self._tokens)

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
            **self._material(resolved),
            "height": resolved.height,
            "width": resolved.width,
            "num_inference_steps": resolved.num_inference_steps,
            "guidance_scale": guidance_of(resolved),
            "generator": rng,
            "output_type": "latent",
            "callback_on_step_end": on_step,
        }
        if "guidance_scale_2" in resolved.options:
            arguments["guidance_scale_2"] = resolved.options["guidance_scale_2"]
        return pipeline_as(pipeline, self.classes[resolved.task])(**arguments).frames

    def _decode(self, pipeline: Any, latents: Any, resolved: ResolvedRequest) -> Iterator[torch.Tensor]:  # noqa: ARG002
        """Decode as the end of diffusers' Wan pipelines does. latents: (1, C, T, h, w), as the denoiser sees them."""
        yield from decode_wan_latents(pipeline.vae, latents, self._plan.decode, self._on_part)

    def _measure_preview(self, pipeline: Any) -> LatentPreview:
        return measure_wan_preview(pipeline.vae)

    def _latent_frame(self, latents: Any) -> Any:
        return latents[0, :, latents.shape[2] // 2]

    def _outline(self, pipeline: Any, resolved: ResolvedRequest, dtype: Any) -> Outline:
        import torch

        denoiser = pipeline.transformer if pipeline.transformer is not None else pipeline.transformer_2
        shape = wan_latent_shape(
            pipeline.vae, num_frames=resolved.num_frames, height=resolved.height, width=resolved.width
        )
        frames, rows, columns = shape
        # A model that takes its first frame as a clean latent tells the time of each patch.
        times = (1, frames * (rows // 2) * (columns // 2)) if pipeline.config.get("expand_timesteps") else (1,)
        with torch.device("meta"):
            call: dict[str, Any] = {
                "hidden_states": torch.empty(1, denoiser.config.in_channels, *shape, dtype=dtype),
                "timestep": torch.empty(times),
                "encoder_hidden_states": torch.empty(1, self._tokens, denoiser.config.text_dim, dtype=dtype),
                "return_dict": False,
            }
            if denoiser.config.get("image_dim") is not None:
                vision = pipeline.image_encoder.config
                seen = (1 + (Role.LAST_FRAME in _roles(resolved)), (vision.image_size // vision.patch_size) ** 2 + 1)
                call["encoder_hidden_states_image"] = torch.empty(*seen, vision.hidden_size, dtype=dtype)
            latents = torch.empty(1, pipeline.vae.config.z_dim, *shape)
            # What the VAE reads: the pictures stand in a clip of grey, but for the model that takes one as it is.
            read = 1 if pipeline.config.get("expand_timesteps") else resolved.num_frames
            picture = torch.empty(1, 3, read, resolved.height, resolved.width)
        return Outline(
            call=call,
            latents=latents,
            calls=2 if guidance_of(resolved) > 1 else 1,
            picture=None if resolved.task is Task.TEXT_TO_VIDEO else picture,
        )

    def own_dtypes(self, placement: Placement) -> Mapping[str, Any]:  # noqa: ARG002
        """Return the number formats of networks that are loaded in another one than the placement's, by name."""
        import torch

        return {"vae": torch.float32, IMAGE_ENCODER: torch.float32}

    @contextmanager
    def _adapters(self, pipeline: Any, plan: MemoryPlan, resolved: ResolvedRequest) -> Iterator[None]:  # noqa: ARG002
        is_shared = bool(pipeline.config.get("expand_timesteps")) and resolved.task is Task.TEXT_TO_VIDEO
        with ExitStack() as stack:
            if is_shared:
                for denoiser in _denoisers(pipeline):
                    stack.enter_context(one_timestep(denoiser))
            yield

    @contextmanager
    def _conditioned(self, pipeline: Any, embeddings: Mapping[str, Any], resolved: ResolvedRequest) -> Iterator[None]:
        shape = wan_latent_shape(
            pipeline.vae, num_frames=resolved.num_frames, height=resolved.height, width=resolved.width
        )
        texts = embeddings.get("prompt_embeds"), embeddings.get("negative_prompt_embeds")
        with ExitStack() as stack:
            if math.prod(shape) // 4 <= MOST_TOKENS_OF_A_PAIR:
                for denoiser in _denoisers(pipeline):
                    stack.enter_context(paired(denoiser, *texts))
            yield

    def _warnings(self, resolved: ResolvedRequest) -> tuple[str, ...]:
        is_edit = resolved.task is Task.VIDEO_TO_VIDEO
        if is_edit and self._speed(resolved).cache is not None:  # stock's pipeline does not tell its two branches apart
            raise UnsupportedValue(
                "step caches do not work from video to video",
                field="option speed",
                got=str(resolved.options["speed"]),
                allowed="exact",
            )
        return (*super()._warnings(resolved), *self._unknown_words(resolved))

    # -- inside -------------------------------------------------------------------------------------------------

    @property
    def _tokens(self) -> int:
        return int(self.spec.settings.get("max_sequence_length", MAX_TOKENS))

    def _image_encoder(self, folder: Path) -> dict[str, Any]:
        """Return the image encoder in float32, as the model cards ask, where the checkpoint has one."""
        import torch
        import transformers

        if not (folder / IMAGE_ENCODER).is_dir():
            return {}
        encoder_class = getattr(transformers, self.image_encoder_class)
        return {
            IMAGE_ENCODER: encoder_class.from_pretrained(
                folder, subfolder=IMAGE_ENCODER, dtype=torch.float32, use_safetensors=True, local_files_only=True
            )
        }

    def _material(self, resolved: ResolvedRequest) -> dict[str, Any]:
        """Return the arguments of the pipeline that are the task's own: its length, its pictures or its video."""
        if resolved.task is Task.VIDEO_TO_VIDEO:
            return self._source(resolved)
        pictures = {"image": self._first_frame(resolved), "last_image": self._last_frame(resolved)}
        given = {name: picture for name, picture in pictures.items() if picture is not None}
        return {"num_frames": resolved.num_frames, **given}

    def _last_frame(self, resolved: ResolvedRequest) -> Any:
        """Return the request's last frame as a PIL image of the clip's size, or None."""
        from PIL import Image

        conditioning = resolved.conditioning(Role.LAST_FRAME)
        if conditioning is None:
            return None
        return Image.fromarray(fit_image(read_image(conditioning.path), resolved.width, resolved.height))

    def _unknown_words(self, resolved: ResolvedRequest) -> tuple[str, ...]:
        grammar = self.spec.parameters.prompt_grammar
        if not grammar:
            return ()
        try:
            folder = WeightStore(self.settings).locate(self.spec)
        except MissingWeights:
            return ()
        words = unknown_words(folder / "tokenizer", resolved.prompt)
        if not words:
            return ()
        return (
            f"prompt: {self.spec.id} has never seen {', '.join(map(repr, words))} and ignores it; it knows: {grammar}",
        )


def _roles(resolved: ResolvedRequest) -> set[Role]:
    return {item.role for item in resolved.conditionings}


def _denoisers(pipeline: Any) -> list[Any]:
    found = (getattr(pipeline, name, None) for name in ("transformer", "transformer_2"))
    return [denoiser for denoiser in found if denoiser is not None]
