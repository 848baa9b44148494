"""Sweeps, repetitions, templates and the keys of entries."""

from __future__ import annotations

import itertools
import json
import re
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from studio.batch.entry import BatchEntry
from studio.batch.reading import read_batch
from studio.batch.sweep import parse_range
from studio.batch.templates import template_of
from studio.errors import UnsupportedValue
from tests.studio.batch.conftest import Read

WHOLE = st.integers(0, 2**40)
AXES = st.dictionaries(
    st.sampled_from(["seed", "width", "height", "num_frames", "num_inference_steps"]),
    st.lists(WHOLE, min_size=1, max_size=4, unique=True),
    max_size=4,
)


def entries_of(jobs: list[dict[str, Any]], **parts: Any) -> tuple[BatchEntry, ...]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "b.json"
        path.write_text(json.dumps({**parts, "jobs": jobs}))
        return read_batch(path).entries


@given(axes=AXES)
@settings(deadline=None)
def test_lists_are_combined_in_the_order_of_the_keys_the_last_one_fastest(axes: dict[str, list[int]]) -> None:
    found = [
        tuple(getattr(entry.request, name) for name in axes) for entry in entries_of([{"model": "m", **axes}])
    ]  # fmt: skip
    assert found == list(itertools.product(*axes.values()))


@given(first=st.integers(-50, 50), length=st.integers(0, 60), step=st.integers(1, 9))
def test_a_range_holds_both_ends(first: int, length: int, step: int) -> None:
    last = first + length
    assert list(parse_range(f"{first}..{last}..{step}") or ()) == list(range(first, last + 1, step))
    assert list(parse_range(f" {first} .. {last} ") or ()) == list(range(first, last + 1))


@pytest.mark.parametrize("words", ["1..3", {"range": [1, 3]}, [1, 2, 3], {"sweep": [1, 2, 3]}, "1..3..1"])
def test_a_range_can_be_written_in_many_ways(words: Any) -> None:
    assert [entry.request.seed for entry in entries_of([{"model": "m", "seed": words}])] == [1, 2, 3]


def test_models_prompts_pictures_and_everything_else_can_be_swept() -> None:
    job = {
        "model": ["m", "n"], "prompt": ["a", "b"], "image": ["x.png", "y.png"], "frame_rate": [8, "24000/1001"],
        "on_fail": ["flag", "hold"], "label": ["text", "icon"], "priority": "1..2", "generate_audio": [True, False],
    }  # fmt: skip
    found = entries_of([job])
    assert len(found) == 2**8
    assert len({entry.key for entry in found}) == 2**8
    assert [entry.request.model for entry in found] == ["m"] * 128 + ["n"] * 128


def test_what_is_a_list_by_nature_is_swept_by_saying_so() -> None:
    job = {
        "model": "m",
        "references": {"sweep": [["a.png", "b.png"], ["c.png"]]},
        "options": {"pan": {"sweep": ["l", "r"]}},
    }
    found = [
        ([item.path.name for item in entry.request.conditionings], entry.request.options["pan"])
        for entry in entries_of([job])
    ]
    assert found == [(["a.png", "b.png"], "l"), (["a.png", "b.png"], "r"), (["c.png"], "l"), (["c.png"], "r")]


def test_cells_are_swept_where_the_column_says_so(read: Read) -> None:
    found = read("b.csv", 'model*,prompt,seed,option.pan*,references*\nm | n,"a | b",1..2,l|r,x.png|y.png\n')
    assert len(found) == 2 * 2 * 2 * 2
    assert {entry.request.prompt for entry in found} == {"a | b"}
    assert [entry.request.seed for entry in found[:5]] == [1, 1, 1, 1, 2]
    assert all(len(entry.request.conditionings) == 1 for entry in found)
    assert [entry.request.seed for entry in read("b.csv", "model,seed*\nm,1..3 | 7\n")] == [1, 2, 3, 7]


def test_repetitions_are_jobs_of_their_own() -> None:
    found = entries_of([{"model": "m", "repeat": 3, "name": "take {take}, job {index}"}, {"model": "n"}])
    assert [entry.name for entry in found] == ["take 1, job 1", "take 2, job 2", "take 3, job 3", None]
    assert len({entry.key for entry in found}) == 4


def test_variables_are_swept_like_fields_in_their_place() -> None:
    job = {"model": "m", "variables": {"c": ["red", "blue"]}, "prompt": "a {c} {s}", "seed": [1, 2]}
    found = entries_of([job], variables={"s": ["star", "cross"]})
    assert [(entry.request.prompt, entry.request.seed) for entry in found] == [
        ("a red star", 1), ("a red star", 2), ("a blue star", 1), ("a blue star", 2),
        ("a red cross", 1), ("a red cross", 2), ("a blue cross", 1), ("a blue cross", 2),
    ]  # fmt: skip


