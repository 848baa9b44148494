"""Guidance in some steps only, over the ways in which the families of diffusers guide."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pipelines.guidance_interval import GuidanceInterval
from pipelines.speed import SpeedProfile
from tests.pipelines.checkpoints.animatediff import save_animatediff
from tests.pipelines.checkpoints.cogvideox import TOKENS, save_cogvideox
from tests.pipelines.checkpoints.hunyuan15 import save_hunyuan15
from tests.pipelines.checkpoints.ltx import save_ltx
from tests.pipelines.checkpoints.mochi import save_mochi

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")

pytestmark = pytest.mark.filterwarnings("ignore")

STEPS = 4


@dataclass(frozen=True, kw_only=True)
class Family:
    """The smallest checkpoint of a family. call: arguments that only its pipeline takes."""

    save: Callable[[Path], Path]
    class_name: str
    call: dict[str, Any] = field(default_factory=dict)


FAMILIES = {
    "ltx": Family(save=save_ltx, class_name="LTXPipeline", call={"max_sequence_length": 16}),
    "cogvideox": Family(save=save_cogvideox, class_name="CogVideoXPipeline", call={"max_sequence_length": TOKENS}),
    "mochi": Family(save=save_mochi, class_name="MochiPipeline", call={"max_sequence_length": 16}),
    "animatediff": Family(save=save_animatediff, class_name="AnimateDiffPipeline"),
    "hunyuan15": Family(save=save_hunyuan15, class_name="HunyuanVideo15Pipeline"),
}


class Runner:
    """One tiny pipeline, run with a part of its steps guided."""

    def __init__(self, family: Family, folder: Path) -> None:
        self.family = family
        self.pipeline = getattr(diffusers, family.class_name).from_pretrained(family.save(folder))
        self.pipeline.set_progress_bar_config(disable=True)
        self.denoiser = getattr(self.pipeline, "unet", None) or self.pipeline.transformer
        self.rows = 0

    def stock(self, scale: float) -> Any:
        return self._run(scale, lambda on_step: on_step)

    def guided(self, start: float, stop: float, scale: float = 4.0) -> Any:
        profile = SpeedProfile(name="fast", guidance=GuidanceInterval(start=start, stop=stop))
        with profile.applied(self.pipeline, None, STEPS) as watch:
            return self._run(scale, watch)

    def _run(self, scale: float, watch: Callable[[Any], Any]) -> Any:
        own = getattr(self.pipeline, "guider", None)
        call: dict[str, Any] = {"guidance_scale": scale, "callback_on_step_end": watch(lambda *_: {})}
        if own is not None:
            self.pipeline.guider = own.new(guidance_scale=scale)
            call = {}
        self.rows = 0
        layers = (one for one in self.denoiser.modules() if isinstance(one, torch.nn.Linear | torch.nn.Conv2d))
        hook = next(layers).register_forward_pre_hook(self._count)
        try:
            with torch.inference_mode():
                return self.pipeline(
                    prompt="a red circle", negative_prompt="moving", height=32, width=32, num_frames=9,
                    num_inference_steps=STEPS, output_type="latent", generator=torch.Generator().manual_seed(0),
                    **call, **self.family.call,
                ).frames  # fmt: skip
        finally:
            hook.remove()
            if own is not None:
                self.pipeline.guider = own

    def _count(self, _layer: Any, inputs: tuple[Any, ...]) -> None:
        self.rows += int(inputs[0].shape[0])


@pytest.fixture(scope="module", params=FAMILIES)
def runner(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Runner:
    return Runner(FAMILIES[request.param], tmp_path_factory.mktemp(request.param))


def test_guiding_every_step_changes_no_bit(runner: Runner) -> None:
    assert torch.equal(runner.guided(0, 1), runner.stock(4.0))


def test_guiding_no_step_is_guidance_scale_one(runner: Runner) -> None:
    assert torch.equal(runner.guided(0, 0), runner.stock(1.0))
    assert torch.equal(runner.guided(1, 1), runner.stock(1.0))


def test_half_of_the_work_is_left_where_nothing_is_guided(runner: Runner) -> None:
    runner.stock(4.0)
    everything = runner.rows
    for start, stop, left in ((0, 1, 1.0), (0, 0, 0.5), (0.25, 0.75, 0.75)):
        runner.guided(start, stop)
        assert runner.rows == left * everything


def test_guiding_some_steps_is_something_between(runner: Runner) -> None:
    some = runner.guided(0.25, 0.75)
    assert some.isfinite().all()
    assert not torch.equal(some, runner.stock(4.0))
    assert not torch.equal(some, runner.stock(1.0))


def test_it_is_left_as_it_was(runner: Runner) -> None:
    before = [sorted(vars(module)) for module in runner.denoiser.modules()]
    guider = getattr(runner.pipeline, "guider", None)
    stock = runner.stock(4.0)
    runner.guided(0.5, 1)
    assert [sorted(vars(module)) for module in runner.denoiser.modules()] == before
    assert getattr(runner.pipeline, "guider", None) is guider
    assert torch.equal(runner.stock(4.0), stock)
