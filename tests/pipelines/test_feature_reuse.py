"""Feature reuse in UNets of the SVD class: what is computed again, what is not, and what is left of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from pipelines.feature_reuse import FeatureReuse, reused_features
from pipelines.step_clock import StepClock
from studio.errors import UnsupportedValue
from tests.pipelines.conftest import save_svd

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return diffusers.StableVideoDiffusionPipeline.from_pretrained(save_svd(tmp_path_factory.mktemp("svd")))


@pytest.fixture(scope="module")
def deep() -> Any:
    """A UNet with SVD's two layers in a block and three levels."""
    torch.manual_seed(0)
    return diffusers.UNetSpatioTemporalConditionModel(
        block_out_channels=(32, 32, 64), layers_per_block=2, in_channels=8, out_channels=4,
        down_block_types=("CrossAttnDownBlockSpatioTemporal",) * 2 + ("DownBlockSpatioTemporal",),
        up_block_types=("UpBlockSpatioTemporal",) + ("CrossAttnUpBlockSpatioTemporal",) * 2,
        cross_attention_dim=16, num_attention_heads=4, projection_class_embeddings_input_dim=96,
        addition_time_embed_dim=32, num_frames=3,
    ).eval()  # fmt: skip


class Loop:
    """Calls a UNet as the stock pipeline does, step by step."""

    def __init__(self, unet: Any, *, batch: int = 2, size: int = 8) -> None:
        self.unet = unet
        self.scheduler = diffusers.EulerDiscreteScheduler()
        self.scheduler.set_timesteps(8)
        rng = torch.Generator().manual_seed(1)
        self.sample = torch.randn(batch, 3, 8, size, size, generator=rng)
        self.context = torch.randn(batch, 1, 16, generator=rng)
        self.ids = torch.tensor([[6.0, 127.0, 0.02]] * batch)

    def call(self, step: int, rows: slice = slice(None)) -> Any:
        with torch.inference_mode():
            return self.unet(
                self.sample[rows] + 0.1 * step, torch.tensor(1.5 - 0.2 * step),
                encoder_hidden_states=self.context[rows], added_time_ids=self.ids[rows], return_dict=False,
            )[0]  # fmt: skip

    @contextmanager
    def reusing(self, **values: Any) -> Iterator[Any]:
        clock = StepClock(self)
        with reused_features(self, FeatureReuse(**values), clock):
            on_step = clock.watching(lambda *_: {})
            yield lambda step: on_step(self, step, None, {})


@contextmanager
def counted(modules: dict[str, Any]) -> Iterator[dict[str, int]]:
    calls = dict.fromkeys(modules, 0)

    def hook_of(name: str) -> Any:
        return lambda *_: calls.__setitem__(name, calls[name] + 1)

    with ExitStack() as stack:
        for name, module in modules.items():
            stack.callback(module.register_forward_hook(hook_of(name)).remove)
        yield calls


def leaves(unet: Any) -> dict[str, Any]:
    """Return the layers that compute, by name, without the embeddings of time."""
    names = ("conv1", "proj_in", "conv_in", "conv_out")
    return {
        name: module
        for name, module in unet.named_modules()
        if name.rsplit(".", 1)[-1] in names and "temporal" not in name
    }


DEEPEST = {"up_blocks.2.resnets.2", "up_blocks.2.attentions.2"}
MIDDLE = {"down_blocks.0.resnets.0", "down_blocks.0.attentions.0", "up_blocks.2.resnets.1", "up_blocks.2.attentions.1"}
NEAREST = {"down_blocks.0.resnets.1", "down_blocks.0.attentions.1", "up_blocks.2.resnets.0", "up_blocks.2.attentions.0"}


@pytest.mark.parametrize(("branch", "expected"), [(0, DEEPEST), (1, DEEPEST | MIDDLE), (2, DEEPEST | MIDDLE | NEAREST)])
def test_the_steps_between_compute_the_shallow_layers_alone(deep: Any, branch: int, expected: set[str]) -> None:
    loop = Loop(deep)
    with loop.reusing(interval=3, branch=branch) as end_step, counted(leaves(deep)) as calls:
        for step in range(3):
            loop.call(step)
            end_step(step)
    computed = {name for name, count in calls.items() if count == 3}
    layers = {name.split(".spatial_res_block")[0].removesuffix(".proj_in") for name in computed}
    assert layers == expected | {"conv_in", "conv_out"}
    assert all(count == 1 for name, count in calls.items() if name not in computed)