def test_a_variable_multiplies_only_the_prompts_that_name_it() -> None:
    found = entries_of([{"model": "m", "prompt": ["a {c} star", "nothing"]}, {"model": "m", "prompt": "plain"}],
                       variables={"c": ["red", "blue"]})  # fmt: skip
    assert [entry.request.prompt for entry in found] == ["a red star", "nothing", "a blue star", "plain"]


def test_templates_know_the_fields_of_their_job(tmp_path: Path, read: Read) -> None:
    (entry,) = read(
        "b.yaml",
        "- {model: m, seed: 5, guidance_scale: 2.50, frame_rate: 24, prompt: 'a { c }', variables: {c: red},"
        " name: '{prompt} {{x}} {guidance_scale}', output: 'out/{name} {model}-{seed}-{index}.mp4'}",
    )
    assert entry.request.prompt == "a red"
    assert entry.name == "a red {x} 2.5"
    assert entry.output == tmp_path / "out/a red {x} 2.5 m-5-1.mp4"


def test_what_is_filled_in_is_not_read_again() -> None:
    (entry,) = entries_of([{"model": "m", "prompt": "{a}{b}", "variables": {"a": "{b}", "b": "}}{{"}}])
    assert entry.request.prompt == "{b}}}{{"


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=30)


@given(parts=st.lists(st.one_of(TEXT.map(lambda text: (text, False)), st.sampled_from([("a", True), ("b", True)]))))
def test_a_template_is_its_text_with_the_placeholders_replaced(parts: list[tuple[str, bool]]) -> None:
    written = "".join(
        f"{{{text}}}" if is_name else text.replace("{", "{{").replace("}", "}}") for text, is_name in parts
    )
    values = {"a": "{b}", "b": ""}
    expected = "".join(values[text] if is_name else text for text, is_name in parts)
    assert template_of(written).expand(values) == expected


@given(text=st.text(alphabet="{}ab ", max_size=12))
def test_any_text_is_a_template_or_refused(text: str) -> None:
    bare = re.sub(r"\{\{|\}\}", "", text)
    if "{" not in bare and "}" not in bare:
        assert template_of(text).names == frozenset()
        return
    try:
        names = template_of(text).names
    except UnsupportedValue as error:
        names = frozenset((error.fix or "").split()[:1])
    assert all(name.isidentifier() for name in names)


JOBS = st.lists(
    st.fixed_dictionaries(
        {"model": st.sampled_from("mn")},
        optional={
            "seed": st.integers(0, 3),
            "prompt": st.sampled_from(["a", "b {index}"]),
            "repeat": st.integers(1, 3),
        },
    ),
    min_size=1,
    max_size=6,
)


@given(jobs=JOBS, others=JOBS, place=st.integers(0, 6))
@settings(deadline=None)
def test_keys_are_unique_and_outlast_jobs_added_elsewhere(
    jobs: list[dict[str, Any]], others: list[dict[str, Any]], place: int
) -> None:
    added = [{**job, "prompt": "only among the others"} for job in others]
    before = [entry.key for entry in entries_of(jobs)]
    after = [entry.key for entry in entries_of([*jobs[:place], *added, *jobs[place:]])]
    assert len(set(after)) == len(after)
    assert [key for key in after if key in before] == before
    assert before == [entry.key for entry in entries_of(jobs)]


def test_a_sweep_that_grows_keeps_the_keys_it_had() -> None:
    short = entries_of([{"model": "m", "seed": "1..3", "repeat": 2}])
    long = entries_of([{"model": "m", "repeat": 3, "seed": "0..5"}])
    assert {entry.key for entry in short} <= {entry.key for entry in long}


@pytest.mark.parametrize(
    "change", [{"prompt": "b"}, {"seed": 2}, {"image": "b.png"}, {"output": "b.mp4"}, {"options": {"a": 2}}]
)
def test_another_job_has_another_key(change: dict[str, Any]) -> None:
    job = {"model": "m", "prompt": "a", "seed": 1, "image": "a.png", "output": "a.mp4", "options": {"a": 1}}
    assert entries_of([job])[0].key != entries_of([{**job, **change}])[0].key


def test_the_content_of_a_picture_is_no_part_of_a_key(tmp_path: Path, read: Read) -> None:
    keys = set()
    for content in (b"one", b"two"):
        (tmp_path / "a.png").write_bytes(content)
        keys.add(read("b.jsonl", '{"model": "m", "image": "a.png"}')[0].key)
    assert len(keys) == 1
