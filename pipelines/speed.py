"""Speed profiles: what a run leaves out to be done sooner, said before it starts and written into the signed file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

from pipelines.feature_reuse import FeatureReuse, reused_features
from pipelines.guidance_interval import GuidanceInterval, guided_within
from pipelines.sampling import StepCallback
from pipelines.schedulers import NAMES, sampled_with
from pipelines.schedules import AlignedSteps
from pipelines.step_cache import StepCache, cached_steps
from pipelines.step_clock import StepClock
from studio.errors import UnsupportedValue

Watch = Callable[[StepCallback], StepCallback]

_PARTS = ("summary", "schedule", "guidance_interval", "cache", "feature_reuse", "scheduler", "num_inference_steps")


@dataclass(frozen=True, kw_only=True)
class SpeedProfile:
    """One way to run a model. Without any part it is exact: the clip is the one of the stock pipeline.

    name: what the user chooses. summary: one line for people; told from the parts where it is empty.
    schedule: noise levels that need fewer steps. guidance: the steps that are guided. cache: of diffusers, for
    transformers. reuse: our own, for UNets of the SVD class. scheduler: another sampler, one of
    `pipelines.schedulers.NAMES`. num_inference_steps: what a few-step checkpoint needs; None takes the request's.
    """

    name: str = "exact"
    summary: str = ""
    schedule: AlignedSteps | None = None
    guidance: GuidanceInterval | None = None
    cache: StepCache | None = None
    reuse: FeatureReuse | None = None
    scheduler: str | None = None
    num_inference_steps: int | None = None

    @property
    def is_approximate(self) -> bool:
        """Whether something is left out that the model was made with. A sampler alone is a choice, not an omission."""
        return any(part is not None for part in (self.schedule, self.guidance, self.cache, self.reuse))

    def describe(self) -> str:
        """Return the whole profile in one line, for the job and for the signed file."""
        parts = [part.describe() for part in (self.schedule, self.guidance, self.cache, self.reuse) if part is not None]
        parts += [f"{self.scheduler} sampler"] if self.scheduler else []
        parts += [f"{self.num_inference_steps} steps"] if self.num_inference_steps else []
        parts += ["approximate"] if self.is_approximate else []
        return f"{self.name}: {', '.join(parts)}" if parts else self.name

    def steps(self, num_inference_steps: int) -> int:
        """Return how many steps are taken when the request asks for so many."""
        if self.schedule is not None and self.schedule.steps is not None:
            return self.schedule.steps
        return self.num_inference_steps or num_inference_steps

    def sampled_with(self, scheduler: str) -> SpeedProfile:
        """Return the profile with the sampler that a request names.

        Raises `UnsupportedValue` for a sampler nobody knows; whether it goes with the model is seen in `applied`.
        """
        if scheduler not in NAMES:
            raise UnsupportedValue("no such sampler", field="scheduler", got=scheduler, allowed=", ".join(NAMES))
        return replace(self, scheduler=scheduler)

    def arguments(self, pipeline: Any, num_inference_steps: int) -> dict[str, Any]:
        """Return what the pipeline's call is given besides, or instead of, what a family gives it.

        num_inference_steps: of the request. Call it inside `applied`.
        """
        found: dict[str, Any] = {"num_inference_steps": self.steps(num_inference_steps)}
        if self.schedule is not None:
            found["sigmas"] = self.schedule.sigmas(pipeline.scheduler, found["num_inference_steps"])
        return found

    @contextmanager
    def applied(self, pipeline: Any, rng: Any, num_inference_steps: int) -> Iterator[Watch]:
        """Prepare the pipeline for one run, and leave it as it was found.

        Give the pipeline `watch(on_step)` for its callback, where `watch` is what this context hands over. Enter it
        before `Sampling.loop`, whose stand-ins for finished steps have to lie over everything.
        rng: the torch generator of the run. num_inference_steps: of the request.
        """
        with ExitStack() as stack:
            if self.scheduler is not None:
                stack.enter_context(sampled_with(pipeline, self.scheduler, rng))
            clock = StepClock(pipeline)
            if self.reuse is not None:
                stack.enter_context(reused_features(pipeline, self.reuse, clock))
            if self.cache is not None:
                steps = self.steps(num_inference_steps)
                stack.enter_context(cached_steps(pipeline, self.cache, num_inference_steps=steps))
            if self.guidance is not None:
                stack.enter_context(guided_within(pipeline, self.guidance, clock))
            yield clock.watching


EXACT = SpeedProfile()


def profiles_of(settings: Mapping[str, Any]) -> dict[str, SpeedProfile]:
    """Return the profiles of a catalog row by name, `exact` first.

    settings: the row's; its table ``profiles`` holds one table for each profile, with the keys schedule (``ays-10``),
    guidance_interval ([start, stop]), cache ({kind, ...}), feature_reuse ({interval, branch}), scheduler,
    num_inference_steps and summary.
    Raises `ValueError`, which names the key, for what makes no sense.
    """
    found = {EXACT.name: EXACT}
    for name, table in settings.get("profiles", {}).items():
        if name == EXACT.name:
            raise ValueError(f"profiles.{name}: the exact profile has no parts")
        try:
            found[name] = _parsed(name, table)
        except (TypeError, ValueError) as error:
            raise ValueError(f"profiles.{name}: {error}") from error
    return found


def profile_named(name: str, settings: Mapping[str, Any]) -> SpeedProfile:
    """Return the profile that a request names. Raises `UnsupportedValue` where the model has no such profile."""
    profiles = profiles_of(settings)
    if name not in profiles:
        raise UnsupportedValue(
            "this model has no such speed profile", field="speed", got=name, allowed=", ".join(profiles)
        )
    return profiles[name]


def _parsed(name: str, table: Mapping[str, Any]) -> SpeedProfile:
    if unknown := set(table) - set(_PARTS):
        raise ValueError(f"expected {', '.join(_PARTS)}, got {', '.join(sorted(unknown))}")
    scheduler, steps = table.get("scheduler"), table.get("num_inference_steps")
    if scheduler is not None and scheduler not in NAMES:
        raise ValueError(f"scheduler: expected {', '.join(NAMES)}, got {scheduler}")
    if steps is not None and (not isinstance(steps, int) or isinstance(steps, bool) or steps < 1):
        raise ValueError(f"num_inference_steps: expected a whole number from 1, got {steps}")
    schedule, reuse = table.get("schedule"), table.get("feature_reuse")
    return SpeedProfile(
        name=name,
        summary=str(table.get("summary", "")),
        schedule=None if schedule is None else AlignedSteps.named(schedule),
        guidance=_interval(table.get("guidance_interval")),
        cache=_cache(table.get("cache")),
        reuse=None if reuse is None else FeatureReuse(**reuse),
        scheduler=scheduler,
        num_inference_steps=steps,
    )


def _interval(value: Any) -> GuidanceInterval | None:
    if value is None:
        return None
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise ValueError(f"guidance_interval: expected two fractions of the steps, got {value}")
    return GuidanceInterval(start=value[0], stop=value[1])


def _cache(value: Any) -> StepCache | None:
    if value is None:
        return None
    values = dict(value)
    return StepCache(kind=values.pop("kind", ""), values=values)
