"""The registry turns ids into generators on demand, says what is missing, and takes in plug-ins."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from studio.catalog.loader import Catalog, load_catalog
from studio.catalog.schema import ModelSpec
from studio.config import Settings
from studio.errors import MissingPackage, UnknownModel, UnsupportedValue
from studio.registry import Registry, load_catalog_with_plugins
from studio.request import GenerationRequest

PLUGIN_ROW = """
[[models]]
id = "acme-wave"
name = "Acme Wave"
summary = "for tests"
family = "acme"
where = "remote"
generator = "acme_video.generators:Wave"
tasks = ["text-to-video"]
licence = { id = "proprietary" }

[models.parameters]
width = { min = 64, max = 64, default = 64 }
height = { min = 64, max = 64, default = 64 }
num_frames = { min = 1, max = 9, default = 9 }
frame_rate = { min = 8, max = 8, default = 8 }
"""
PLUGIN_CLASS = """
class Wave:
    key = ""

    def __init__(self, spec, settings):
        self.spec = spec
        self.settings = settings

    def missing(self):
        return "" if Wave.key else "Set ACME_KEY."
"""


def row(model_id: str, **changes: Any) -> ModelSpec:
    side = {"min": 64, "max": 64, "default": 64}
    table = {
        "id": model_id,
        "name": model_id,
        "summary": "for tests",
        "family": "acme",
        "where": "remote",
        "generator": "acme_video.generators:Wave",
        "tasks": ["text-to-video"],
        "licence": {"id": "proprietary"},
        "parameters": {
            "width": side,
            "height": side,
            "num_frames": side,
            "frame_rate": {"min": 8, "max": 8, "default": 8},
        },
    }
    return ModelSpec.model_validate(table | changes)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on sys.path with an installed plug-in: a package and its distribution's metadata."""
    site = tmp_path / "site"
    (site / "acme_video" / "models").mkdir(parents=True)
    (site / "acme_video" / "__init__.py").write_text(
        "from pathlib import Path\n\nMODELS = Path(__file__).parent / 'models'\nNUMBER = 7\n"
    )
    (site / "acme_video" / "generators.py").write_text(PLUGIN_CLASS)
    (site / "acme_video" / "models" / "wave.toml").write_text(PLUGIN_ROW)
    install(site, "acme_video:MODELS")
    monkeypatch.syspath_prepend(site)
    for name in [name for name in sys.modules if name.startswith("acme_video")]:
        monkeypatch.delitem(sys.modules, name)
    return site


