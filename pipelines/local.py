"""What every local generator shares: one template around a diffusers pipeline."""

from __future__ import annotations

import abc
import copy
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pipelines.attention import attention_of, choose
from pipelines.compiling import Compiled, compiled
from pipelines.descent import Descent
from pipelines.embedding_cache import WORTH_KEEPING_SECONDS, EmbeddingCache, key_of_request
from pipelines.estimate import estimate_local
from pipelines.failures import loading_failures
from pipelines.foresight import Foresight
from pipelines.frames import collect_frames
from pipelines.latent_preview import LatentPreview
from pipelines.loaded import LoadedModel, free_memory
from pipelines.manner import (
    Manner,
    require_sound_settings,
    speed_of,
    told_options,
    with_pinned_loras,
    with_steps_of_profile,
)
from pipelines.memory import Budget, limit_device_memory, require_ram_for_loading, surely_fits
from pipelines.placement import Placement, choose_placement
from pipelines.plan import ON_CPU, ON_DEVICE, DecodeForm, MemoryPlan, with_forms
from pipelines.quiet import quiet_libraries
from pipelines.rehearsal import Outline
from pipelines.sampling import Sampling, StepCallback, is_finite
from pipelines.speed import SpeedProfile
from pipelines.stages import StageShelf
from studio.catalog.schema import ModelSpec
from studio.config import Settings
from studio.generator import Declaration, Estimate, RunContext
from studio.media import Audio, FrameClip, Preview, fit_image, read_image
from studio.request import GenerationRequest, ResolvedRequest, Role
from studio.resolve import resolve
from studio.weights import WeightStore

if TYPE_CHECKING:
    import torch

_log = logging.getLogger(__name__)

LATENTS = "latents"
EMBEDDINGS = "embeddings"
# Folders in the studio's home.
LORAS, COMPILED = "loras", "compiled"


