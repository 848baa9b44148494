"""One time for a whole clip says what the same time for every token says, in a row instead of a table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import WanTransformer3DModel

from pipelines.exact.wan_timestep import one_timestep
from pipelines.plan import MemoryPlan
from studio.generator import Generator
from studio.request import Conditioning, GenerationRequest
from tests.pipelines.conftest import save_wan

pytestmark = pytest.mark.filterwarnings("ignore")

TOKENS = 2 * 2 * 3


@pytest.fixture(scope="module")
def transformer() -> Any:
    torch.manual_seed(0)
    return WanTransformer3DModel(
        patch_size=(1, 2, 2), num_attention_heads=2, attention_head_dim=12, in_channels=4, out_channels=4, text_dim=16,
        freq_dim=32, ffn_dim=24, num_layers=2, cross_attn_norm=True, qk_norm="rms_norm_across_heads",
        rope_max_seq_len=32,
    ).eval()  # fmt: skip


def call(transformer: Any, timestep: torch.Tensor, **changes: Any) -> torch.Tensor:
    rng = torch.Generator().manual_seed(9)
    clips = len(timestep)
    named = {
        "hidden_states": torch.randn(clips, 4, 2, 4, 6, generator=rng),
        "encoder_hidden_states": torch.randn(clips, 5, 16, generator=rng),
        "timestep": timestep,
        "return_dict": False,
    }
    with torch.inference_mode():
        found = transformer(**named | changes)[0]
    assert isinstance(found, torch.Tensor)
    return found


def rows_of(transformer: Any, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that grows by the number of times that each call embeds."""
    found: list[int] = []
    stock = transformer.condition_embedder.time_embedder.forward

    def counted(sample: torch.Tensor, *given: Any) -> torch.Tensor:
        found.append(sample.numel() // sample.shape[-1])
        return stock(sample, *given)

    monkeypatch.setattr(transformer.condition_embedder.time_embedder, "forward", counted)
    return found


@pytest.mark.parametrize("times", [[937.0], [500.0, 3.0]], ids=["one clip", "two clips"])
def test_it_equals_the_form_with_a_time_for_each_token(
    transformer: Any, times: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    timestep = torch.tensor(times)[:, None].expand(-1, TOKENS)
    rows = rows_of(transformer, monkeypatch)
    stock = call(transformer, timestep)
    with one_timestep(transformer):
        ours = call(transformer, timestep)
    torch.testing.assert_close(ours, stock, atol=1e-5, rtol=0)
    assert (stock - call(transformer, torch.zeros_like(timestep))).abs().max() > 1e-3
    assert rows[:2] == [len(times) * TOKENS, len(times)]


def test_tokens_of_other_times_are_another_clip(transformer: Any) -> None:
    """What it is not for: the tokens of a given first picture have time 0."""
    timestep = torch.full((1, TOKENS), 937.0)
    timestep[:, : TOKENS // 2] = 0
    stock = call(transformer, timestep)
    with one_timestep(transformer):
        assert (call(transformer, timestep) - stock).abs().max() > 1e-3


def test_a_call_that_tells_one_time_is_left_alone(transformer: Any) -> None:
    stock = call(transformer, torch.tensor([500.0]))
    with one_timestep(transformer):
        assert torch.equal(call(transformer, torch.tensor([500.0])), stock)
    assert "forward" not in vars(transformer)


def test_only_runs_without_a_picture_take_it(
    tmp_path: Path, generator_of: Callable[..., Generator], photo: Conditioning, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator: Any = generator_of("wan2.2-ti2v-5b", save_wan(tmp_path / "wan", expand_timesteps=True))
    plan = MemoryPlan(name="any")
    with generator.session():
        transformer = generator._pipeline.transformer
        for media, is_shared in (((), True), ((photo,), False)):
            wish = GenerationRequest(model=generator.spec.id, prompt="a red circle", conditionings=media)
            with generator.by(plan, generator._pipeline, generator.resolve(wish)):
                assert ("forward" in vars(transformer)) is is_shared
            assert "forward" not in vars(transformer)
