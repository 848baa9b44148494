"""Options that many rows share are named, not repeated; a row's own go before, a wrong name is told with its row."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from studio.catalog.loader import Catalog, load_catalog
from studio.catalog.option_sets import UnknownOptionSet, read_option_sets, with_option_sets
from studio.errors import EnvironmentFault
from tests.studio.catalog.test_loader import ROW

SETS: dict[str, dict[str, dict[str, Any]]] = {
    "local": {
        "speed": {"type": "choice", "default": "exact", "choices": ["exact"], "help": "how"},
        "compile": {"type": "boolean", "default": False, "help": "first"},
    },
    "more": {"compile": {"type": "boolean", "default": True, "help": "second"}},
}
NAMED = ROW + 'option_sets = ["local"]\n'


def options_of(table: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = with_option_sets(table, SETS)["parameters"]["options"]
    return found


def load(folder: Path, text: str) -> Catalog:
    (folder / "acme.toml").write_text(text, encoding="utf-8")
    return load_catalog([folder])


def test_a_row_has_the_options_of_the_sets_it_names() -> None:
    assert options_of({"parameters": {"option_sets": ["local"]}}) == SETS["local"]


def test_of_two_sets_the_later_goes_before() -> None:
    assert options_of({"parameters": {"option_sets": ["local", "more"]}})["compile"]["help"] == "second"
    assert options_of({"parameters": {"option_sets": ["more", "local"]}})["compile"]["help"] == "first"


def test_a_rows_own_options_go_before_key_by_key_and_others_stay() -> None:
    own = {"compile": {"default": True}, "motion": {"type": "integer", "default": 3}}
    found = options_of({"parameters": {"option_sets": ["local"], "options": own}})
    assert found["compile"] == {"type": "boolean", "default": True, "help": "first"}
    assert found["motion"] == own["motion"]
    assert list(found) == ["compile", "motion", "speed"]  # its own first, as they are written


def test_the_profiles_of_a_row_are_choices_of_its_speed() -> None:
    table = {"parameters": {"option_sets": ["local"]}, "settings": {"profiles": {"fast": {}, "fastest": {}}}}
    assert options_of(table)["speed"]["choices"] == ["exact", "fast", "fastest"]
    assert options_of({"parameters": {"option_sets": ["local"]}})["speed"]["choices"] == ["exact"]


def test_neither_the_sets_nor_the_row_are_changed() -> None:
    table = {
        "parameters": {"option_sets": ["local"], "options": {"compile": {"default": True}}},
        "settings": {"profiles": {"fast": {}}},
    }
    before = copy.deepcopy((table, SETS))
    with_option_sets(table, SETS)
    assert (table, SETS) == before


@pytest.mark.parametrize("table", [{}, {"parameters": {}}, {"parameters": {"option_sets": []}}, {"parameters": 3}])
def test_a_row_that_names_none_stays_as_it_is(table: dict[str, Any]) -> None:
    assert with_option_sets(table, SETS) is table


def test_an_unknown_set_is_named() -> None:
    with pytest.raises(UnknownOptionSet, match="lokal"):
        with_option_sets({"parameters": {"option_sets": ["local", "lokal"]}}, SETS)


def test_the_error_names_file_row_and_set(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault) as fault:
        load(tmp_path, NAMED.replace('"local"]', '"local", "lokal"]'))
    told = fault.value.sentence()
    assert "acme.toml: acme-one.parameters.option_sets" in told
    assert "there is no such set of options" in told
    assert "lokal" in told
    assert "\n" not in told


MISWRITTEN = {
    "a word instead of a list": NAMED.replace('["local"]', '"local"'),
    "a number instead of a list": NAMED.replace('["local"]', "3"),
    "a list in the list": NAMED.replace('["local"]', '[["local"]]'),
    "a number in the list": NAMED.replace('["local"]', "[3]"),
    "an option that is no table": NAMED + "options = { compile = 3 }\n",
    "options that are no table": NAMED + 'options = "compile"\n',
    "settings that are no table": NAMED.replace('family = "acme"', 'family = "acme"\nsettings = 3'),
}


@pytest.mark.parametrize("text", MISWRITTEN.values(), ids=MISWRITTEN)
def test_a_miswritten_row_is_told_in_one_sentence_with_its_file(tmp_path: Path, text: str) -> None:
    with pytest.raises(EnvironmentFault, match=r"acme\.toml: acme-one") as fault:
        load(tmp_path, text)
    assert "\n" not in fault.value.sentence()


def test_a_plug_ins_row_takes_the_studios_sets(tmp_path: Path) -> None:
    options = load(tmp_path, NAMED).get("acme-one").parameters.options
    assert options.keys() == read_option_sets()["local"].keys()
    assert options["speed"].default == "exact"


def test_a_row_inherits_the_sets_of_the_one_it_extends_and_may_do_without(tmp_path: Path) -> None:
    child = '\n[[models]]\nid = "acme-two"\nextends = "acme-one"\n'
    profiles = '[models.settings.profiles.fast]\nscheduler = "lcm"\n'
    without = '\n[[models]]\nid = "acme-three"\nextends = "acme-one"\nparameters = { option_sets = [] }\n'
    catalog = load(tmp_path, NAMED + child + profiles + without)
    assert catalog.get("acme-two").parameters.options["speed"].choices == ("exact", "fast")
    assert catalog.get("acme-one").parameters.options["speed"].choices == ("exact",)
    assert catalog.get("acme-three").parameters.options == {}


def test_every_shared_option_is_one_that_leaves_all_as_it_is_and_says_what_it_does() -> None:
    for options in read_option_sets().values():
        for option in options.values():
            assert option["help"]
            assert option["default"] in (*option.get("choices", ()), "", False)


def test_the_studios_own_local_rows_take_the_local_set() -> None:
    shared = read_option_sets()["local"].keys()
    rows = [spec for spec in load_catalog() if spec.where == "local" and spec.generator is not None]
    assert rows
    for spec in rows:
        assert shared <= spec.parameters.options.keys(), spec.id