def install(site: Path, entry_point: str) -> None:
    metadata = site / "acme_video-1.0.dist-info"
    metadata.mkdir(exist_ok=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-video\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[studio.generators]\nacme = {entry_point}\n")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


def forget_plugin() -> None:
    from studio import registry

    registry._names_in.cache_clear()
    for name in [name for name in sys.modules if name.startswith("acme_video")]:
        del sys.modules[name]


@pytest.fixture(autouse=True)
def _clean() -> Any:
    forget_plugin()
    yield
    forget_plugin()


def test_an_installed_plug_in_adds_its_models(site: Path, settings: Settings) -> None:
    catalog = load_catalog_with_plugins()
    assert catalog.faults == ()
    spec = catalog.get("acme-wave")
    generator = Registry(catalog, settings).generator("acme-wave")
    assert type(generator).__name__ == "Wave"
    assert generator.spec is spec


@pytest.mark.parametrize(
    ("entry_point", "broken_row", "words"),
    [
        ("acme_video:NUMBER", None, "a path"),
        ("acme_video:ABSENT", None, "ABSENT"),
        ("no_such_module:MODELS", None, "no_such_module"),
        ("acme_video:MODELS", "[[models]]\nid = 'x'", "broken.toml: x.name"),
        ("acme_video:MODELS", PLUGIN_ROW.replace("acme-wave", "micro-wan"), "already taken"),
    ],
)
def test_a_broken_plug_in_is_left_out_and_named_and_the_studio_goes_on(
    site: Path, entry_point: str, broken_row: str | None, words: str
) -> None:
    install(site, entry_point)
    if broken_row is not None:
        (site / "acme_video" / "models" / "broken.toml").write_text(broken_row)
    catalog = load_catalog_with_plugins()
    assert catalog.get("micro-wan")
    assert all(spec.id != "acme-wave" for spec in catalog)
    (fault,) = catalog.faults
    assert "'acme'" in fault
    assert words in fault


def test_a_generator_is_made_once_with_its_row_and_the_settings(site: Path, settings: Settings) -> None:
    registry = Registry(Catalog(models=(row("one"), row("two"))), settings)
    one = registry.generator("one")
    assert registry.generator("one") is one
    assert registry.generator("two") is not one
    assert one.spec.id == "one"
    assert vars(one)["settings"] is settings


def test_a_generator_is_the_same_by_each_of_its_names(site: Path, settings: Settings) -> None:
    registry = Registry(Catalog(models=(row("one", aliases=["first", "uno"]),)), settings)
    one = registry.generator("uno")
    assert registry.generator("one") is one
    assert registry.generator("first") is one


@pytest.mark.parametrize(
    ("alias", "words"),
    [
        ("sora", "retired on 2026-09-24; use openai-videos instead"),
        ("veo", "retired on 2026-10-22; use gemini-omni-1.2-flash instead"),
        ("dream-machine", "retired on 2026-11-22; use luma-ray-3.2 instead"),
        ("stability-stable-video", "retired on 2026-06-30; use svd-xt instead"),
        ("gen-3", "retired on 2026-07-30; use runway-gen4-turbo instead"),
        ("gen4_aleph", "retired on 2026-07-30; use runway-aleph2 instead"),
    ],
)
def test_the_usual_name_of_a_model_that_is_gone_says_since_when_and_what_to_use(
    settings: Settings, alias: str, words: str
) -> None:
    with pytest.raises(UnsupportedValue, match=words):
        Registry(load_catalog(), settings).generator(alias)


def test_a_request_by_another_name_is_kept_under_the_rows_id(settings: Settings) -> None:
    generator = Registry(load_catalog(), settings).generator("hailuo")
    assert generator.resolve(GenerationRequest(model="hailuo", prompt="a fox")).model == "minimax-h3"


def test_an_unknown_model_is_refused(settings: Settings) -> None:
    with pytest.raises(UnknownModel):
        Registry(Catalog(models=(row("one"),)), settings).generator("other")


def test_a_model_without_a_class_is_refused_in_its_rows_own_words(settings: Settings) -> None:
    unserved = row("later", generator=None, not_ready="No class is written for diffusers' LaterPipeline yet.")
    registry = Registry(Catalog(models=(row("one"), unserved)), settings)
    assert registry.readiness(unserved).reason == unserved.not_ready
    with pytest.raises(UnsupportedValue, match="LaterPipeline") as caught:
        registry.generator("later")
    assert caught.value.allowed == "one"


def test_a_retired_model_is_refused_with_its_replacement(settings: Settings) -> None:
    retirement = {"retired_on": "2026-01-01", "evidence": "page", "replacement": "one"}
    old = row("old", status="retired", retirement=retirement)
    registry = Registry(Catalog(models=(row("one"), old)), settings)
    assert registry.readiness(old).reason == "This model was retired on 2026-01-01; use one instead."
    with pytest.raises(UnsupportedValue, match="use one instead"):
        registry.generator("old")


def test_readiness_names_what_is_missing_one_thing_after_the_other(site: Path, settings: Settings) -> None:
    weights = {"source": "hub", "repository": "acme/wave"}
    registry = Registry(Catalog(models=()), settings)

    def reason(**changes: Any) -> str:
        readiness = registry.readiness(row("one", where="local", weights=weights, **changes))
        assert not readiness.ready
        return readiness.reason

    assert "acme_video.generators:Absent" in reason(generator="acme_video.generators:Absent")
    assert "no_such_module:Wave" in reason(generator="no_such_module:Wave")
    assert "no_such_package" in reason(requires=["json", "no_such_package"])
    assert "studio models pull one" in reason()
    assert "acme_video.generators" not in sys.modules, "readiness of a local model imports nothing"


def test_a_remote_generator_may_say_what_it_lacks(
    site: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = row("one")
    registry = Registry(Catalog(models=(spec,)), settings)
    assert registry.readiness(spec).reason == "Set ACME_KEY."
    monkeypatch.setattr(sys.modules["acme_video.generators"].Wave, "key", "secret")
    assert registry.readiness(spec).ready


def test_a_package_missing_at_import_is_named(site: Path, settings: Settings) -> None:
    (site / "acme_video" / "generators.py").write_text("import no_such_package\n\nclass Wave: ...\n")
    registry = Registry(Catalog(models=(row("one"),)), settings)
    with pytest.raises(MissingPackage, match="no_such_package"):
        registry.generator("one")
    assert "no_such_package" in registry.readiness(row("one")).reason
