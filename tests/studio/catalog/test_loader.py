"""Every model is a row; rows are read strictly, inherit by table, and say exactly where they are broken."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from studio.catalog.loader import Catalog, load_catalog
from studio.catalog.schema import ModelSpec, Status
from studio.errors import EnvironmentFault, UnknownModel
from studio.request import Task

CATALOG = load_catalog()

ROW = """
[[models]]
id = "acme-one"
name = "Acme One"
summary = "for tests"
family = "acme"
where = "local"
generator = "acme.video:Acme"
tasks = ["text-to-video"]
parameters_count = 7
licence = { id = "Apache-2.0" }

[models.weights]
source = "hub"
repository = "acme/one"
revision = "abc"
size_bytes = 9
variant = "fp16"
sha256 = { "a.safetensors" = "00" }

[models.parameters]
width = { min = 64, max = 256, default = 64, step = 16 }
height = { min = 64, max = 256, default = 64, step = 16 }
num_frames = { min = 5, max = 81, default = 17, step = 4, offset = 1 }
frame_rate = { min = 1, max = 60, default = 16 }
"""
ALIASED = ROW.replace('id = "acme-one"', 'id = "acme-one"\naliases = ["micro"]')
OTHER = '[[models]]\nid = "acme-two"\nextends = "acme-one"\naliases = ["micro"]'


def load(folder: Path, *files: str) -> Catalog:
    for position, text in enumerate(files):
        (folder / f"{position}.toml").write_text(text, encoding="utf-8")
    return load_catalog([folder])


def test_the_studios_own_rows_load_with_unique_ids() -> None:
    ids = [spec.id for spec in CATALOG.models]
    assert len(ids) == len(set(ids))
    assert {"micro-wan", "micro-svd", "svd", "wan2.2-ti2v-5b"} <= set(ids)


def test_models_that_run_out_of_the_box_come_first() -> None:
    assert [spec.id for spec in CATALOG.models[:2]] == ["micro-wan", "micro-svd"]
    served = [spec.generator is not None for spec in CATALOG.models]
    assert served == sorted(served, reverse=True)


@pytest.mark.parametrize("spec", CATALOG.models, ids=lambda spec: spec.id)
def test_a_row_is_complete(spec: ModelSpec) -> None:
    assert spec.generator is None or all(part.isidentifier() for part in spec.generator.replace(":", ".").split("."))
    assert spec.sources, "says where its facts were read"
    assert spec.checked_on is not None
    assert spec.licence.id
    if spec.where == "local":
        assert spec.weights is not None
        assert spec.parameters.frame_rate is not None
    if spec.generator is None:
        assert "diffusers" in spec.not_ready or spec.where == "remote"


def test_an_unknown_id_is_refused_with_the_closest_ones() -> None:
    with pytest.raises(UnknownModel) as caught:
        CATALOG.get("micro-wam")
    assert caught.value.field == "model"
    assert "micro-wan" in (caught.value.allowed or "")
    with pytest.raises(UnknownModel) as caught:
        CATALOG.get("zzzzzzzzzz")
    assert "micro-wan" in (caught.value.allowed or "")


ALIASES = {
    "sora": "sora-2",
    "sora2": "sora-2",
    "veo": "gemini-veo-3.1",
    "veo-3.1": "gemini-veo-3.1",
    "dream-machine": "luma-ray-2",
    "luma-dream-machine": "luma-ray-2",
    "ray-2": "luma-ray-2",
    "stable-video-diffusion": "stability-svd",
    "stability-stable-video": "stability-svd",
    "gen3a_turbo": "runway-gen3a-turbo",
    "gen-3": "runway-gen3a-turbo",
    "gen4_aleph": "runway-gen4-aleph",
    "gen4.5": "runway-gen4.5",
    "gen-4.5": "runway-gen4.5",
    "gen4_turbo": "runway-gen4-turbo",
    "hailuo": "minimax-h3",
    "pika": "fal-pika-2.2",
}


@pytest.mark.parametrize("alias", list(ALIASES))
def test_a_model_is_found_by_the_name_that_people_try(alias: str) -> None:
    assert CATALOG.get(alias) is CATALOG.get(ALIASES[alias])
    assert CATALOG.get(alias).id == ALIASES[alias]


def test_no_alias_is_inherited() -> None:
    assert sorted(alias for spec in CATALOG for alias in spec.aliases) == sorted(ALIASES)


def test_an_id_comes_before_an_alias() -> None:
    one, two = CATALOG.get("micro-wan"), CATALOG.get("micro-svd")
    confused = Catalog(models=(one.model_copy(update={"aliases": (two.id,)}), two))
    assert confused.get(two.id) is two


def test_models_are_found_by_task() -> None:
    from_text = {spec.id for spec in CATALOG.for_task(Task.TEXT_TO_VIDEO)}
    assert "micro-wan" in from_text
    assert "micro-svd" not in from_text


def test_a_row_extends_another_table_by_table(tmp_path: Path) -> None:
    child = """
    [[models]]
    id = "acme-two"
    extends = "acme-one"
    name = "Acme Two"
    parameters.num_frames.default = 33
    """
    two = load(tmp_path, child, ROW).get("acme-two")
    assert two.name == "Acme Two"
    assert two.summary == "for tests"
    assert (two.parameters.num_frames.default, two.parameters.num_frames.max) == (33, 81)
    assert two.weights == load_catalog([tmp_path]).get("acme-one").weights


def test_another_repositorys_commit_digests_and_sizes_are_never_inherited(tmp_path: Path) -> None:
    child = '[[models]]\nid = "acme-two"\nextends = "acme-one"\nweights.repository = "acme/two"'
    two = load(tmp_path, ROW, child).get("acme-two")
    assert two.weights is not None
    assert (two.weights.revision, two.weights.sha256, two.weights.size_bytes) == (None, {}, None)
    assert two.weights.variant == "fp16"
    assert two.parameters_count is None


def test_another_licence_is_never_mixed_with_the_parents(tmp_path: Path) -> None:
    free = ROW.replace('licence = { id = "Apache-2.0" }', 'licence = { id = "Apache-2.0", commercial_use = true }')
    child = '[[models]]\nid = "acme-two"\nextends = "acme-one"\nlicence.id = "Acme Research Licence"'
    assert load(tmp_path, free, child).get("acme-two").licence.commercial_use is None


def test_a_child_is_served_or_says_why_not_but_never_both(tmp_path: Path) -> None:
    unserved = '[[models]]\nid = "acme-two"\nextends = "acme-one"\nnot_ready = "diffusers has no pipeline for it."'
    served = '[[models]]\nid = "acme-three"\nextends = "acme-two"\ngenerator = "acme.video:Other"'
    catalog = load(tmp_path, ROW, unserved, served)
    assert catalog.get("acme-two").generator is None
    assert catalog.get("acme-three").not_ready == ""


def test_a_retirement_is_not_inherited(tmp_path: Path) -> None:
    old = ROW.replace(
        "parameters_count = 7",
        'status = "retired"\nretirement = { retired_on = 2026-01-01, evidence = "page", replacement = "acme-two" }',
    )
    child = '[[models]]\nid = "acme-two"\nextends = "acme-one"\nstatus = "live"'
    catalog = load(tmp_path, old, child)
    assert catalog.get("acme-two").status is Status.LIVE
    assert catalog.get("acme-two").retirement is None


def option(kind: str, default: str, more: str = "") -> str:
    return f"\n[models.parameters.options.pace]\ntype = '{kind}'\ndefault = {default}\nhelp = 'h'\n{more}\n"


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (["[[models]\n"], ["0.toml", "not readable as TOML"]),
        (["[model]\nid = 'a'"], ["0.toml: model", "only [[models]] tables"]),
        (["[models]\nid = 'a'"], ["0.toml: models", "two brackets"]),
        (["[[models]]\nname = 'a'"], ["0.toml: models[0].id", "needs an id"]),
        ([ROW, ROW], ["1.toml: acme-one", "already taken by a row in 0.toml"]),
        ([ROW.replace("acme-one", "micro-wan")], ["0.toml: micro-wan", "micro.toml"]),
        ([ROW.replace("default = 17", "default = 18")], ["0.toml: acme-one.parameters.num_frames", "4k+1"]),
        ([ROW.replace('name = "Acme One"', "")], ["0.toml: acme-one.name", "Field required"]),
        ([ROW.replace("name =", "nmae =")], ["0.toml: acme-one.name"]),
        ([ROW.replace("parameters_count", "weigth")], ["0.toml: acme-one.weigth", "not permitted"]),
        ([ROW.replace("text-to-video", "text-to-song")], ["0.toml: acme-one.tasks.0", "got text-to-song"]),
        ([ROW.replace('name = "Acme One"', 'extends = "nobody"')], ["0.toml: acme-one.extends", "no row 'nobody'"]),
        ([ALIASED.replace("micro", "micro-wan")], ["0.toml: acme-one.aliases", "micro-wan has this name already"]),
        ([ALIASED, OTHER], ["1.toml: acme-two.aliases", "acme-one has this name already"]),
        ([ALIASED.replace("micro", "sora")], ["0.toml: acme-one.aliases", "sora-2 has this name already"]),
        ([ALIASED.replace('"micro"', '"a", "a"')], ["0.toml: acme-one.aliases", "acme-one has this name already"]),
        ([ALIASED.replace("micro", "Micro Wan")], ["0.toml: acme-one.aliases.0"]),
        ([ROW.replace("acme.video:Acme", "acme video")], ["0.toml: acme-one.generator"]),
        ([ROW + "max_pixels = 4000"], ["0.toml: acme-one.parameters", "64x64 has more than 4000 pixels"]),
        ([ROW + "sizes = [[128, 64]]"], ["0.toml: acme-one.parameters", "none of the allowed sizes"]),
        ([ROW + option("integer", "1.5")], ["acme-one.parameters.options.pace", "default 1.5 is not a whole number"]),
        ([ROW + option("number", "true")], ["acme-one.parameters.options.pace"]),
        ([ROW + option("boolean", "1")], ["default 1 is not true or false"]),
        ([ROW + option("number", "9", "max = 8")], ["default 9 is not a number to 8"]),
        ([ROW + option("choice", "'x'", "choices = ['a', 'b']")], ["default 'x' is not a, b"]),
    ],
)
def test_a_broken_row_is_named_by_file_and_field(tmp_path: Path, files: list[str], words: list[str]) -> None:
    with pytest.raises(EnvironmentFault) as caught:
        load(tmp_path, *files)
    for word in words:
        assert word in str(caught.value)


def test_rows_that_extend_each_other_are_refused(tmp_path: Path) -> None:
    circle = '[[models]]\nid = "a"\nextends = "b"\n[[models]]\nid = "b"\nextends = "a"'
    with pytest.raises(EnvironmentFault, match="a -> b -> a"):
        load(tmp_path, circle)


def test_a_replacement_that_is_no_row_is_refused(tmp_path: Path) -> None:
    old = ROW.replace(
        "parameters_count = 7",
        'status = "retired"\nretirement = { retired_on = 2026-01-01, evidence = "page", replacement = "gone" }',
    )
    with pytest.raises(EnvironmentFault, match=r"acme-one\.retirement\.replacement"):
        load(tmp_path, old)


def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault, match="nowhere"):
        load_catalog([tmp_path / "nowhere"])


def test_reading_the_catalog_loads_no_heavy_library() -> None:
    code = (
        "import sys; from studio.config import Settings; from studio import registry;"
        "catalog = registry.load_catalog_with_plugins(); ready = registry.Registry(catalog, Settings());"
        "[ready.readiness(spec) for spec in catalog if spec.where == 'local'];"
        "print([name for name in ('torch', 'diffusers', 'transformers', 'huggingface_hub') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
