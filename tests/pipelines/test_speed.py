"""Speed profiles: what they leave out, what they leave alone, and what they say of it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from pipelines.guidance_interval import GuidanceInterval
from pipelines.sampling import Sampling
from pipelines.schedulers import Nature, nature_of, sampled_with
from pipelines.schedules import AlignedSteps
from pipelines.speed import EXACT, SpeedProfile, profile_named, profiles_of
from pipelines.stages import StageShelf
from pipelines.step_cache import StepCache
from studio.errors import Canceled, UnsupportedValue
from tests.pipelines.conftest import RecordingRun, save_svd, save_wan

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def svd(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = save_svd(tmp_path_factory.mktemp("svd"))
    pipeline = diffusers.StableVideoDiffusionPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.fixture(scope="module")
def wan(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return load_wan(tmp_path_factory.mktemp("wan"))


def load_wan(folder: Path, **settings: Any) -> Any:
    pipeline = diffusers.DiffusionPipeline.from_pretrained(save_wan(folder, **settings))
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def no_step(*_: Any) -> dict[str, Any]:
    return {}


def sample_svd(pipeline: Any, rng: Any, on_step: Any = no_step, **arguments: Any) -> Any:
    y, x = np.mgrid[0:32, 0:32]
    image = PIL.Image.fromarray(np.stack([8 * x, 8 * y, 255 - 8 * x], axis=-1).clip(0, 255).astype(np.uint8))
    given = {"num_inference_steps": 4, "max_guidance_scale": 3.0} | arguments
    with torch.inference_mode():
        return pipeline(
            image, height=32, width=32, num_frames=3, generator=rng, output_type="latent",
            callback_on_step_end=on_step, **given,
        ).frames  # fmt: skip


def sample_wan(pipeline: Any, rng: Any, on_step: Any = no_step, **arguments: Any) -> Any:
    given = {"num_inference_steps": 4, "guidance_scale": 4.0} | arguments
    with torch.inference_mode():
        return pipeline(
            prompt="a red circle", negative_prompt="moving", height=32, width=32, num_frames=5, generator=rng,
            output_type="latent", callback_on_step_end=on_step, max_sequence_length=16, **given,
        ).frames  # fmt: skip


def seeded() -> Any:
    return torch.Generator("cpu").manual_seed(3)


def with_profile(sample: Callable[..., Any], pipeline: Any, profile: SpeedProfile, **arguments: Any) -> Any:
    rng = seeded()
    with profile.applied(pipeline, rng, arguments.get("num_inference_steps", 4)) as watch:
        return sample(pipeline, rng, watch(no_step), **arguments)


def guided(start: float, stop: float) -> SpeedProfile:
    return SpeedProfile(name="fast", guidance=GuidanceInterval(start=start, stop=stop))


@contextmanager
def counted_rows(denoiser: Any) -> Any:
    """Count the clips that a denoiser is given, call by call."""
    rows: list[int] = []
    module = getattr(denoiser, "patch_embedding", None) or denoiser.add_embedding
    hook = module.register_forward_pre_hook(lambda _module, inputs: rows.append(inputs[0].shape[0]))
    try:
        yield rows
    finally:
        hook.remove()


def state_of(network: Any) -> list[Any]:
    """Return all that an adapter may have put into the modules of a network."""
    names = ("forward", "_compiled_call_impl", "cache_context", "is_cache_enabled", "_cache_config")
    return [(name, key, vars(module).get(key)) for name, module in network.named_modules() for key in names]


class TestGuidanceInterval:
    def test_guiding_every_step_changes_no_bit(self, svd: Any, wan: Any) -> None:
        for sample, pipeline in ((sample_svd, svd), (sample_wan, wan)):
            stock = sample(pipeline, seeded())
            assert torch.equal(with_profile(sample, pipeline, guided(0, 1)), stock)

    def test_guiding_no_step_is_guidance_scale_one(self, svd: Any, wan: Any) -> None:
        unguided = sample_svd(svd, seeded(), max_guidance_scale=1.0)
        assert torch.equal(with_profile(sample_svd, svd, guided(0.5, 0.5)), unguided)
        unguided = sample_wan(wan, seeded(), guidance_scale=1.0)
        assert torch.equal(with_profile(sample_wan, wan, guided(0, 0)), unguided)

    def test_a_branch_that_is_not_needed_is_not_computed(self, svd: Any, wan: Any) -> None:
        with counted_rows(svd.unet) as rows:
            with_profile(sample_svd, svd, guided(0.25, 0.75))
        assert rows == [1, 2, 2, 1]
        with counted_rows(wan.transformer) as rows:
            with_profile(sample_wan, wan, guided(0.25, 0.75))
        assert rows == [1, 1, 1, 1, 1, 1]  # one, two, two, one

    def test_part_of_the_steps_is_neither_all_nor_none(self, svd: Any) -> None:
        some = with_profile(sample_svd, svd, guided(0.25, 0.75))
        for other in (sample_svd(svd, seeded()), sample_svd(svd, seeded(), max_guidance_scale=1.0)):
            assert not torch.equal(some, other)

    def test_both_denoisers_of_a_pair_are_spared(self, tmp_path: Path) -> None:
        pair = load_wan(tmp_path / "pair", experts=2)
        unguided = sample_wan(pair, seeded(), guidance_scale=1.0, guidance_scale_2=1.0)
        with counted_rows(pair.transformer) as high, counted_rows(pair.transformer_2) as low:
            result = with_profile(sample_wan, pair, guided(0, 0))
        assert torch.equal(result, unguided)
        assert (sum(high), sum(low)) == (2, 2)

    def test_a_pipeline_of_another_task_over_the_same_weights_is_spared_too(self, wan: Any) -> None:
        from pipelines.task_pipeline import pipeline_as

        other = pipeline_as(wan, "WanVideoToVideoPipeline")
        video = [PIL.Image.new("RGB", (32, 32), (40 * index, 0, 0)) for index in range(5)]
        rng = seeded()
        fewer = guided(0, 0.5).applied(wan, rng, 8)
        with fewer as watch, counted_rows(wan.transformer) as rows, torch.inference_mode():
            other(
                video=video, prompt="a", negative_prompt="red", height=32, width=32, strength=0.5, generator=rng,
                num_inference_steps=8, output_type="latent", max_sequence_length=16, guidance_scale=4.0,
                callback_on_step_end=watch(no_step),
            )  # fmt: skip
        assert len(rows) == 6  # four of the eight steps are taken, two of them guided

    def test_a_run_taken_up_again_is_the_run_that_was_not_broken_off(self, wan: Any, tmp_path: Path) -> None:
        whole = with_profile(sample_wan, wan, guided(0.25, 0.75))
        broken = RecordingRun(workdir=tmp_path, keeps_each_step=True, cancel_at=2)
        with pytest.raises(Canceled):
            resumable(wan, broken)
        again = RecordingRun(workdir=tmp_path, earlier=broken.shelf)
        with counted_rows(wan.transformer) as rows:
            assert torch.equal(resumable(wan, again), whole)
        assert len(rows) == 3  # one guided step, one without guidance

    def test_fractions_that_fall_are_refused(self) -> None:
        for start, stop in ((0.8, 0.1), (-0.1, 0.5), (0.5, 1.1), (float("nan"), 1.0)):
            with pytest.raises(ValueError, match=r"expected two rising fractions of the steps in \[0, 1\]"):
                GuidanceInterval(start=start, stop=stop)

    def test_a_model_with_another_way_of_guidance_is_refused_after_one_step(self, wan: Any) -> None:
        rng = seeded()
        with guided(0.5, 1).applied(wan, rng, 4) as watch:
            wan.transformer.cache_context = other_names(wan.transformer.cache_context)
            try:
                with pytest.raises(UnsupportedValue, match="guidance cannot be limited"):
                    sample_wan(wan, rng, watch(no_step))
            finally:
                del wan.transformer.cache_context


def other_names(cache_context: Any) -> Any:
    return lambda name, **where: cache_context(f"{name}-otherwise", **where)


def resumable(pipeline: Any, run: RecordingRun) -> Any:
    """Run Wan with guidance in the middle steps as the template does: the profile around the loop."""
    from pipelines.placement import Placement

    shelf = StageShelf(run, Placement(device=torch.device("cpu"), dtype=torch.float32))
    rng = seeded()
    pipeline.scheduler = type(pipeline.scheduler).from_config(pipeline.scheduler.config)
    sampling = Sampling(run, shelf, rng, total=4, channel_axis=1, look=lambda _tensors: None)
    with guided(0.25, 0.75).applied(pipeline, rng, 4) as watch, sampling.loop(pipeline) as on_step:
        return sample_wan(pipeline, rng, watch(on_step))


class TestAlignedSteps:
    def test_ten_steps_are_the_published_ones(self, svd: Any) -> None:
        published = [700.00, 54.5, 15.886, 7.977, 4.248, 1.789, 0.981, 0.403, 0.173, 0.034, 0.0]
        assert AlignedSteps.named("ays-10").sigmas(svd.scheduler, 25) == published

    @pytest.mark.parametrize("steps", [1, 2, 5, 20, 25])
    def test_other_counts_fall_from_the_same_start_to_zero(self, svd: Any, steps: int) -> None:
        sigmas = AlignedSteps.named("ays").sigmas(svd.scheduler, steps)
        assert len(sigmas) == steps + 1
        assert sigmas == sorted(sigmas, reverse=True)
        assert sigmas[0] == pytest.approx(700.0)
        assert sigmas[-1] == 0.0

    def test_twenty_steps_go_through_the_ten(self, svd: Any) -> None:
        twenty = AlignedSteps.named("ays-20").sigmas(svd.scheduler, 25)
        ten = AlignedSteps.named("ays-10").sigmas(svd.scheduler, 25)
        assert twenty[::2] == pytest.approx(ten)

    def test_the_pipeline_takes_these_steps(self, svd: Any) -> None:
        profile = SpeedProfile(name="fast", schedule=AlignedSteps(steps=3))
        arguments = profile.arguments(svd, 25)
        seen: list[int] = []
        result = with_profile(sample_svd, svd, profile, **arguments)
        sample_svd(svd, seeded(), lambda _pipeline, index, *_: seen.append(index) or {}, **arguments)
        assert seen == [0, 1, 2]
        assert result.isfinite().all()
        assert torch.allclose(svd.scheduler.sigmas, torch.tensor(arguments["sigmas"]))

    def test_a_model_with_other_noise_levels_is_refused(self, wan: Any) -> None:
        with pytest.raises(UnsupportedValue, match="one for Stable Video Diffusion"):
            SpeedProfile(schedule=AlignedSteps()).arguments(wan, 10)

    def test_a_name_nobody_knows_is_refused(self) -> None:
        for name in ("ays-0", "ays-101", "ays-x", "karras", "ays-10 "):
            with pytest.raises(ValueError, match="schedule: expected"):
                AlignedSteps.named(name)


class TestStepCache:
    def profile(self, **values: Any) -> SpeedProfile:
        return SpeedProfile(name="fast", cache=StepCache(kind="first-block", values=values))

    def test_a_threshold_nothing_stays_below_is_exact(self, wan: Any) -> None:
        stock = sample_wan(wan, seeded())
        assert torch.equal(with_profile(sample_wan, wan, self.profile(threshold=1e-9)), stock)

    def test_blocks_are_skipped_where_the_first_hardly_changes(self, wan: Any) -> None:
        calls: list[int] = []
        hook = wan.transformer.blocks[1].ffn.register_forward_hook(lambda *_: calls.append(1))
        with_profile(sample_wan, wan, self.profile(threshold=1e9))
        hook.remove()
        assert len(calls) == 2  # the first step, its two branches

    @pytest.mark.parametrize(
        "cache",
        [
            StepCache(kind="first-block", values={"threshold": 0.5}),
            StepCache(kind="mag", values={"mag_ratios": (1.0, 0.99, 0.98, 0.97), "threshold": 1.0}),
            StepCache(kind="taylorseer", values={"cache_interval": 2, "disable_cache_before_step": 1}),
        ],
        ids=lambda cache: cache.kind,
    )
    def test_every_cache_starts_empty_and_leaves_nothing(self, wan: Any, cache: StepCache) -> None:
        before, stock = state_of(wan.transformer), sample_wan(wan, seeded())
        profile = SpeedProfile(name="fast", cache=cache)
        first = with_profile(sample_wan, wan, profile)
        assert not torch.equal(first, stock)
        assert torch.equal(with_profile(sample_wan, wan, profile), first)
        assert state_of(wan.transformer) == before
        assert torch.equal(sample_wan(wan, seeded()), stock)

    def test_nothing_is_kept_midway_while_a_cache_is_on(self, wan: Any) -> None:
        with self.profile(threshold=0.1).applied(wan, seeded(), 4):
            assert wan.transformer.is_cache_enabled
        assert not wan.transformer.is_cache_enabled

    def test_a_model_without_step_caches_is_refused(self, svd: Any) -> None:
        before = state_of(svd.unet)
        with pytest.raises(UnsupportedValue, match="no step caches"), self.profile(threshold=0.1).applied(svd, None, 4):
            pass
        assert state_of(svd.unet) == before

    @pytest.mark.parametrize(
        ("kind", "values", "words"),
        [
            ("tea", {}, "kind: expected first-block, mag, taylorseer, got tea"),
            ("first-block", {}, "first-block needs threshold"),
            ("first-block", {"threshold": 0}, "threshold: 0 is outside"),
            ("first-block", {"threshold": float("nan")}, "threshold: nan is outside"),
            ("first-block", {"threshold": 0.1, "speed": 2}, "speed: not a parameter of first-block"),
            ("mag", {"mag_ratios": []}, r"mag_ratios: \[\] is outside"),
            ("taylorseer", {"cache_interval": True}, "cache_interval: True is outside"),
        ],
    )
    def test_what_makes_no_sense_is_named(self, kind: str, values: dict[str, Any], words: str) -> None:
        with pytest.raises(ValueError, match=words):
            StepCache(kind=kind, values=values)


class TestSchedulers:
    def test_the_natures_of_the_families_are_told_apart(self, svd: Any, wan: Any) -> None:
        assert nature_of(svd.scheduler) is Nature.CONTINUOUS
        assert nature_of(wan.scheduler) is Nature.FLOW
        assert nature_of(diffusers.FlowMatchEulerDiscreteScheduler()) is Nature.FLOW
        assert nature_of(diffusers.DDIMScheduler()) is Nature.DISCRETE
        assert nature_of(diffusers.CogVideoXDDIMScheduler(snr_shift_scale=3.0)) is Nature.OTHER
        assert nature_of(diffusers.EDMEulerScheduler()) is Nature.OTHER

    @pytest.mark.parametrize("name", ["euler", "flow-match-euler", "unipc", "lcm"])
    def test_a_flow_model_runs_with_every_sampler_of_flows(self, wan: Any, name: str) -> None:
        own = wan.scheduler
        result = with_profile(sample_wan, wan, EXACT.sampled_with(name), guidance_scale=1.0)
        assert result.isfinite().all()
        assert wan.scheduler is own

    def test_the_models_shift_goes_along(self, wan: Any) -> None:
        with sampled_with(wan, "euler", seeded()):
            assert wan.scheduler.config.shift == 3.0
            inner = wan.scheduler
            with sampled_with(wan, "unipc", seeded()):
                assert wan.scheduler.config.flow_shift == 3.0
                assert wan.scheduler.config.prediction_type == "flow_prediction"
            assert wan.scheduler is inner

    def test_the_same_sampler_again_changes_nothing(self, wan: Any, svd: Any) -> None:
        stock = sample_wan(wan, seeded())
        assert torch.equal(with_profile(sample_wan, wan, EXACT.sampled_with("unipc")), stock)
        stock = sample_svd(svd, seeded())
        assert torch.equal(with_profile(sample_svd, svd, EXACT.sampled_with("euler")), stock)

    @pytest.mark.parametrize("case", ["svd", "wan"])
    def test_the_noise_of_a_sampler_hangs_on_the_seed_alone(self, case: str, request: pytest.FixtureRequest) -> None:
        pipeline = request.getfixturevalue(case)
        sample = sample_svd if case == "svd" else sample_wan
        profile = SpeedProfile(name="few", scheduler="lcm", num_inference_steps=3)
        torch.manual_seed(1)
        first = with_profile(sample, pipeline, profile)
        torch.manual_seed(2)
        assert torch.equal(with_profile(sample, pipeline, profile), first)

    def test_the_consistency_sampler_ends_at_the_clean_clip(self, svd: Any) -> None:
        with sampled_with(svd, "lcm", seeded()):
            scheduler = svd.scheduler
            scheduler.set_timesteps(2)
            noisy = torch.full((1, 2, 4, 4, 4), 80.0)
            for timestep, sigma in zip(scheduler.timesteps, (80.0, 0.002), strict=True):
                scheduler.scale_model_input(noisy, timestep)
                clean = scheduler.step(torch.ones_like(noisy), timestep, noisy)
                expected = -sigma / (sigma**2 + 1) ** 0.5 + noisy / (sigma**2 + 1)
                assert torch.allclose(clean.pred_original_sample, expected, atol=1e-4)
                noisy = clean.prev_sample
        assert torch.allclose(noisy, clean.pred_original_sample)

    @pytest.mark.parametrize("name", ["unipc", "flow-match-euler"])
    def test_a_sampler_for_other_models_is_refused(self, svd: Any, name: str) -> None:
        own = svd.scheduler
        with pytest.raises(UnsupportedValue, match="allowed: euler, lcm"), sampled_with(svd, name, seeded()):
            pass
        assert svd.scheduler is own

    def test_what_a_sampler_would_lose_is_named(self, wan: Any) -> None:
        own = wan.scheduler
        wan.scheduler = diffusers.FlowMatchEulerDiscreteScheduler(invert_sigmas=True)
        try:
            refused = pytest.raises(UnsupportedValue, match="does not know the model's invert_sigmas")
            with refused, sampled_with(wan, "unipc", seeded()):
                pass
        finally:
            wan.scheduler = own


FAST = {"schedule": "ays-10", "guidance_interval": [0.1, 0.8], "feature_reuse": {"interval": 2}}


class TestProfiles:
    def test_exact_has_no_part_and_is_always_there(self) -> None:
        assert profiles_of({}) == {"exact": EXACT}
        assert profile_named("exact", {}).describe() == "exact"
        assert not EXACT.is_approximate
        assert EXACT.arguments(None, 25) == {"num_inference_steps": 25}

    def test_exact_changes_no_bit_and_no_module(self, svd: Any) -> None:
        stock, before = sample_svd(svd, seeded()), state_of(svd.unet)
        with EXACT.applied(svd, seeded(), 4):
            assert state_of(svd.unet) == before
        assert torch.equal(with_profile(sample_svd, svd, EXACT), stock)

    def test_a_profile_says_all_of_itself(self) -> None:
        fast = profile_named("fast", {"profiles": {"fast": FAST}})
        assert fast.is_approximate
        assert fast.steps(25) == 10
        assert fast.describe() == (
            "fast: AYS 10 steps, guidance in 0.1-0.8 of the steps, deep features renewed every 2 steps, approximate"
        )
        cached = {"cache": {"kind": "first-block", "threshold": 0.08}}
        assert profile_named("fast", {"profiles": {"fast": cached}}).describe() == (
            "fast: first-block cache at 0.08, approximate"
        )

    def test_a_few_step_checkpoint_is_not_called_approximate(self) -> None:
        few = profile_named("few", {"profiles": {"few": {"scheduler": "lcm", "num_inference_steps": 4}}})
        assert not few.is_approximate
        assert few.describe() == "few: lcm sampler, 4 steps"
        assert few.arguments(None, 50) == {"num_inference_steps": 4}

    def test_the_parts_work_together_and_leave_nothing(self, svd: Any) -> None:
        before, stock = state_of(svd.unet), sample_svd(svd, seeded())
        fast = profile_named("fast", {"profiles": {"fast": FAST}})
        with counted_rows(svd.unet) as rows:
            first = with_profile(sample_svd, svd, fast, **fast.arguments(svd, 25))
        assert rows == [1, 2, 2, 2, 2, 2, 2, 2, 1, 1]
        assert first.isfinite().all()
        assert torch.equal(with_profile(sample_svd, svd, fast, **fast.arguments(svd, 25)), first)
        assert state_of(svd.unet) == before
        assert torch.equal(sample_svd(svd, seeded()), stock)

    def test_nothing_is_left_of_a_run_that_failed(self, svd: Any) -> None:
        before = state_of(svd.unet)

        def fail(*_: Any) -> dict[str, Any]:
            raise Canceled

        fast = profile_named("fast", {"profiles": {"fast": FAST}})
        with pytest.raises(Canceled), fast.applied(svd, seeded(), 25) as watch:
            sample_svd(svd, seeded(), watch(fail))
        assert state_of(svd.unet) == before

    def test_a_profile_the_model_has_not_is_refused_with_those_it_has(self) -> None:
        with pytest.raises(UnsupportedValue, match=r"speed: .*got faster; allowed: exact, fast\."):
            profile_named("faster", {"profiles": {"fast": {}}})

    def test_a_sampler_nobody_knows_is_refused(self) -> None:
        with pytest.raises(UnsupportedValue, match="got magic; allowed: euler, flow-match-euler, unipc, lcm"):
            EXACT.sampled_with("magic")

    @pytest.mark.parametrize(
        ("table", "words"),
        [
            ({"sampler": "lcm"}, "expected summary, schedule, .*, got sampler"),
            ({"schedule": "fast"}, "schedule: expected ays"),
            ({"guidance_interval": 0.5}, "guidance_interval: expected two fractions"),
            ({"guidance_interval": ["a", "b"]}, "profiles.fast"),
            ({"cache": {"threshold": 0.1}}, "kind: expected"),
            ({"feature_reuse": {"interval": 1}}, "interval: expected a whole number from 2"),
            ({"feature_reuse": {"every": 2}}, "profiles.fast: .*every"),
            ({"scheduler": "magic"}, "scheduler: expected"),
            ({"num_inference_steps": 0}, "num_inference_steps: expected"),
        ],
    )
    def test_a_row_that_makes_no_sense_is_named(self, table: dict[str, Any], words: str) -> None:
        with pytest.raises(ValueError, match=words):
            profiles_of({"profiles": {"fast": table}})

    def test_the_exact_profile_cannot_be_redefined(self) -> None:
        with pytest.raises(ValueError, match="the exact profile has no parts"):
            profiles_of({"profiles": {"exact": FAST}})
