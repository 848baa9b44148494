"""What a run will take is said before anything is loaded, and what nobody knows is said to be unknown."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.estimate import FREE, SEALED_BYTES_PER_PIXEL, SIGNATURE_BYTES, configurations_of, estimate_local
from pipelines.memory import GIB, Budget
from studio.app import Studio
from studio.catalog.loader import load_catalog
from studio.config import Settings
from studio.errors import MissingWeights, StudioError
from studio.generator import Estimate, Generator
from studio.registry import _import_class
from studio.request import Conditioning, GenerationRequest, ResolvedRequest
from studio.weights import WeightStore
from tests.pipelines.conftest import save_svd, save_wan

pytestmark = pytest.mark.filterwarnings("ignore")

REFERENCE = {"seconds": 8.0, "load_seconds": 3.0, "ram_bytes": 700_000_000, "machine": "a tiny machine"}


def request_of(generator: Any, **fields: Any) -> ResolvedRequest:
    found = generator.resolve(GenerationRequest(model=generator.spec.id, prompt="a red circle", seed=5, **fields))
    assert isinstance(found, ResolvedRequest)
    return found


def without_weights(base: str, settings: Settings, monkeypatch: pytest.MonkeyPatch, **more: Any) -> Any:
    """Return the generator of a row whose weights are not here."""

    def missing(*_: object) -> Path:
        raise MissingWeights("not here")

    monkeypatch.setattr(WeightStore, "locate", missing)
    spec = load_catalog().get(base)
    data = spec.model_dump()
    data["settings"] = data["settings"] | more
    changed = type(spec).model_validate(data)
    return _import_class(changed)(changed, settings)


@pytest.fixture
def limited(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[float], Settings]:
    def make(gib: float) -> Settings:
        monkeypatch.setenv("STUDIO_HOME", str(tmp_path / "home"))
        monkeypatch.setenv("STUDIO_VRAM_LIMIT", str(gib))
        monkeypatch.setenv("STUDIO_DEVICE", "cpu")
        return Settings()

    return make


@pytest.fixture
def is_never_rehearsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.foresight.build_meta_pipeline", lambda *_: pytest.fail("it was rehearsed"))


def is_unknown(figures: Estimate) -> bool:
    return figures.seconds is None and figures.vram_bytes is None and figures.ram_bytes is None


@pytest.mark.usefixtures("is_never_rehearsed")
def test_a_measured_run_is_scaled_by_pixels_frames_and_steps(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = without_weights("wan2.1-t2v-1.3b", settings, monkeypatch, reference=REFERENCE)
    whole = estimate_local(generator, request_of(generator))
    assert whole.seconds == pytest.approx(3 + 8)
    assert whole.ram_bytes == 700_000_000
    assert whole.basis == "measured on a tiny machine, scaled by pixels, frames and steps"
    half = estimate_local(generator, request_of(generator, num_inference_steps=25))
    assert half.seconds == pytest.approx(3 + 4)
    rules = generator.spec.parameters
    small = request_of(generator, width=416, height=256, num_frames=41, num_inference_steps=50)
    share = (416 * 256 * 41) / (rules.width.default * rules.height.default * rules.num_frames.default)
    assert estimate_local(generator, small).seconds == pytest.approx(3 + 8 * share)


@pytest.mark.usefixtures("is_never_rehearsed")
def test_gpu_memory_is_nothing_where_there_is_no_driver_and_unknown_where_there_is(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = without_weights("wan2.1-t2v-1.3b", settings, monkeypatch, reference=REFERENCE)
    for driver, expected in ((None, 0), ("/usr/bin/nvidia-smi", None)):
        monkeypatch.setattr("shutil.which", lambda _name, found=driver: found)
        assert estimate_local(generator, request_of(generator)).vram_bytes == expected


def test_the_disk_and_the_price_are_known_of_every_clip(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = without_weights("wan2.1-t2v-1.3b", settings, monkeypatch)
    figures = estimate_local(generator, request_of(generator, width=416, height=256, num_frames=41))
    assert is_unknown(figures)
    assert figures.disk_bytes == int(416 * 256 * 41 * SEALED_BYTES_PER_PIXEL) + SIGNATURE_BYTES
    assert figures.cost == FREE
    assert figures.cost.amount == 0
    assert "no run of this model has been measured yet" in figures.basis
    assert figures.shortage == ""


def test_an_architecture_that_does_not_ship_is_as_good_as_none(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plug-in's row may name anything."""
    generator = without_weights("wan2.1-t2v-1.3b", settings, monkeypatch, architecture="no-such-model")
    assert configurations_of(generator) is None
    assert is_unknown(estimate_local(generator, request_of(generator)))


