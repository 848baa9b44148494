"""What every local generator shares: one template around a diffusers pipeline."""

from __future__ import annotations

import abc
import copy
import logging
import math
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.estimate import estimate_local
from pipelines.failures import loading_failures, torch_failures
from pipelines.latent_preview import LatentPreview
from pipelines.placement import Placement, choose_placement
from pipelines.sampling import Sampling, StepCallback, is_finite
from pipelines.stages import StageShelf
from studio.catalog.schema import ModelSpec
from studio.config import Settings
from studio.errors import GenerationFailed
from studio.generator import Estimate, RunContext
from studio.media import FrameClip, Preview, fit_image, read_image
from studio.request import GenerationRequest, ResolvedRequest, Role
from studio.resolve import resolve
from studio.weights import WeightStore

_log = logging.getLogger(__name__)

LATENTS = "latents"
EMBEDDINGS = "embeddings"


class LocalGenerator(abc.ABC):
    """A diffusers pipeline behind the `Generator` interface.

    A family says how its pipeline is loaded (`_load`), goes through its three stages (`_encode`, `_sample`, `_decode`)
    and is looked into (`_measure_preview`, `_latent_frame`); seeds, progress, cancel, previews, failures and what is
    kept for a retry are here.
    """

    gpu_dtype = "float16"
    # Where the denoiser's input and output, (B, C, T, h, w) unless a family says otherwise, have their channels.
    channel_axis = 1

    def __init__(self, spec: ModelSpec, settings: Settings) -> None:
        self.spec = spec
        self._settings = settings
        self._pipeline: Any = None
        self._placement: Placement | None = None
        self._scheduler: Any = None
        self._preview: LatentPreview | None = None

    # -- the interface ------------------------------------------------------------------------------------------

    def resolve(self, request: GenerationRequest) -> ResolvedRequest:
        """Fill the request from the row; see `studio.resolve`. Families add their own warnings."""
        resolved = resolve(self.spec, request)
        return replace(resolved, warnings=(*resolved.warnings, *self._warnings(resolved)))

    def estimate(self, resolved: ResolvedRequest) -> Estimate:
        """Say what the request will take, from figures measured for this model."""
        return estimate_local(self.spec, resolved)

    def session(self) -> AbstractContextManager[None]:
        """Hold the weights in memory for as long as the context lasts."""
        return self._session()

    def generate(self, resolved: ResolvedRequest, run: RunContext) -> FrameClip:
        """Sample and decode one clip. Same request, device and thread count: the same frames, bit for bit.

        They are the same as well where the run goes on from what an earlier one kept: text embeddings, the state of the
        sampling, or the latents that came of it.
        Raises `GenerationFailed` when the model's output is not finite, `OutOfMemory`, `Canceled`, `Stopped`.
        """
        import torch

        if self._pipeline is None or self._placement is None:
            raise RuntimeError("generate is called inside session()")
        shelf = StageShelf(run, self._placement)
        with torch.inference_mode(), self._untouched_after(self._pipeline):
            latents = self._latents(self._pipeline, resolved, run, shelf)
            run.stage("decoding")
            run.raise_if_canceled()
            with torch_failures("decoding"), _cancelable(self._pipeline.vae, run):
                output = self._decode(self._pipeline, latents, resolved)
        return FrameClip(frames=_to_uint8(output), frame_rate=resolved.frame_rate)

    # -- what a family fills in ---------------------------------------------------------------------------------

    @abc.abstractmethod
    def _load(self, folder: Path, placement: Placement) -> Any:
        """Return the diffusers pipeline with its weights on the device."""

    def _encode(self, pipeline: Any, resolved: ResolvedRequest) -> dict[str, Any]:  # noqa: ARG002
        """Return the text embeddings, tensors by the names that `_sample` knows; nothing where there is no text."""
        return {}

    @abc.abstractmethod
    def _sample(
        self,
        pipeline: Any,
        resolved: ResolvedRequest,
        embeddings: Mapping[str, Any],
        rng: Any,
        on_step: StepCallback,
    ) -> Any:
        """Run the pipeline as far as its latents. Returns them as the pipeline has them before its VAE."""

    @abc.abstractmethod
    def _decode(self, pipeline: Any, latents: Any, resolved: ResolvedRequest) -> np.ndarray[Any, Any]:
        """Do what the stock pipeline does with its latents. Returns (T, H, W, 3) float in [0, 1]."""

    @abc.abstractmethod
    def _measure_preview(self, pipeline: Any) -> LatentPreview:
        """Return the map from this VAE's latents to colours."""

    @abc.abstractmethod
    def _latent_frame(self, latents: Any) -> Any:
        """Return one (C, h, w) frame, as the VAE's encoder would give it, of the latents a step hands over."""

    def _warnings(self, resolved: ResolvedRequest) -> tuple[str, ...]:  # noqa: ARG002
        return ()

    # -- inside -------------------------------------------------------------------------------------------------

    @contextmanager
    def _session(self) -> Iterator[None]:
        folder = WeightStore(self._settings).locate(self.spec)
        with loading_failures(self.spec.id):
            self._prepare_torch()
            self._placement = choose_placement(self._settings.device, self.gpu_dtype)
            self._pipeline = self._load(folder, self._placement)
            self._pipeline.set_progress_bar_config(disable=True)
            self._scheduler = copy.deepcopy(self._pipeline.scheduler)
            self._preview = self._try_preview(self._pipeline)
        try:
            yield
        finally:
            self._pipeline = self._preview = self._scheduler = None
            self._free_memory()

    @contextmanager
    def _untouched_after(self, pipeline: Any) -> Iterator[None]:
        """Let a run begin as in a fresh session, and leave nothing of a failed one for the next."""
        pipeline.scheduler = copy.deepcopy(self._scheduler)
        try:
            yield
        except BaseException:
            with suppress(Exception):  # what failed is what has to be told
                pipeline.maybe_free_model_hooks()
                if hasattr(pipeline.vae, "clear_cache"):
                    pipeline.vae.clear_cache()
            self._free_memory()
            raise

    def _latents(self, pipeline: Any, resolved: ResolvedRequest, run: RunContext, shelf: StageShelf) -> Any:
        import torch

        total = resolved.num_inference_steps or 1
        if (kept := shelf.kept(LATENTS)) is not None:
            run.progress(total, total)
            return kept[LATENTS]
        embeddings = self._embeddings(pipeline, resolved, run, shelf)
        rng = torch.Generator("cpu").manual_seed(resolved.seed)
        sampling = Sampling(run, shelf, rng, total=total, channel_axis=self.channel_axis, look=self._look)
        with torch_failures("sampling"), sampling.loop(pipeline) as on_step:
            latents = self._sample(pipeline, resolved, embeddings, rng, on_step)
        if is_finite(latents):
            shelf.keep(LATENTS, {LATENTS: latents})
        return latents

    def _embeddings(
        self, pipeline: Any, resolved: ResolvedRequest, run: RunContext, shelf: StageShelf
    ) -> Mapping[str, Any]:
        if (kept := shelf.kept(EMBEDDINGS)) is not None:
            return kept
        run.raise_if_canceled()
        run.stage("encoding")
        with torch_failures("encoding the prompt"):
            embeddings = self._encode(pipeline, resolved)
        if embeddings:
            shelf.keep(EMBEDDINGS, embeddings)
        return embeddings

    def _try_preview(self, pipeline: Any) -> LatentPreview | None:
        """A preview is a nicety: a clip without one is better than none."""
        try:
            return self._measure_preview(pipeline)
        except Exception as error:
            _log.warning("no previews for %s: %s", self.spec.id, error)
            return None

    def _prepare_torch(self) -> None:
        import diffusers
        import torch
        import transformers

        for library in (diffusers, transformers):
            library.utils.logging.set_verbosity_error()
            library.utils.logging.disable_progress_bar()
        if self._settings.threads:
            torch.set_num_threads(self._settings.threads)

    def _free_memory(self) -> None:
        import torch

        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _look(self, tensors: Mapping[str, Any]) -> Preview | None:
        return self._preview.render(self._latent_frame(tensors["latents"])) if self._preview else None

    def _first_frame(self, resolved: ResolvedRequest) -> Any:
        """Return the request's first frame as a PIL image of the clip's size, or None."""
        from PIL import Image

        conditioning = resolved.conditioning(Role.FIRST_FRAME)
        if conditioning is None:
            return None
        return Image.fromarray(fit_image(read_image(conditioning.path), resolved.width, resolved.height))


@contextmanager
def _cancelable(vae: Any, run: RunContext) -> Iterator[None]:
    """Let a decode that goes frame by frame, or chunk by chunk, be stopped between them."""
    hook = vae.decoder.register_forward_pre_hook(lambda *_: run.raise_if_canceled())
    try:
        yield
    finally:
        hook.remove()


def guidance_of(resolved: ResolvedRequest) -> float:
    """Return the guidance scale; 1.0, which means none, when the model has no such parameter."""
    return 1.0 if resolved.guidance_scale is None else resolved.guidance_scale


def _to_uint8(frames: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    if not math.isfinite(float(frames.sum(dtype=np.float64))):
        raise GenerationFailed("the model's output is not finite", fix="try another seed, or STUDIO_DEVICE=cpu")
    return (frames * 255.0).round().clip(0, 255).astype(np.uint8)
