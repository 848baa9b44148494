"""The denoising loop of one run, seen from its step callback: told, kept, and on a retry taken up where it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

from pipelines.replaced_forward import replaced_forward
from pipelines.stages import StageShelf
from studio.generator import RunContext
from studio.jobs.lease import Stopped
from studio.media import Preview

StepCallback = Callable[[Any, int, Any, dict[str, Any]], dict[str, Any]]

STAGE = "sampling"
DENOISERS = ("transformer", "transformer_2", "unet")


class Sampling:
    """One run of a stock pipeline's loop.

    On a retry the loop runs from its first step, unchanged, but the steps that were done before cost nothing: the
    denoiser is not computed. At the last of them the callback puts back what the loop had come to.
    Where a cache of activations is switched on nothing is kept midway: what it holds would be lost, and the frames
    would be other ones.

    rng: the torch generator given to the pipeline. total: steps. channel_axis: of the denoiser's input and output.
    look: tensors of a step -> a cheap picture of them.
    """

    def __init__(
        self,
        run: RunContext,
        shelf: StageShelf,
        rng: Any,
        *,
        total: int,
        channel_axis: int,
        look: Callable[[Mapping[str, Any]], Preview | None],
    ) -> None:
        self._run = run
        self._shelf = shelf
        self._rng = rng
        self._total = total
        self._channel_axis = channel_axis
        self._look = look
        self._earlier: dict[str, Any] | None = None
        self._latest: dict[str, Any] | None = None
        self._stand_ins = ExitStack()

    @contextmanager
    def loop(self, pipeline: Any) -> Iterator[StepCallback]:
        """Give the callback for one call of a pipeline over `pipeline`'s modules, which are left as they were found."""
        self._run.raise_if_canceled()
        self._earlier = self._latest or self._take_up(pipeline)
        self._run.progress(0 if self._earlier is None else self._earlier["step"] + 1, self._total)
        with ExitStack() as self._stand_ins:
            if self._earlier is not None:
                for denoiser in _denoisers(pipeline):
                    self._stand_ins.enter_context(_costs_nothing(denoiser, self._channel_axis))
            yield self._on_step

    def keep_latest(self) -> None:
        """Keep the state after the last finished step, before the loop is run anew with another use of memory."""
        if self._latest is not None and is_finite(self._latest["latents"]):
            self._shelf.keep(STAGE, self._latest)

    def _take_up(self, pipeline: Any) -> dict[str, Any] | None:
        earlier = self._shelf.kept(STAGE)
        if earlier is None or earlier["scheduler_class"] != type(pipeline.scheduler).__name__:
            return None
        return earlier

    def _on_step(self, pipeline: Any, index: int, _timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        if self._earlier is not None:
            return self._pass(pipeline, index, self._earlier)
        self._latest = self._state(pipeline, index, tensors["latents"])
        self._run.progress(index + 1, self._total, self._look(tensors))
        # After the last step the latents themselves are kept, before anybody is asked.
        if index + 1 < self._total:
            if is_wanted := self._run.wants_checkpoint():
                self.keep_latest()
            try:
                self._run.raise_if_canceled()
            except Stopped:
                if not is_wanted:  # the stop was asked for between the two questions
                    self.keep_latest()
                raise
        return {}

    def _pass(self, pipeline: Any, index: int, earlier: dict[str, Any]) -> dict[str, Any]:
        """Let a finished step go by; after the last of them put the loop back to where it was."""
        if index < earlier["step"]:
            return {}
        self._earlier = None
        self._stand_ins.close()
        vars(pipeline.scheduler).update(_with_own_lists(earlier["scheduler"]))
        self._rng.set_state(earlier["rng"])
        tensors = {"latents": earlier["latents"]}
        self._run.progress(index + 1, self._total, self._look(tensors))
        return tensors

    def _state(self, pipeline: Any, index: int, latents: Any) -> dict[str, Any] | None:
        """Return what the loop has come to, None where a cache of activations belongs to it.

        Tensors are not copied: schedulers make new ones at each step, and change their lists.
        """
        if any(getattr(one, "is_cache_enabled", False) for one in _denoisers(pipeline)):
            return None
        return {
            "step": index,
            "latents": latents,
            "rng": self._rng.get_state(),
            "scheduler_class": type(pipeline.scheduler).__name__,
            "scheduler": _with_own_lists(scheduler_state(pipeline.scheduler)),
        }


def scheduler_state(scheduler: Any) -> dict[str, Any]:
    """Return all that a scheduler knows beside its configuration: its schedule, its place in it, earlier outputs."""
    return {name: value for name, value in vars(scheduler).items() if name != "_internal_dict"}


def _with_own_lists(state: dict[str, Any]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, list) else value for name, value in state.items()}


def is_finite(latents: Any) -> bool:
    """Say whether latents, one tensor or several by name, are worth keeping: a retry of broken ones can only fail."""
    parts = latents.values() if isinstance(latents, dict) else (latents,)
    return all(bool(part.isfinite().all()) for part in parts)


def _denoisers(pipeline: Any) -> list[Any]:
    found = (getattr(pipeline, name, None) for name in DENOISERS)
    return [denoiser for denoiser in found if denoiser is not None]


def _costs_nothing(denoiser: Any, channel_axis: int) -> AbstractContextManager[None]:
    """Let a denoiser return zeros of the right shape instead of computing."""

    def zeros(given: Any, channels: int) -> Any:
        shape = list(given.shape)
        shape[channel_axis] = channels
        return given.new_zeros(shape)

    def nothing(*arguments: Any, **named: Any) -> Any:
        from diffusers.models.modeling_outputs import Transformer2DModelOutput

        given: Any = next(iter((*arguments, *named.values())))  # the pipelines give the sample first
        picture = zeros(given, denoiser.config.out_channels)
        sound = named.get("audio_hidden_states")  # (B, L, C): a denoiser of picture and sound returns both
        if sound is not None:
            return picture, zeros(sound, denoiser.config.audio_out_channels)
        return Transformer2DModelOutput(sample=picture)  # read as an attribute or as a tuple

    return replaced_forward(denoiser, lambda _forward: nothing)