def test_every_architecture_a_row_names_ships(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    named = [spec.id for spec in load_catalog() if "architecture" in spec.settings]
    assert named
    for name in named:
        folder = configurations_of(without_weights(name, settings, monkeypatch))
        assert folder is not None
        assert (folder / "model_index.json").is_file()


def test_the_configurations_of_weights_that_are_here_go_before_those_that_ship(
    tmp_path: Path, generator_of: Callable[..., Generator]
) -> None:
    generator: Any = generator_of("svd", save_svd(tmp_path / "svd"))
    assert configurations_of(generator) == tmp_path / "svd"


def test_a_model_that_is_here_is_gone_through_on_this_machine(
    tmp_path: Path, generator_of: Callable[..., Generator], monkeypatch: pytest.MonkeyPatch
) -> None:
    generator: Any = generator_of("wan2.1-t2v-1.3b", save_wan(tmp_path / "wan"), settings={"max_sequence_length": 8})
    figures = estimate_local(generator, request_of(generator, num_inference_steps=2))
    more = estimate_local(generator, request_of(generator, num_inference_steps=100))
    assert figures.vram_bytes == 0
    assert figures.ram_bytes is not None
    assert figures.ram_bytes > 50e6
    assert figures.seconds is not None
    assert more.seconds is not None
    assert 0 < figures.seconds < more.seconds
    assert figures.plan == "all frames decoded at once"
    assert figures.shortage == ""
    assert "what this machine computes" in figures.basis


def test_a_run_that_would_be_refused_is_told_with_its_figures(
    tmp_path: Path, generator_of: Callable[..., Generator], monkeypatch: pytest.MonkeyPatch
) -> None:
    generator: Any = generator_of("wan2.1-t2v-1.3b", save_wan(tmp_path / "wan"), settings={"max_sequence_length": 8})
    monkeypatch.setattr(Budget, "measure", lambda *_: Budget(device_bytes=None, ram_bytes=1 << 20))
    figures = estimate_local(generator, request_of(generator))
    assert "GiB of RAM even by the smallest plan" in figures.shortage
    assert figures.ram_bytes is not None
    assert figures.ram_bytes > 1 << 20
    assert figures.plan == generator._plans(_Cpu, None)[-1].name


class _Cpu:
    is_cpu = True


@pytest.mark.parametrize(("gib", "fits"), [(8.0, True), (0.05, False)])
def test_a_limit_asks_what_a_card_of_that_size_would_do(
    gib: float,
    fits: bool,
    tmp_path: Path,
    studio: Studio,
    limited: Callable[[float], Settings],
    generator_of: Callable[..., Generator],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    studio.__dict__["settings"] = limited(gib)
    generator: Any = generator_of(
        "wan2.1-t2v-1.3b", save_wan(tmp_path / "wan"), settings={"max_sequence_length": 8, "reference": REFERENCE}
    )
    monkeypatch.setattr("pipelines.foresight.measure_throughput", lambda *_: pytest.fail("no such card is here"))
    figures = estimate_local(generator, request_of(generator))
    assert figures.seconds is None  # nobody knows how fast it is
    assert figures.vram_bytes is not None
    assert figures.vram_bytes > 0
    assert (figures.vram_bytes <= gib * GIB) is fits
    assert bool(figures.shortage) is not fits
    assert figures.basis.endswith("for a card with this much memory")
    if not fits:
        assert "GPU memory" in figures.shortage
        assert figures.plan == "weights streamed"


def test_a_row_whose_configuration_cannot_be_read_is_refused_in_one_sentence(
    tmp_path: Path, generator_of: Callable[..., Generator]
) -> None:
    folder = save_wan(tmp_path / "wan")
    (folder / "model_index.json").write_text('{"half')
    generator: Any = generator_of("wan2.1-t2v-1.3b", folder)
    with pytest.raises(StudioError) as refusal:
        estimate_local(generator, request_of(generator))
    assert "\n" not in refusal.value.sentence()
    assert generator.spec.id in refusal.value.sentence()


def test_nothing_is_loaded(
    tmp_path: Path, generator_of: Callable[..., Generator], photo: Conditioning, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator: Any = generator_of("svd", save_svd(tmp_path / "svd"))
    for file in (tmp_path / "svd").rglob("*.safetensors"):
        file.write_bytes(b"")
    monkeypatch.setattr(generator, "_load", lambda *_: pytest.fail("weights were read"))
    resolved = generator.resolve(GenerationRequest(model="svd", seed=5, conditionings=(photo,)))
    figures = estimate_local(generator, resolved)
    assert figures.ram_bytes