@pytest.mark.parametrize("branch", [0, 1, 2])
def test_with_the_same_input_old_features_give_the_same_output(deep: Any, branch: int) -> None:
    loop = Loop(deep)
    with loop.reusing(interval=2, branch=branch) as end_step:
        whole = loop.call(0)
        end_step(0)
        assert torch.equal(loop.call(0), whole)


def test_the_nearest_branch_is_the_closest_to_the_whole_network(deep: Any) -> None:
    loop = Loop(deep)
    whole = loop.call(1)
    apart = []
    for branch in (0, 2):
        with loop.reusing(interval=2, branch=branch) as end_step:
            loop.call(0)
            end_step(0)
            apart.append(float((loop.call(1) - whole).norm() / whole.norm()))
    assert 0 < apart[1] < apart[0] < 0.5


def test_every_interval_the_whole_network_is_computed(pipeline: Any) -> None:
    loop = Loop(pipeline.unet)
    stock = [loop.call(step) for step in range(5)]
    with loop.reusing(interval=2) as end_step:
        for step in range(5):
            assert torch.equal(loop.call(step), stock[step]) == (step % 2 == 0)
            end_step(step)


def test_sizes_that_do_not_halve_evenly_work(deep: Any) -> None:
    loop = Loop(deep, size=10)
    with loop.reusing(interval=2, branch=1) as end_step:
        whole = loop.call(0)
        end_step(0)
        assert torch.equal(loop.call(0), whole)


def test_two_calls_in_a_step_have_features_of_their_own(pipeline: Any) -> None:
    loop = Loop(pipeline.unet)
    halves = slice(0, 1), slice(1, 2)
    with loop.reusing(interval=2) as end_step:
        whole = [loop.call(0, half) for half in halves]
        end_step(0)
        again = [loop.call(0, half) for half in halves]
    assert all(torch.equal(*pair) for pair in zip(whole, again, strict=True))


def test_another_batch_is_computed_whole(pipeline: Any) -> None:
    loop = Loop(pipeline.unet)
    stock = loop.call(1, slice(1, 2))
    with loop.reusing(interval=4) as end_step:
        loop.call(0)
        end_step(0)
        assert torch.equal(loop.call(1, slice(1, 2)), stock)


def test_it_keeps_checkpoints_away_and_leaves_nothing(pipeline: Any) -> None:
    unet = pipeline.unet
    before = [dict(vars(module)) for module in unet.modules()]
    loop = Loop(unet)
    with loop.reusing(interval=2):
        assert unet.is_cache_enabled
        loop.call(0)
    assert [dict(vars(module)) for module in unet.modules()] == before


def test_the_shallowest_network_that_ships_works() -> None:
    folder = Path(__file__).parents[2] / "weights" / "micro-svd"
    unet = diffusers.UNetSpatioTemporalConditionModel.from_config(
        diffusers.UNetSpatioTemporalConditionModel.load_config(folder / "unet")
    ).eval()
    loop = Loop(unet)
    loop.sample = torch.randn(2, 3, unet.config.in_channels, 8, 8)
    loop.context = torch.randn(2, 1, unet.config.cross_attention_dim)
    with loop.reusing(interval=2) as end_step:
        whole = loop.call(0)
        end_step(0)
        assert torch.equal(loop.call(0), whole)
        with pytest.raises(UnsupportedValue, match="got 1; allowed: 0 to 0"), loop.reusing(interval=2, branch=1):
            pass


def test_a_forward_that_goes_past_the_blocks_is_refused(pipeline: Any) -> None:
    from pipelines.replaced_forward import replaced_forward

    loop = Loop(pipeline.unet)
    past = replaced_forward(pipeline.unet, lambda _forward: lambda sample, *_, **__: (sample,))
    with past, loop.reusing(interval=2), pytest.raises(UnsupportedValue, match="computed without its blocks"):
        loop.call(0)


def test_a_transformer_is_refused() -> None:
    class WithoutUNet:
        scheduler = diffusers.EulerDiscreteScheduler()

    refused = pytest.raises(UnsupportedValue, match="no layers whose features can be reused")
    with refused, reused_features(WithoutUNet(), FeatureReuse(interval=2), StepClock(WithoutUNet())):
        pass


def test_values_that_make_no_sense_are_named() -> None:
    with pytest.raises(ValueError, match="interval: expected a whole number from 2, got 1"):
        FeatureReuse(interval=1)
    with pytest.raises(ValueError, match="branch: expected a whole number from 0, got -1"):
        FeatureReuse(interval=2, branch=-1)
