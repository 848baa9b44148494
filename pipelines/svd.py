"""Stable Video Diffusion: image-to-video on diffusers' own pipeline.

Stable Video Diffusion: Scaling Latent Video Diffusion Models to Large Datasets, arXiv 2311.15127.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.latent_preview import LatentPreview
from pipelines.local import LocalGenerator, guidance_of
from pipelines.placement import Placement
from pipelines.plan import ON_CPU as PLAIN_ON_CPU
from pipelines.plan import DecodeForm, MemoryPlan, Residency, Tiling
from pipelines.rehearsal import Outline
from pipelines.sampling import StepCallback
from pipelines.vae_preview import preview_of_picture_vae
from studio.request import ResolvedRequest

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Turn:
    """A turn of a square picture after which a camera that moves right moves elsewhere. quarters: counter-clockwise."""

    quarters: int = 0
    mirrored: bool = False

    def apply(self, image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Turn (H, W, C)."""
        turned = np.rot90(image, self.quarters)
        return turned[:, ::-1] if self.mirrored else turned

    def undo_latents(self, latents: Any) -> Any:
        """Turn a (C, h, w) tensor back."""
        turned = latents.flip(-1) if self.mirrored else latents
        return turned.rot90(-self.quarters, dims=(-2, -1))


# The ladders. All compute the same clip; those for a device go down to cards of 4 GB.
_SPLIT = Tiling(frames=4, positions=2048, is_guidance_split=True)
ON_CPU = (
    MemoryPlan(name="whole clip at once"),
    MemoryPlan(name="tiles", tiling=Tiling(frames=4, positions=2048), decode=DecodeForm.STREAMED),
    MemoryPlan(name="tiles, guidance one after the other", tiling=_SPLIT, decode=DecodeForm.STREAMED),
)
ON_DEVICE = (
    MemoryPlan(name="weights resident, whole clip at once"),
    MemoryPlan(name="weights resident, tiles", tiling=Tiling(frames=4, positions=2048), decode=DecodeForm.STREAMED),
    MemoryPlan(
        name="weights by stage, tiles",
        residency=Residency.STAGED,
        tiling=Tiling(frames=4, positions=2048),
        decode=DecodeForm.STREAMED,
    ),
    MemoryPlan(
        name="weights by stage, tiles, guidance one after the other",
        residency=Residency.STAGED,
        tiling=_SPLIT,
        decode=DecodeForm.STREAMED,
    ),
    MemoryPlan(
        name="weights by stage, tiles, decode parked in main memory",
        residency=Residency.STAGED,
        tiling=_SPLIT,
        decode=DecodeForm.PARKED,
    ),
    MemoryPlan(
        name="weights streamed, tiles, decode parked in main memory",
        residency=Residency.STREAMED,
        tiling=_SPLIT,
        decode=DecodeForm.PARKED,
    ),
)

STOCK_ON_DEVICE = (
    MemoryPlan(name="weights resident, decode in tiles", decode=DecodeForm.STREAMED),
    MemoryPlan(name="weights by stage, decode in tiles", residency=Residency.STAGED, decode=DecodeForm.STREAMED),
    MemoryPlan(
        name="weights by stage, decode parked in main memory", residency=Residency.STAGED, decode=DecodeForm.PARKED
    ),
)

# A picture turned a quarter clockwise has its old top at the right: moving right there is moving up here.
TURNS = {"right": Turn(), "left": Turn(mirrored=True), "up": Turn(quarters=-1), "down": Turn(quarters=1)}


