"""What is wrong with a batch file is told all at once, each with its place."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from studio.batch.faults import BatchFaults
from studio.batch.reading import read_batch
from studio.errors import RequestError
from tests.studio.batch.conftest import Faults, Read

# What a job says that is wrong, and what is said about it.
WRONG: tuple[tuple[str, str, str], ...] = (
    ('"sed": 1', "sed", "did you mean seed"),
    ('"num_frame": 1', "num_frame", "did you mean num_frames"),
    ('"seed": true', "seed", "a whole number"),
    ('"seed": 1.5', "seed", "a whole number"),
    ('"seed": "one"', "seed", "a whole number"),
    ('"seed": {"from": 1}', "seed", "range"),
    ('"seed": [1, true]', "seed", "a whole number"),
    ('"seed": []', "seed", "at least one value"),
    ('"seed": [null]', "seed", "leave it out"),
    ('"seed": "8..1"', "seed", "holds nothing"),
    ('"seed": "1..8..0"', "seed", "holds nothing"),
    ('"seed": "1..999999999999"', "seed", "too long"),
    ('"seed": {"range": [1, "8"]}', "seed", "a whole number"),
    ('"width": "832"', "width", "a whole number"),
    ('"width": [[1]]', "width", "a whole number"),
    ('"guidance_scale": "3"', "guidance_scale", "a number"),
    ('"guidance_scale": true', "guidance_scale", "a number"),
    ('"frame_rate": 0', "frame_rate", "such as 24"),
    ('"frame_rate": "24/0"', "frame_rate", "such as 24"),
    ('"frame_rate": -1', "frame_rate", "such as 24"),
    ('"generate_audio": 1', "generate_audio", "true or false"),
    ('"prompt": 5', "prompt", "put it in quotes"),
    ('"prompt": "a {b"', "prompt", "a brace stands alone"),
    ('"prompt": "a b}"', "prompt", "a brace stands alone"),
    ('"prompt": "{nobody}"', "prompt", "{seed}"),
    ('"prompt": "{model.x}"', "prompt", "no placeholder"),
    ('"prompt": "{model!r}"', "prompt", "no placeholder"),
    ('"prompt": "{seed:04d}"', "prompt", "no placeholder"),
    ('"prompt": "{}"', "prompt", "no placeholder"),
    ('"prompt": "{name}", "name": "x"', "prompt", "nothing has this name"),
    ('"prompt": "{seed}"', "prompt", "gives no value"),
    ('"name": "two\\nlines"', "name", "one line"),
    ('"image": ""', "image", "no path"),
    ('"image": "a\\u0000.png"', "image", "no path"),
    ('"references": 3', "references", "a list of paths"),
    ('"duration_seconds": "5"', "duration_seconds", "a number"),
    ('"on_unsupported": "ignore"', "on_unsupported", "reject or drop"),
    ('"references": []', "references", "a list of paths"),
    ('"references": ["a.png", 3]', "references", "text"),
    ('"task": "text2video"', "task", "text-to-video"),
    ('"label": "logo"', "label", "text, icon or none"),
    ('"on_fail": "retry"', "on_fail", "retry:N"),
    ('"priority": 101', "priority", "-100 to 100"),
    ('"repeat": 0', "repeat", "1 to 100000"),
    ('"repeat": [1, 2]', "repeat", "a whole number"),
    ('"options": [1]', "options", "values by name"),
    ('"options": {"pan": ["a", "b"]}', "option pan", "sweep"),
    ('"options": {"pan": {"a": 1}}', "option pan", "sweep"),
    ('"options": {"pan": {"sweep": []}}', "option pan", "at least one"),
    ('"variables": {"seed": 1}', "seed", "has this name already"),
    ('"variables": {"a b": 1}', "a b", "letters, digits"),
    ('"steps": 4, "num_inference_steps": 4', "num_inference_steps", "twice"),
    ('"seed": 1, "seed": 2', "seed", "twice"),
    ('"output": "{prompt}.mp4", "prompt": "a/b"', "output", "name of a file"),
    ('"prompt": "\\ud800"', "prompt", "half a character"),
)


@pytest.mark.parametrize(("said", "field", "words"), WRONG)
def test_a_wrong_value_is_told_with_its_line_its_field_and_what_is_allowed(
    faults: Faults, said: str, field: str, words: str
) -> None:
    (fault,) = faults("b.jsonl", f'{{"model": "m"}}\n# remark\n{{"model": "m", {said}}}\n')
    assert fault.where == "line 3"
    assert fault.field == field
    assert words in fault.sentence()


@pytest.mark.parametrize(("said", "field", "words"), WRONG)
def test_in_a_document_the_line_is_that_of_the_field(faults: Faults, said: str, field: str, words: str) -> None:
    (fault,) = faults("b.json", f'[\n{{"model": "m"}},\n{{"model": "m",\n\n {said}}}\n]')
    assert fault.where == "jobs[1], line 5"
    assert fault.field == field
    assert words in fault.sentence()


@pytest.mark.parametrize(
    ("column", "cell", "words"),
    [
        ("seed", "seven", "no whole number"),
        ("seed", "7.0", "no whole number"),
        ("seed", "1 | 2", "no whole number"),
        ("guidance_scale", '"3,5"', "write a point"),
        ("guidance_scale", "nan", "no number"),
        ("guidance_scale", "1e999", "not finite"),
        ("generate_audio", "yes", "true or false"),
        ("frame_rate", "24 fps", "no frame rate"),
        ("prompt*", "a | | b", "a value is empty"),
        ("repeat", "1..2", "no whole number"),
        ("option.a.b", "1", ""),
        ("options", "1", "no job has this field"),
        ("Seed", "1", "did you mean seed"),
    ],
)
def test_a_wrong_cell_is_told_with_its_row(read: Read, column: str, cell: str, words: str) -> None:
    content = f"model,{column}\nm,\nm,{cell}\n"
    if not words:
        assert read("b.csv", content)
        return
    with pytest.raises(BatchFaults) as caught:
        read("b.csv", content)
    (fault,) = caught.value.faults
    assert fault.where == "row 3"
    assert words in fault.sentence()


def test_rows_and_cells_that_do_not_fit_the_header_are_refused(faults: Faults) -> None:
    first, second, third = faults("b.csv", "model,seed,seed,\nm,,,\nm,1,,stray\nm,1,,,\nm,1,2,3,4\n")
    assert (first.where, first.field) == ("row 1", "seed")
    assert (second.where, second.got) == ("row 3", "stray")
    assert (third.where, third.got) == ("row 5", "3")


def test_a_broken_quotation_names_its_row(faults: Faults) -> None:
    (fault,) = faults("b.csv", 'model,prompt\nm,a\nm,"a" b\n')
    assert fault.where == "row 3"
    assert "no CSV" in fault.message


def test_yaml_names_the_line_of_the_field(faults: Faults) -> None:
    content = (
        "variables:\n  c: [red]\njobs:\n- model: m\n  prompt: '{c}'\n\n  seed: x\n-\n  model: m\n  model: n\n- 5\n"
    )
    first, second, third = faults("b.yaml", content)
    assert (first.where, first.field) == ("jobs[0], line 7", "seed")
    assert (second.where, second.field) == ("jobs[1], line 10", "model")
    assert (third.where, third.got) == ("jobs[2], line 11", "5")


@pytest.mark.parametrize(
    ("content", "line", "words"),
    [
        ("jobs:\n\t- model: m", 2, "no YAML"),
        ("- model: m\n--- \n- model: n", 3, "second document"),
        ("- &a {model: m}\n- *b", 2, "stands for nothing"),
        ("- &a [*a]", 1, "stands for nothing"),
        ("- model: !!python/object/apply:os.system [ls]", 1, "tags are not read"),
        ("- ? [a]\n  : b", 1, "no name for a field"),
        ("- <<: [1]\n  model: m", 1, "only a mapping"),
        ("[" * 100_000, 1, "nested too deeply"),
        ("{a: " * 100_000, 1, "nested too deeply"),
        ("- " * 10_000, 1, "nested too deeply"),
    ],
)
def test_yaml_that_is_broken_or_hostile_is_refused(faults: Faults, content: str, line: int, words: str) -> None:
    (fault,) = faults("b.yaml", content)
    assert fault.where == f"line {line}"
    assert words in fault.sentence()


def test_aliases_that_unfold_without_end_are_refused_at_once(faults: Faults) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    (fault,) = faults("b.yaml", "\n".join(lines))
    assert "unfold" in fault.message


def test_every_fault_of_a_file_is_told_in_its_order(faults: Faults, read: Read) -> None:
    content = (
        '{"model": "m", "seed": true, "width": "a"}\n{"model": "m"}\n[]\n{"prompt": "x"}\n{"model": "m", "x": 1}\n'
    )
    places = [(fault.where, fault.field) for fault in faults("b.jsonl", content)]
    assert places == [
        ("line 1", "seed"),
        ("line 1", "width"),
        ("line 3", None),
        ("line 4", "model"),
        ("line 5", "x"),
    ]
    with pytest.raises(RequestError) as caught:
        read("b.jsonl", content)
    assert caught.value.sentence().startswith("seed: b.jsonl, line 1: this is true or false (the first of 5 faults)")
    told = caught.value.as_json()
    assert [fault["where"] for fault in told["faults"]] == [where for where, _field in places]
    assert json.loads(json.dumps(told)) == told


def test_a_fault_of_a_sweep_or_of_the_defaults_is_told_once(faults: Faults) -> None:
    (swept,) = faults("b.jsonl", '{"model": "m", "seed": "1..100", "output": "{prompt}.mp4", "prompt": "a/b"}')
    assert swept.field == "output"
    (default,) = faults("b.json", '{"defaults": {"model": 5},\n "jobs": [{}, {}, {}]}')
    assert default.where == "defaults, line 1"


def test_a_variable_that_nothing_uses_is_refused(faults: Faults) -> None:
    (fault,) = faults("b.yaml", "variables:\n  colour: red\njobs:\n- {model: m, prompt: a}\n")
    assert (fault.where, fault.field) == ("variables, line 2", "colour")


@pytest.mark.parametrize(
    "content",
    [
        b"\x00" * 100,
        b"\xff\xfe[\x00]\x00",
        "model,prompt\nm,caf\xe9\n".encode("latin-1"),
        bytes(range(256)),
        b"PK\x03\x04" + bytes(1000),
        b"[" * 1_000_000,
        b'{"jobs":[{"a":' + b"[" * 1_000_000,
        b'{"a":' * 100_000,
        b"null",
        b"NaN",
        b"1e999",
        b"-",
        b'{"jobs": null}',
        b'[null, 1, "a", [], {}]',
        b'{"model": "m", "seed": ' + b"9" * 10_000 + b"}",
        b'[{"model": "m", "guidance_scale": 1e999}]',
        b'[{"model": "m", "guidance_scale": -Infinity}]',
        b'[{"model": "m", "guidance_scale": NaN}]',
        b'[{"model": "m", "prompt": "\x01"}]',
        b'"' * 100_001,
        b"a: b: c",
        b"@",
        b"%",
    ],
)
@pytest.mark.parametrize("name", ["b.jsonl", "b.json", "b.csv", "b.yaml"])
def test_whatever_lies_in_a_file_is_refused_in_a_sentence(faults: Faults, name: str, content: bytes) -> None:
    found = faults(name, content)
    assert all(fault.where and fault.sentence().isprintable() for fault in found)


def test_a_sweep_beyond_the_limit_is_refused_before_it_is_made(faults: Faults) -> None:
    axes = ", ".join(f'"{name}": "1..100000"' for name in ("seed", "width", "height", "num_frames"))
    (fault,) = faults("b.jsonl", f'{{"model": "m", {axes}}}')
    assert fault.allowed == "up to 100,000"


def test_templates_cannot_fill_the_memory(faults: Faults) -> None:
    (fault,) = faults("b.json", json.dumps([{"model": "m", "prompt": "{x}" * 300, "variables": {"x": "y" * 9000}}]))
    assert "too long" in fault.message
    each = {"model": "m", "prompt": "{x}{x}", "seed": "1..20000", "variables": {"x": "y" * 9000}}
    (fault,) = faults("b.json", json.dumps([each]))
    assert "together" in fault.message


@given(seed=st.integers(0, 2**32), times=st.integers(1, 8), suffix=st.sampled_from(["jsonl", "json", "csv", "yaml"]))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_good_file_with_some_bytes_changed_is_read_or_refused(
    tmp_path: Path, seed: int, times: int, suffix: str
) -> None:
    rng = random.Random(seed)
    content = bytearray(GOOD[suffix].encode())
    for _ in range(times):
        place = rng.randrange(len(content))
        content[place : place + rng.randrange(3)] = bytes([rng.choice([*b'{}[]",:|;.\n\t &*#!<-', rng.randrange(256)])])
    path = tmp_path / f"b.{suffix}"
    path.write_bytes(content)
    found = read_or_refuse(path)
    assert found
    assert all(words.isprintable() for words in found)


def read_or_refuse(path: Path) -> list[str]:
    """Return where the entries of a file stand, or what is said about it."""
    try:
        return [entry.where for entry in read_batch(path).entries]
    except BatchFaults as error:
        return [error.sentence(), *(fault.sentence() for fault in error.faults)]


GOOD = {
    "jsonl": '{"model": "m", "prompt": ["a {b}", "c"], "seed": "1..3", "variables": {"b": [1, 2.5, true]}}\n# x\n',
    "json": '{"defaults": {"model": "m", "options": {"a": 1}}, "jobs": [{"prompt": "x", "image": "a.png"}]}',
    "csv": 'model,prompt*,seed,option.a\nm,"x | y",1..3,5\n',
    "yaml": "defaults: &d\n  model: m\njobs:\n- prompt: [a, 'b']\n  seed: 1..3\n- <<: *d\n  options: {a: .5}\n",
}
