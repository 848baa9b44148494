"""Weights that are staged or streamed make the same clip; here the device is the CPU, and all else is as on a GPU."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipelines.placement import Placement
from pipelines.plan import DecodeForm, MemoryPlan, Residency, Tiling
from pipelines.weight_stream import WeightStream
from studio.generator import Generator
from studio.request import Conditioning, GenerationRequest
from tests.pipelines.conftest import RecordingRun, save_svd, save_wan

pytestmark = pytest.mark.filterwarnings("ignore")

PLANS = [
    MemoryPlan(name="resident"),
    MemoryPlan(name="staged", residency=Residency.STAGED, decode=DecodeForm.STREAMED),
    MemoryPlan(name="streamed", residency=Residency.STREAMED, decode=DecodeForm.PARKED),
]


def frames_of(generator: Any, plan: MemoryPlan, run: RecordingRun, photo: Conditioning) -> np.ndarray:
    is_picture = generator.spec.parameters.prompt == "unused"
    wish = GenerationRequest(
        model=generator.spec.id,
        prompt="" if is_picture else "a red circle",
        seed=5,
        num_inference_steps=2,
        conditionings=(photo,) if is_picture else (),
    )
    generator._plans = lambda *_: [plan]
    return generator.generate(generator.resolve(wish), run).frames


def weights_of(generator: Any) -> dict[str, torch.Tensor]:
    networks = {name: part for name, part in generator._pipeline.components.items() if hasattr(part, "state_dict")}
    return {
        f"{name}.{key}": value.clone() for name, part in networks.items() for key, value in part.state_dict().items()
    }


@pytest.mark.parametrize("family", ["svd", "wan"])
def test_wherever_the_weights_are_the_clip_is_the_same(
    family: str, tmp_path: Path, generator_of: Callable[..., Generator], photo: Conditioning
) -> None:
    save, row = {"svd": (save_svd, "svd"), "wan": (save_wan, "wan2.1-t2v-1.3b")}[family]
    generator = generator_of(row, save(tmp_path / family))
    with generator.session():
        before = weights_of(generator)
        clips = [frames_of(generator, plan, RecordingRun(workdir=tmp_path), photo) for plan in (*PLANS, PLANS[0])]
        after = weights_of(generator)
    assert clips[0].std() > 1
    for clip in clips[1:]:
        assert np.abs(clip.astype(np.int16) - clips[0].astype(np.int16)).max() <= 1
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_streamed_weights_are_in_one_place_at_a_time_and_come_back_untouched() -> None:
    network = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Linear(4, 4))
    before = [parameter.clone() for parameter in network.parameters()]
    homes = [parameter.data_ptr() for parameter in network.parameters()]
    stream = WeightStream(torch.device("cpu"))
    stream.open(network)
    for _ in range(2):
        for layer in network:
            with stream.held(layer):
                assert layer.weight.data_ptr() not in homes
    stream.close()
    assert [parameter.data_ptr() for parameter in network.parameters()] == homes
    assert all(torch.equal(*pair) for pair in zip(network.parameters(), before, strict=True))


def test_the_next_layer_travels_while_the_present_one_computes() -> None:
    network = torch.nn.Sequential(*(torch.nn.Linear(4, 4) for _ in range(3)))
    homes = {layer: layer.weight.data_ptr() for layer in network}
    stream = WeightStream(torch.device("cpu"))
    stream.open(network)
    for layer in network:
        with stream.held(layer):
            pass
    with stream.held(network[0]):
        assert network[1].weight.data_ptr() != homes[network[1]]
        assert network[2].weight.data_ptr() == homes[network[2]]
    stream.close()


def test_a_broken_pass_leaves_no_weight_on_the_way() -> None:
    network = torch.nn.Sequential(torch.nn.Linear(4, 4))
    home = network[0].weight.data_ptr()
    stream = WeightStream(torch.device("cpu"))
    stream.open(network)
    with pytest.raises(torch.OutOfMemoryError), stream.held(network[0]):
        raise torch.OutOfMemoryError("CUDA out of memory")
    assert network[0].weight.data_ptr() == home


def test_a_supposed_card_is_reckoned_with_and_never_touched() -> None:
    from pipelines.placement import suppose_card

    assert suppose_card("float16") == Placement(device=torch.device("cuda"), dtype=torch.float16)


def test_tiles_of_a_plan_say_all_where_nothing_is_said() -> None:
    assert PLANS[0].tiling == Tiling()
