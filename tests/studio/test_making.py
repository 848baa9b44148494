"""What a local clip is made with reaches its signed file: LoRAs by name and digest, the speed profile, no path."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.lora_files import digest_of
from studio.app import Studio
from studio.config import Settings
from studio.errors import EnvironmentFault
from studio.generator import Cost, Declares, Generator, cost_of
from studio.making import provenance_of
from studio.provenance.manifest import Adapter
from studio.registry import Registry
from studio.request import GenerationRequest
from studio.weights import WeightStore
from tests.pipelines.conftest import generator_of, save_wan
from tests.pipelines.test_loras import save, tensors_for

__all__ = ["generator_of"]  # a fixture

pytest.importorskip("peft")
pytestmark = pytest.mark.filterwarnings("ignore")

SECRET_FOLDER = "folder-of-somebody"


@pytest.fixture
def wan(studio: Studio, tmp_path: Path, generator_of: Callable[..., Generator]) -> Any:
    """A tiny Wan model in the place of its row."""
    generator = generator_of("wan2.1-t2v-1.3b", save_wan(tmp_path / "wan"), settings={"max_sequence_length": 8})
    rows = Registry(studio.registry.catalog, studio.settings)
    rows._generators[generator.spec.id] = generator
    studio.__dict__["registry"] = rows
    return generator


@pytest.fixture
def style(wan: Any, tmp_path: Path) -> Path:
    (tmp_path / SECRET_FOLDER).mkdir()
    with wan.session():
        return save(tmp_path / SECRET_FOLDER / "style.safetensors", tensors_for(wan._pipeline.transformer))


def request_of(generator: Any, **options: Any) -> GenerationRequest:
    return GenerationRequest(
        model=generator.spec.id, prompt="a red circle", seed=5, num_inference_steps=3, num_frames=5, options=options
    )


def test_a_sealed_clip_tells_its_loras_and_its_profile_and_no_path(
    studio: Studio, wan: Any, style: Path, tmp_path: Path
) -> None:
    wish = request_of(wan, lora=f"{style}:0.5", speed="fast", weights_format="fp8")
    outcome = studio.generate(wish, output=tmp_path / "clip.mp4")
    reading = outcome.verification.c2pa
    assert reading.state == "trusted"
    assert reading.generation is not None
    (adapter,) = reading.generation["model"]["adapters"]
    assert adapter == {"name": "style.safetensors", "sha256": digest_of(style), "scale": 0.5}
    profile = reading.generation["speed_profile"]
    assert profile.startswith("fast: ")
    assert profile.endswith("weights as fp8, approximate")
    assert reading.generation["options"]["speed"] == "fast"
    assert "lora" not in reading.generation["options"]
    assert SECRET_FOLDER not in str(reading.manifest)
    assert SECRET_FOLDER.encode() not in (tmp_path / "clip.mp4").read_bytes()


def test_an_exact_clip_tells_neither(studio: Studio, wan: Any, tmp_path: Path) -> None:
    outcome = studio.generate(request_of(wan), output=tmp_path / "clip.mp4")
    generation = outcome.verification.c2pa.generation
    assert generation is not None
    assert "adapters" not in generation["model"]
    assert generation.get("speed_profile") is None
    assert generation["options"]["speed"] == "exact"


def test_provenance_is_what_the_generator_declares_before_the_run(
    studio: Studio, wan: Any, style: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(WeightStore, "commit", lambda *_: None)
    monkeypatch.setattr(WeightStore, "digest", lambda *_: "0" * 64)
    studio.settings.create_home()
    assert isinstance(wan, Declares)
    resolved = wan.resolve(request_of(wan, lora=str(style)))
    told = provenance_of("job", resolved, generator=wan, label="none", settings=studio.settings)
    assert told.adapters == (Adapter(name="style.safetensors", sha256=digest_of(style), scale=1.0),)
    assert told.speed_profile is None
    assert told.options == {name: value for name, value in resolved.options.items() if name != "lora"}


def test_what_runs_here_costs_nothing_and_nothing_is_measured_for_that(
    wan: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wan, "estimate", lambda _: pytest.fail("it was measured"))
    assert cost_of(wan, wan.resolve(request_of(wan))) == Cost(amount=0.0, currency="USD")


class TestLimitOfGpuMemory:
    @pytest.mark.parametrize(("words", "gib"), [("8", 8.0), ("7.5", 7.5), ("", None), ("  ", None)])
    def test_it_is_a_number_of_gib(self, words: str, gib: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("STUDIO_VRAM_LIMIT", words)
        assert Settings.read().vram_limit == gib

    def test_there_is_none_by_default(self, settings: Settings) -> None:
        assert settings.vram_limit is None

    @pytest.mark.parametrize("words", ["0", "-4", "eight", "nan", "inf", "8 GB", "10001"])
    def test_what_makes_no_sense_is_named_with_its_variable(self, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("STUDIO_VRAM_LIMIT", words)
        with pytest.raises(EnvironmentFault, match="STUDIO_VRAM_LIMIT") as fault:
            Settings.read()
        assert words in fault.value.sentence()