class LocalGenerator(abc.ABC):
    """A diffusers pipeline behind the `Generator` interface.

    A family says how its pipeline is loaded (`_load`), goes through its three stages (`_encode`, `_sample`, `_decode`),
    is looked into (`_measure_preview`, `_latent_frame`) and what shapes it works on (`_outline`); seeds, progress,
    cancel, previews, failures, what is kept for a retry, and the use of memory are here.
    """

    gpu_dtype = "float16"
    # Where the denoiser's input and output, (B, C, T, h, w) unless a family says otherwise, have their channels.
    channel_axis = 1
    # Networks whose layers an adapter computes; their weights are streamed part by part where a plan says so.
    adapted_networks: tuple[str, ...] = ()
    # The ways `_decode` can go by the plan in force.
    decode_forms: tuple[DecodeForm, ...] = (DecodeForm.WHOLE,)
    # Networks that `_decode_audio` needs.
    sound_networks: tuple[str, ...] = ()
    # Components of the checkpoint that are not loaded.
    left_out: tuple[str, ...] = ()

    def __init__(self, spec: ModelSpec, settings: Settings) -> None:
        self.spec = spec
        self.settings = settings
        require_sound_settings(spec)
        self._model: LoadedModel | None = None
        self._preview: LatentPreview | None = None
        self._plan: MemoryPlan = ON_CPU[0]  # the one in force, for `_decode`
        self._on_part: Callable[[], object] = lambda: None  # for `_decode` to call between parts; hears a cancel

    # -- the interface ------------------------------------------------------------------------------------------

    def resolve(self, request: GenerationRequest) -> ResolvedRequest:
        """Fill the request from the row; see `studio.resolve`. Families add their own warnings."""
        resolved = resolve(self.spec, request)
        resolved = with_steps_of_profile(resolved, request.num_inference_steps, self.spec)
        # LoRAs are looked at before anything is queued, and are the same ones when it runs.
        resolved = with_pinned_loras(resolved, self._manner(resolved).loras, self._loras_folder)
        return replace(resolved, warnings=(*resolved.warnings, *self._warnings(resolved)))

    def declare(self, resolved: ResolvedRequest) -> Declaration:
        """Return what the signed file is to say of the speed profile and of LoRAs."""
        manner = self._manner(resolved)
        return Declaration(
            options=told_options(resolved.options),
            adapters=tuple(lora.adapter for lora in manner.loras if lora.strength != 0),
            speed_profile=manner.describe(),
        )

    def estimate(self, resolved: ResolvedRequest) -> Estimate:
        """Say what the request will take; see `pipelines.estimate`."""
        return estimate_local(self, resolved)

    def session(self) -> AbstractContextManager[None]:
        """Hold the weights in memory for as long as the context lasts."""
        return self._session()

    def generate(self, resolved: ResolvedRequest, run: RunContext) -> FrameClip:
        """Sample and decode one clip. Same request, device, thread count and plan: the same frames, bit for bit.

        They are the same as well where the run goes on from what an earlier one kept: text embeddings, the state of the
        sampling, or the latents that came of it. Where memory runs out the stage is done again with a smaller plan.
        Raises `GenerationFailed` when the model's output is not finite, `OutOfMemory`, `Canceled`, `Stopped`.
        """
        import torch

        model = self._loaded()
        manner = self._manner(resolved)
        choice = choose(manner.attention, model.placement.device)
        model.keep_weights_as(manner.storage)
        pipeline, shelf = model.pipeline, StageShelf(run, model.placement)
        using = partial(self._using, resolved, manner, run.note)
        descent = Descent(self._fitting_plans(resolved), using=using, free=free_memory, note=run.note)
        with ExitStack() as stack:
            stack.enter_context(torch.inference_mode())
            stack.enter_context(model.untouched())
            stack.enter_context(model.with_loras(manner.loras, run.note))
            with attention_of(pipeline, choice):
                latents = self._latents(pipeline, resolved, run, shelf, descent)
            run.stage("decoding")
            run.raise_if_canceled()
            return descent.attempt("decoding", lambda _plan: self._clip(model, latents, resolved, run))

    # -- what a family fills in ---------------------------------------------------------------------------------

    @abc.abstractmethod
    def _load(self, folder: Path, placement: Placement) -> Any:
        """Return the diffusers pipeline with its weights in main memory."""

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
        """Run the pipeline as far as its latents. Returns them, or several by name, as before the VAE."""

    @abc.abstractmethod
    def _decode(self, pipeline: Any, latents: Any, resolved: ResolvedRequest) -> Iterator[torch.Tensor]:
        """Do what the stock pipeline does with its latents. Yields frames in order, (n, 3, H, W) in [-1, 1]."""

    def _decode_audio(self, pipeline: Any, latents: Any, resolved: ResolvedRequest) -> Audio | None:  # noqa: ARG002
        """Return the sound that goes with the frames; None where the model makes none."""
        return None

    @abc.abstractmethod
    def _measure_preview(self, pipeline: Any) -> LatentPreview:
        """Return the map from this VAE's latents to colours."""

    @abc.abstractmethod
    def _latent_frame(self, latents: Any) -> Any:
        """Return one (C, h, w) frame, as the VAE's encoder would give it, of the latents a step hands over."""

    @abc.abstractmethod
    def _outline(self, pipeline: Any, resolved: ResolvedRequest, dtype: Any) -> Outline:
        """Return the shapes of a run. pipeline: its networks are on the meta device."""

    def _warnings(self, resolved: ResolvedRequest) -> tuple[str, ...]:  # noqa: ARG002
        return ()

    def own_dtypes(self, placement: Placement) -> Mapping[str, Any]:  # noqa: ARG002
        """Return the number formats of networks that are loaded in another one than the placement's, by name."""
        return {}

    def _plans(self, placement: Placement, resolved: ResolvedRequest) -> Sequence[MemoryPlan]:  # noqa: ARG002
        """Return the plans this family can run by, the fastest first."""
        return with_forms(ON_CPU if placement.is_cpu else ON_DEVICE, self.decode_forms)

    def _number_of_steps(self, resolved: ResolvedRequest) -> int:
        """Return how many steps the pipeline reports."""
        return resolved.num_inference_steps or 1

    @contextmanager
    def _adapters(self, pipeline: Any, plan: MemoryPlan, resolved: ResolvedRequest) -> Iterator[None]:  # noqa: ARG002
        """Put this family's rewritten parts in place of the stock ones, as the plan wants them."""
        yield

    @contextmanager
    def _conditioned(
        self,
        pipeline: Any,  # noqa: ARG002
        embeddings: Mapping[str, Any],  # noqa: ARG002
        resolved: ResolvedRequest,  # noqa: ARG002
    ) -> Iterator[None]:
        """Put in place what needs to know the embeddings that `_sample` is going to be given."""
        yield

    # -- inside -------------------------------------------------------------------------------------------------

    @contextmanager
    def _session(self) -> Iterator[None]:
        folder = WeightStore(self.settings).locate(self.spec)
        with loading_failures(self.spec.id):
            self._prepare_torch()
            placement = choose_placement(self.settings.device, self.gpu_dtype)
            require_ram_for_loading(self.spec, folder, placement)
            limit_device_memory(placement, self.settings)
            load = partial(self._load, folder, placement)
            adapted = self.adapted_networks
            self._model = LoadedModel(self.spec.id, load, folder=folder, placement=placement, adapted=adapted)
            self._preview = self._try_preview(self._model)
        try:
            yield
        finally:
            self._model = self._preview = None
            free_memory()

    def _loaded(self) -> LoadedModel:
        if self._model is None:
            raise RuntimeError("models are used inside session()")
        return self._model

    @property
    def _pipeline(self) -> Any:
        return self._loaded().pipeline

    @contextmanager
    def by(self, plan: MemoryPlan, pipeline: Any, resolved: ResolvedRequest) -> Iterator[None]:
        """Let the stages run as a plan wants them, on a pipeline of this model, with or without numbers."""
        self._plan = plan
        with self._adapters(pipeline, plan, resolved):
            yield

    @contextmanager
    def _using(
        self, resolved: ResolvedRequest, manner: Manner, note: Callable[[str], None], plan: MemoryPlan
    ) -> Iterator[None]:
        model = self._loaded()
        model.arrange(plan)
        with self.by(plan, model.pipeline, resolved), ExitStack() as stack:
            if manner.is_compiled:
                state = stack.enter_context(compiled(model.pipeline, self.settings.home / COMPILED))
                stack.callback(_tell, state, note)
            yield

    def _latents(
        self, pipeline: Any, resolved: ResolvedRequest, run: RunContext, shelf: StageShelf, descent: Descent
    ) -> Any:
        import torch

        total = self._number_of_steps(resolved)
        if (kept := shelf.kept(LATENTS)) is not None:
            run.progress(total, total)
            return kept[LATENTS]
        embeddings = self._embeddings(pipeline, resolved, run, shelf, descent)
        rng = torch.Generator("cpu")
        sampling = Sampling(run, shelf, rng, total=total, channel_axis=self.channel_axis, look=self._look)

        def sample(_plan: MemoryPlan) -> Any:
            rng.manual_seed(resolved.seed)
            with ExitStack() as stack:
                stack.enter_context(self._conditioned(pipeline, embeddings, resolved))
                watch = stack.enter_context(self._speed(resolved).applied(pipeline, rng, total))
                on_step = stack.enter_context(sampling.loop(pipeline))
                return self._sample(pipeline, resolved, embeddings, rng, watch(on_step))

        latents = descent.attempt("sampling", sample, before_less=sampling.keep_latest)
        if is_finite(latents):
            shelf.keep(LATENTS, {LATENTS: latents})
        return latents

    def _embeddings(
        self, pipeline: Any, resolved: ResolvedRequest, run: RunContext, shelf: StageShelf, descent: Descent
    ) -> Mapping[str, Any]:
        if (kept := shelf.kept(EMBEDDINGS)) is not None:
            return kept
        model = self._loaded()
        cache = EmbeddingCache(self.settings.embeddings_folder, max_bytes=self.settings.embeddings_limit * 2**20)
        key = key_of_request(resolved, model.folder, model.placement, settings=self.spec.settings)
        if (known := cache.get(key, model.placement)) is not None:
            return known
        run.raise_if_canceled()
        run.stage("encoding")
        started = time.monotonic()
        embeddings = descent.attempt("encoding the prompt", lambda _plan: self._encode(pipeline, resolved))
        if embeddings:
            shelf.keep(EMBEDDINGS, embeddings)
            if time.monotonic() - started >= WORTH_KEEPING_SECONDS:
                cache.put(key, embeddings, model.placement)
        return embeddings

    def _clip(self, model: LoadedModel, latents: Any, resolved: ResolvedRequest, run: RunContext) -> FrameClip:
        pipeline = model.pipeline
        self._on_part = run.raise_if_canceled
        with model.residence.alone("vae"), _cancelable(pipeline.vae, run):
            frames = collect_frames(self._decode(pipeline, latents, resolved), resolved, run)
        with model.residence.alone(*self.sound_networks):
            audio = self._decode_audio(pipeline, latents, resolved)
        return FrameClip(frames=frames, frame_rate=resolved.frame_rate, audio=audio)

    @property
    def _loras_folder(self) -> Path:
        return self.settings.home / LORAS

    def _manner(self, resolved: ResolvedRequest) -> Manner:
        return Manner.of(resolved.options, self.spec, self._loras_folder)

    def _speed(self, resolved: ResolvedRequest) -> SpeedProfile:
        return speed_of(resolved.options, self.spec)

    def _fitting_plans(self, resolved: ResolvedRequest) -> Sequence[MemoryPlan]:
        """Return the plan to begin with and all smaller ones. Raises `OutOfMemory` where even the last is too large."""
        model = self._loaded()
        budget = Budget.measure(model.placement, self.settings)
        if model.placement.is_cpu and surely_fits(resolved, budget):
            return self._plans(model.placement, resolved)
        return self.foresight(model.placement, model.folder).ladder(resolved, budget).from_what_fits()

    def without_weights(self) -> Self:
        """Return a generator of the same model whose state is its own, for going through a run without numbers."""
        twin = copy.copy(self)
        twin._model = None
        return twin

    def foresight(self, placement: Placement, folder: Path) -> Foresight:
        """Return what knows beforehand what requests take. folder: holds the model's configurations."""
        return Foresight(generator=self, placement=placement, folder=folder, memory=self.settings.home)

    def _try_preview(self, model: LoadedModel) -> LatentPreview | None:
        """A preview is a nicety: a clip without one is better than none."""
        vae = model.pipeline.vae
        try:
            vae.to(model.placement.device)
            return self._measure_preview(model.pipeline)
        except Exception as error:
            _log.warning("no previews for %s: %s", self.spec.id, error)
            return None
        finally:
            vae.to("cpu")

    def _prepare_torch(self) -> None:
        import torch

        quiet_libraries()
        if self.settings.threads:
            torch.set_num_threads(self.settings.threads)

    def _look(self, tensors: Mapping[str, Any]) -> Preview | None:
        if self._preview is None:
            return None
        return self._preview.render(self._latent_frame(tensors["latents"]))

    def _first_frame(self, resolved: ResolvedRequest) -> Any:
        """Return the request's first frame as a PIL image of the clip's size, or None."""
        from PIL import Image

        conditioning = resolved.conditioning(Role.FIRST_FRAME)
        if conditioning is None:
            return None
        return Image.fromarray(fit_image(read_image(conditioning.path), resolved.width, resolved.height))


def _tell(state: Compiled, note: Callable[[str], None]) -> None:
    for warning in state.warnings:
        note(warning)


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
