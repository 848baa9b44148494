"""Two branches of guidance in one call: the same numbers, and an answer only to what was asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import WanTransformer3DModel

from pipelines.exact.guidance_pair import paired
from pipelines.plan import MemoryPlan
from studio.generator import Generator
from studio.request import GenerationRequest
from tests.pipelines.conftest import RecordingRun, save_wan

pytestmark = pytest.mark.filterwarnings("ignore")

TOKENS = 6


@pytest.fixture(scope="module")
def denoiser() -> Any:
    torch.manual_seed(0)
    return WanTransformer3DModel(
        patch_size=(1, 2, 2), num_attention_heads=2, attention_head_dim=12, in_channels=4, out_channels=4, text_dim=16,
        freq_dim=32, ffn_dim=24, num_layers=2, cross_attn_norm=True, qk_norm="rms_norm_across_heads",
        rope_max_seq_len=32,
    ).eval()  # fmt: skip


def text(seed: int, *, clips: int = 1) -> torch.Tensor:
    return torch.randn(clips, TOKENS, 16, generator=torch.Generator().manual_seed(seed))


def arguments(condition: torch.Tensor, **changes: Any) -> dict[str, Any]:
    clips = len(condition)
    rng = torch.Generator().manual_seed(9)
    return {
        "hidden_states": torch.randn(clips, 4, 2, 4, 6, generator=rng),
        "timestep": torch.full((clips,), 500.0),
        "encoder_hidden_states": condition,
        "attention_kwargs": None,
        "return_dict": False,
    } | changes


def batches_of(denoiser: Any, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that grows by the number of clips of each call that is computed."""
    found: list[int] = []
    stock = denoiser.patch_embedding.forward

    def counted(clips: torch.Tensor) -> torch.Tensor:
        found.append(len(clips))
        return stock(clips)

    monkeypatch.setattr(denoiser.patch_embedding, "forward", counted)
    return found


def sample_of(output: Any) -> torch.Tensor:
    found = output[0] if isinstance(output, tuple) else output.sample
    assert isinstance(found, torch.Tensor)
    return found