class StableVideoDiffusionGenerator(LocalGenerator):
    """Serves every checkpoint of the SVD class: 14 and 25 frames, and fine-tunes of them.

    guidance_scale is that of the last frame; it rises linearly from the option min_guidance_scale at the first.
    The frame rate conditions the model and is the clip's own. A row of a model that moves one way only may have the
    option pan (right, left, up, down): the picture is turned before and the clip turned back after.
    """

    channel_axis = 2
    decode_forms = (DecodeForm.WHOLE, DecodeForm.STREAMED, DecodeForm.PARKED)
    adapted_networks = ("unet",)
    _turn = Turn()

    def _load(self, folder: Path, placement: Placement) -> Any:
        import diffusers

        has_variant = placement.dtype.itemsize == 2 and any(folder.glob("unet/*.fp16.safetensors"))
        return diffusers.StableVideoDiffusionPipeline.from_pretrained(
            folder,
            dtype=placement.dtype,
            variant="fp16" if has_variant else self._only_variant(folder),
            use_safetensors=True,
            local_files_only=True,
        )

    def _sample(
        self,
        pipeline: Any,
        resolved: ResolvedRequest,
        embeddings: Mapping[str, Any],  # noqa: ARG002
        rng: Any,
        on_step: StepCallback,
    ) -> Any:
        from PIL import Image

        options = resolved.options
        self._turn = _turn_of(resolved)
        image = self._turn.apply(np.asarray(self._first_frame(resolved)))
        with _same_format_after(pipeline.vae):
            return pipeline(
                Image.fromarray(np.ascontiguousarray(image)),
                height=resolved.height,
                width=resolved.width,
                num_frames=resolved.num_frames,
                **self._speed(resolved).arguments(pipeline, resolved.num_inference_steps or 1),
                min_guidance_scale=min(float(options["min_guidance_scale"]), guidance_of(resolved)),
                max_guidance_scale=guidance_of(resolved),
                fps=round(resolved.frame_rate),
                motion_bucket_id=options["motion_bucket_id"],
                noise_aug_strength=options["noise_aug_strength"],
                generator=rng,
                output_type="latent",
                callback_on_step_end=on_step,
            ).frames

    def _decode(self, pipeline: Any, latents: Any, resolved: ResolvedRequest) -> Iterator[torch.Tensor]:
        """Decode the whole clip at once, exactly; fewer frames at a time where the request says so, as stock does.

        latents: (1, T, C, h, w).
        """
        turn = _turn_of(resolved)
        chunk = int(resolved.options["decode_chunk_size"])
        if chunk < resolved.num_frames:
            video = pipeline.decode_latents(latents, resolved.num_frames, chunk)
            yield turn.undo_latents(video[0].transpose(0, 1))
            return
        from pipelines.exact.decode_svd import decode_frames

        scaled = latents[0] / pipeline.vae.config.scaling_factor
        for frames in decode_frames(pipeline.vae, scaled, form=self._plan.decode, on_part=self._on_part):
            yield turn.undo_latents(frames)

    @contextmanager
    def _adapters(self, pipeline: Any, plan: MemoryPlan, resolved: ResolvedRequest) -> Iterator[None]:
        from pipelines.exact.unet import installed

        if self._runs_stock_layers(resolved):
            yield
            return
        stream = None if self._model is None else self._model.residence.stream_of("unet")
        held = {} if stream is None else {"held": stream.held}
        with installed(pipeline.unet, plan.tiling, **held):
            yield

    def _plans(self, placement: Placement, resolved: ResolvedRequest) -> Sequence[MemoryPlan]:
        if self._runs_stock_layers(resolved):  # there is nothing that they could be streamed or tiled by
            return PLAIN_ON_CPU if placement.is_cpu else STOCK_ON_DEVICE
        return ON_CPU if placement.is_cpu else ON_DEVICE

    def _runs_stock_layers(self, resolved: ResolvedRequest) -> bool:
        """Say whether the request needs the UNet as diffusers has it.

        Features are reused between the stock blocks; and a compiler makes one program of them, of ours a hundred.
        """
        return self._speed(resolved).reuse is not None or bool(resolved.options.get("compile", False))

    def _outline(self, pipeline: Any, resolved: ResolvedRequest, dtype: Any) -> Outline:
        """Return the shapes: both branches of guidance in one batch, latents with the picture's beside them."""
        import torch

        vae, unet = pipeline.vae.config, pipeline.unet.config
        scale = 2 ** (len(vae.block_out_channels) - 1)
        height, width = resolved.height // scale, resolved.width // scale
        batch, frames = 2 if guidance_of(resolved) > 1 else 1, resolved.num_frames

        def empty(*shape: int) -> torch.Tensor:
            return torch.empty(shape, dtype=dtype, device="meta")

        return Outline(
            call={
                "sample": empty(batch, frames, unet.in_channels, height, width),
                "timestep": torch.empty((), device="meta"),
                "encoder_hidden_states": empty(batch, 1, unet.cross_attention_dim),
                "added_time_ids": empty(batch, 3),
            },
            latents=empty(1, frames, vae.latent_channels, height, width),
            picture=torch.empty(1, vae.in_channels, resolved.height, resolved.width, device="meta"),
        )

    def _measure_preview(self, pipeline: Any) -> LatentPreview:
        import torch

        vae = pipeline.vae
        with _same_format_after(vae):
            if vae.config.force_upcast:  # its encoder overflows in half precision; the stock pipeline does the same
                vae.to(dtype=torch.float32)
            return preview_of_picture_vae(vae, scale=2 ** (len(vae.config.block_out_channels) - 1))

    def _latent_frame(self, latents: Any) -> Any:
        frame = latents[0, latents.shape[1] // 2]
        return self._turn.undo_latents(frame)

    @staticmethod
    def _only_variant(folder: Path) -> str | None:
        """Return ``fp16`` for a folder that holds nothing else."""
        plain = [file for file in folder.glob("unet/*.safetensors") if ".fp16." not in file.name]
        return None if plain else "fp16"


def _turn_of(resolved: ResolvedRequest) -> Turn:
    return TURNS[str(resolved.options.get("pan", "right"))]


@contextmanager
def _same_format_after(vae: Any) -> Iterator[None]:
    """Give a VAE its number format back: the stock pipeline leaves the wider one behind where its encoder fails."""
    dtype = vae.dtype
    try:
        yield
    finally:
        if vae.dtype != dtype:
            vae.to(dtype=dtype)
