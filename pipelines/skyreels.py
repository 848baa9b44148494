"""SkyReels-V2 from text, pictures or the end of a video, on diffusers' SkyReels-V2 pipelines.

SkyReels-V2: Infinite-length Film Generative Model, arXiv 2504.13074. Wan's architecture, trained anew; the DF
checkpoints by diffusion forcing: each latent frame has a noise level of its own, and a given picture has none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.placement import Placement
from pipelines.rehearsal import META, Outline
from pipelines.sampling import StepCallback
from pipelines.source_video import end_of_source, remarks_on_end
from pipelines.wan import WanGenerator
from studio.errors import UnsupportedValue
from studio.extending.part import part_of
from studio.request import ResolvedRequest, Role, Task

if TYPE_CHECKING:
    import torch

FRAMES_IN_ONE = 4


class SkyReelsGenerator(WanGenerator):
    """Serves the text-to-video and image-to-video checkpoints in the diffusers layout. Row settings: as for Wan."""

    classes: Mapping[Task, str] = {
        Task.TEXT_TO_VIDEO: "SkyReelsV2Pipeline",
        Task.IMAGE_TO_VIDEO: "SkyReelsV2ImageToVideoPipeline",
    }
    image_encoder_class = "CLIPVisionModelWithProjection"


class SkyReelsForcingGenerator(SkyReelsGenerator):
    """Serves the diffusion forcing (DF) checkpoints in the diffusers layout, for clips as long as they were trained on.

    Row settings: as for Wan, image_flow_shift (the scheduler's shift where a picture is given), and continues, which
    names the option that says how many of the source video's last frames the clip begins with, their latents without
    noise (`studio.extending.part`). Row options: that one, ar_step (steps by which each block of frames lags behind the
    one before, 0 for all at once), causal_block_size (latent frames in a block, of which none looks at later blocks).
    """

    classes: Mapping[Task, str] = {
        Task.TEXT_TO_VIDEO: "SkyReelsV2DiffusionForcingPipeline",
        Task.IMAGE_TO_VIDEO: "SkyReelsV2DiffusionForcingImageToVideoPipeline",
        Task.FIRST_LAST_FRAME_TO_VIDEO: "SkyReelsV2DiffusionForcingImageToVideoPipeline",
        Task.VIDEO_TO_VIDEO: "SkyReelsV2DiffusionForcingVideoToVideoPipeline",
    }

    def _load(self, folder: Path, placement: Placement) -> Any:
        from pipelines.skyreels_scheduler import ForcingScheduler

        pipeline = super()._load(folder, placement)
        pipeline.scheduler = ForcingScheduler.from_config(pipeline.scheduler.config)
        return pipeline

    def _sample(
        self,
        pipeline: Any,
        resolved: ResolvedRequest,
        embeddings: Mapping[str, Any],
        rng: Any,
        on_step: StepCallback,
    ) -> Any:
        if resolved.conditioning(Role.FIRST_FRAME) is not None and "image_flow_shift" in self.spec.settings:
            pipeline.scheduler.register_to_config(flow_shift=self.spec.settings["image_flow_shift"])
        return super()._sample(pipeline, resolved, embeddings, rng, _with_own_latents(on_step))

    def _material(self, resolved: ResolvedRequest) -> dict[str, Any]:
        return {
            **self._given(resolved),
            "prompt": None,  # the one pipeline that asks for it even where it is given embedded
            "base_num_frames": resolved.num_frames,
            "ar_step": int(resolved.options["ar_step"]),
            "causal_block_size": int(resolved.options["causal_block_size"]),
            "fps": round(resolved.frame_rate),
        }

    def _given(self, resolved: ResolvedRequest) -> dict[str, Any]:
        part = part_of(resolved, self.spec)
        if not part:
            return super()._material(resolved)
        return {"video": end_of_source(resolved, part), "overlap_history": part, "num_frames": resolved.num_frames}

    def _decode(self, pipeline: Any, latents: Any, resolved: ResolvedRequest) -> Iterator[torch.Tensor]:
        """Decode all but the last picture, which stands behind the clip. latents: (1, C, T or T + 1, h, w)."""
        return super()._decode(pipeline, latents[:, :, : _latent_frames(resolved.num_frames)], resolved)

    def _outline(self, pipeline: Any, resolved: ResolvedRequest, dtype: Any) -> Outline:
        import torch

        # The last picture stands behind the clip's latent frames as one more.
        is_closed = resolved.conditioning(Role.LAST_FRAME) is not None
        longer = replace(resolved, num_frames=resolved.num_frames + FRAMES_IN_ONE * is_closed)
        outline = super()._outline(pipeline, longer, dtype)
        frames = outline.call["hidden_states"].shape[2]
        with torch.device(META):
            own = {"timestep": torch.empty(1, frames), "enable_diffusion_forcing": True, "fps": [1]}
            many = (1, 3, part) if (part := part_of(resolved, self.spec)) else (1 + is_closed, 3, 1)
            picture = torch.empty(*many, resolved.height, resolved.width)
        return replace(
            outline,
            call={**outline.call, **own},
            picture=None if resolved.task is Task.TEXT_TO_VIDEO else picture,
        )

    @contextmanager
    def _conditioned(self, pipeline: Any, embeddings: Mapping[str, Any], resolved: ResolvedRequest) -> Iterator[None]:  # noqa: ARG002
        # A frame rate in a list and a time for each frame are no batch: the branches of guidance stay apart.
        yield

    def _number_of_steps(self, resolved: ResolvedRequest) -> int:
        """Return how many steps the pipeline reports: the first block's and those by which the last lags behind."""
        steps, block = resolved.num_inference_steps or 1, int(resolved.options["causal_block_size"])
        part = part_of(resolved, self.spec)
        given = _latent_frames(part) if part else int(resolved.conditioning(Role.FIRST_FRAME) is not None)
        blocks = _places(resolved) // block - given // block
        return steps + min(int(resolved.options["ar_step"]), steps) * (blocks - 1)

    def _warnings(self, resolved: ResolvedRequest) -> tuple[str, ...]:
        places, block = _places(resolved), int(resolved.options["causal_block_size"])
        if places % block:
            raise UnsupportedValue(
                "blocks of this size do not fill the clip",
                field="option causal_block_size",
                got=block,
                allowed=f"a divisor of {places}, the model's frames of such a clip",
            )
        part = part_of(resolved, self.spec)
        if not part:
            return super()._warnings(resolved)
        if _latent_frames(part) % block:
            raise UnsupportedValue(
                "blocks of this size do not fill the part that the clip begins with",
                field="option causal_block_size",
                got=block,
                allowed=f"a divisor of {_latent_frames(part)}, the model's frames of such a part",
            )
        return (*remarks_on_end(resolved, part), *self._unknown_words(resolved))


def _with_own_latents(on_step: StepCallback) -> StepCallback:
    """Give the callback latents that stay as they are: the pipeline writes the next step's into the same tensor."""

    def copied(pipeline: Any, index: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        return on_step(pipeline, index, timestep, tensors | {"latents": tensors["latents"].clone()})

    return copied


def _latent_frames(num_frames: int) -> int:
    return (num_frames - 1) // FRAMES_IN_ONE + 1


def _places(resolved: ResolvedRequest) -> int:
    """Return the latent frames that the denoiser sees: those of the clip, and the last picture behind them."""
    return _latent_frames(resolved.num_frames) + (resolved.conditioning(Role.LAST_FRAME) is not None)