@torch.inference_mode()
@pytest.mark.parametrize("is_mapping", [False, True], ids=["tuple", "mapping"])
@pytest.mark.parametrize("clips", [1, 2])
def test_both_branches_are_those_of_two_calls(
    denoiser: Any, is_mapping: bool, clips: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = text(1, clips=clips), text(2, clips=clips)
    shared = arguments(first, return_dict=is_mapping)
    stock = [denoiser(**shared | {"encoder_hidden_states": words}) for words in (first, second)]
    computed = batches_of(denoiser, monkeypatch)
    with paired(denoiser, first, second):
        ours = [denoiser(**shared | {"encoder_hidden_states": words}) for words in (first, second)]
    assert computed == [2 * clips]
    assert [type(output) for output in ours] == [type(output) for output in stock]
    for mine, theirs in zip(ours, stock, strict=True):
        torch.testing.assert_close(sample_of(mine), sample_of(theirs), atol=1e-5, rtol=0)
    assert (sample_of(stock[0]) - sample_of(stock[1])).abs().max() > 1e-3


OTHERS: dict[str, dict[str, Any]] = {
    "sample": {"hidden_states": torch.ones(1, 4, 2, 4, 6)},
    "timestep": {"timestep": torch.full((1,), 400.0)},
    "an equal timestep that is another tensor": {"timestep": torch.full((1,), 500.0)},
    "text": {"encoder_hidden_states": text(3)},
    "form of the output": {"return_dict": True},
    "number": {"attention_kwargs": {"scale": 0.5}},
}


@torch.inference_mode()
@pytest.mark.parametrize("name", OTHERS)
def test_a_second_call_that_differs_in_more_than_its_text_is_computed(
    denoiser: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = text(1), text(2)
    shared = arguments(first)
    call = shared | {"encoder_hidden_states": second} | OTHERS[name]
    stock = sample_of(denoiser(**call))
    computed = batches_of(denoiser, monkeypatch)
    with paired(denoiser, first, second):
        denoiser(**shared)
        found = sample_of(denoiser(**call))
    assert computed == [2, 1]
    assert torch.equal(found, stock)


@torch.inference_mode()
def test_an_argument_less_or_more_is_another_call(denoiser: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = text(1), text(2)
    shared = arguments(first)
    computed = batches_of(denoiser, monkeypatch)
    with paired(denoiser, first, second):
        denoiser(**shared)
        call = shared | {"encoder_hidden_states": second}
        denoiser(**{name: value for name, value in call.items() if name != "attention_kwargs"})
    assert computed == [2, 1]


@torch.inference_mode()
def test_each_answer_is_given_once(denoiser: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = text(1), text(2)
    shared = arguments(first)
    later = shared | {"hidden_states": shared["hidden_states"] * 2}
    computed = batches_of(denoiser, monkeypatch)
    with paired(denoiser, first, second):
        for call in (shared, later):
            for words in (first, second, second):
                denoiser(**call | {"encoder_hidden_states": words})
    assert computed == [2, 1, 2, 1]


@torch.inference_mode()
def test_the_second_text_alone_and_arguments_by_position_are_computed_as_they_come(
    denoiser: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = text(1), text(2)
    shared = arguments(first)
    computed = batches_of(denoiser, monkeypatch)
    with paired(denoiser, first, second):
        denoiser(**shared | {"encoder_hidden_states": second})
        denoiser(shared["hidden_states"], shared["timestep"], first)
        denoiser(shared["hidden_states"], shared["timestep"], second)
    assert computed == [1, 1, 1]


@torch.inference_mode()
def test_a_single_time_for_all_clips_is_shared(denoiser: Any) -> None:
    """A time without a batch axis, and settings that are no tensors, are the same for both branches."""
    seen: list[dict[str, Any]] = []

    class Network(torch.nn.Module):
        def forward(self, **named: Any) -> tuple[Any, ...]:
            seen.append(named)
            return (named["encoder_hidden_states"].sum((1, 2)), {"kept": named["encoder_hidden_states"]})

    network = Network()
    first, second = text(1), text(2)
    shared = {"timestep": torch.tensor(3.0), "scale": [1.0, 2.0], "encoder_hidden_states": first}
    with paired(network, first, second):
        one = network(**shared)
        other = network(**shared | {"encoder_hidden_states": second})
    assert len(seen) == 1
    assert seen[0]["timestep"] is shared["timestep"]
    assert seen[0]["scale"] is shared["scale"]
    assert torch.equal(one[1]["kept"], first)
    assert torch.equal(other[1]["kept"], second)
    torch.testing.assert_close(other[0], second.sum((1, 2)))


@pytest.mark.parametrize(
    "texts", [(None, text(1)), (text(1), None), (text(1), text(2)[:, :3])], ids=["no first", "no second", "lengths"]
)
def test_texts_that_make_no_batch_leave_the_denoiser_alone(denoiser: Any, texts: tuple[Any, Any]) -> None:
    with paired(denoiser, *texts):
        assert "forward" not in vars(denoiser)


def test_the_denoiser_is_as_it_was_after_a_failure(denoiser: Any) -> None:
    with pytest.raises(ZeroDivisionError), paired(denoiser, text(1), text(2)):
        raise ZeroDivisionError
    assert "forward" not in vars(denoiser)


@pytest.mark.parametrize(("guidance", "calls"), [(5.0, [2, 2]), (1.0, [1, 1])])
def test_a_step_of_a_small_clip_is_one_call(
    guidance: float,
    calls: list[int],
    tmp_path: Path,
    generator_of: Callable[..., Generator],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    generator: Any = generator_of("wan2.1-t2v-1.3b", save_wan(tmp_path / "wan"), settings={"max_sequence_length": 8})
    generator._plans = lambda *_: [MemoryPlan(name="any")]
    wish = GenerationRequest(
        model=generator.spec.id, prompt="a red circle", seed=5, num_inference_steps=2, guidance_scale=guidance
    )
    resolved = generator.resolve(wish)
    with generator.session():
        computed = batches_of(generator._pipeline.transformer, monkeypatch)
        generator.generate(resolved, RecordingRun(workdir=tmp_path))
        assert computed == calls
        computed.clear()
        monkeypatch.setattr("pipelines.wan.MOST_TOKENS_OF_A_PAIR", 0)
        generator.generate(replace(resolved, seed=6), RecordingRun(workdir=tmp_path))
        assert computed == ([1] * 4 if guidance > 1 else [1, 1])
