"""The same batch, written in four formats."""

from __future__ import annotations

import hashlib
from fractions import Fraction
from pathlib import Path

import pytest

from studio.batch.reading import read_batch
from studio.consistency.policy import Policy
from studio.errors import RequestError, UnsupportedValue
from studio.request import Conditioning, Role, Task
from tests.studio.batch.conftest import Faults, Read

JSONL = """# a comment, and an empty line

{"model": "m", "prompt": "a fox", "seed": 7, "steps": 4, "frame_rate": "24000/1001", "options": {"pan": "left"}}
{"model": "n", "prompt": "a {owl}", "guidance_scale": 2.5, "variables": {"owl": "barn owl"}, "generate_audio": true}
"""
JSON = """{
  "defaults": {"model": "m", "options": {"pan": "left"}},
  "jobs": [
    {"prompt": "a fox", "seed": 7, "num_inference_steps": 4, "frame_rate": "24000/1001"},
    {
      "model": "n",
      "options": {"pan": null},
      "prompt": "a {owl}", "guidance_scale": 2.5, "variables": {"owl": "barn owl"}, "generate_audio": true
    }
  ]
}"""
CSV = """model,prompt,seed,steps,frame_rate,option.pan,guidance_scale,variable.owl,generate_audio
m,a fox,7,4,24000/1001,left,,,

n,a {owl},,,,,2.5,barn owl,TRUE
"""
YAML = """
defaults: &usual
  model: m
jobs:
  - prompt: a fox
    seed: 7
    steps: 4
    frame_rate: 24000/1001
    options: {pan: left}
  - <<: *usual
    model: n
    prompt: a {owl}
    guidance_scale: 2.5
    variables:
      owl: barn owl
    generate_audio: true
"""
FORMATS = {"b.jsonl": JSONL, "b.json": JSON, "b.csv": CSV, "b.yaml": YAML}
PLACES = {
    "b.jsonl": ["line 3", "line 4"],
    "b.json": ["jobs[0], line 4", "jobs[1], line 5"],
    "b.csv": ["row 2", "row 4"],
    "b.yaml": ["jobs[0], line 5", "jobs[1], line 10"],
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_says_the_same(read: Read, name: str) -> None:
    first, second = read(name, FORMATS[name])
    assert first.request.model == "m"
    assert first.request.prompt == "a fox"
    assert first.request.seed == 7
    assert first.request.num_inference_steps == 4
    assert first.request.frame_rate == Fraction(24000, 1001)
    assert first.request.options == {"pan": "left"}
    assert second.request.model == "n"
    assert second.request.prompt == "a barn owl"
    assert second.request.guidance_scale == 2.5
    assert second.request.generate_audio is True
    assert second.request.options == {}
    assert second.request.seed is None
    assert [entry.number for entry in (first, second)] == [1, 2]
    assert [entry.where for entry in (first, second)] == PLACES[name]


def test_every_format_gives_an_entry_the_same_key(read: Read) -> None:
    keys = {tuple(entry.key for entry in read(name, content)) for name, content in FORMATS.items()}
    assert len(keys) == 1


def test_what_belongs_to_the_job_and_not_to_the_request_is_kept_beside_it(read: Read, tmp_path: Path) -> None:
    (entry,) = read(
        "b.json",
        '[{"model": "m", "name": "Opening", "priority": -5, "on_fail": "retry:3", "label": "icon", "output": "o.mp4",'
        ' "task": "text-to-video", "negative-prompt": "fog"}]',
    )
    assert (entry.name, entry.priority, entry.label) == ("Opening", -5, "icon")
    assert entry.on_fail == Policy.parse("retry:3")
    assert entry.output == tmp_path / "o.mp4"
    assert entry.request.task is Task.TEXT_TO_VIDEO
    assert entry.request.negative_prompt == "fog"


def test_pictures_are_looked_for_beside_the_batch_file(read: Read, tmp_path: Path) -> None:
    (entry,) = read(
        "b.yaml",
        "- {model: m, image: in/a.png, last_frame: /b.png, references: [c.png, d.png], source_video: ../e.mp4}",
    )
    assert entry.request.conditionings == (
        Conditioning(role=Role.FIRST_FRAME, path=tmp_path / "in/a.png"),
        Conditioning(role=Role.LAST_FRAME, path=Path("/b.png")),
        Conditioning(role=Role.SOURCE_VIDEO, path=tmp_path / "../e.mp4"),
        Conditioning(role=Role.REFERENCE, path=tmp_path / "c.png"),
        Conditioning(role=Role.REFERENCE, path=tmp_path / "d.png"),
    )


def test_the_words_of_the_command_line_will_do_as_well(read: Read, tmp_path: Path) -> None:
    (entry,) = read(
        "b.yaml", "- {model: m, image: a.png, last_image: b.png, reference: c.png, video: d.mp4, audio: true}"
    )
    assert [item.role for item in entry.request.conditionings] == [
        Role.FIRST_FRAME,
        Role.LAST_FRAME,
        Role.SOURCE_VIDEO,
        Role.REFERENCE,
    ]
    assert entry.request.generate_audio is True


def test_size_and_length_may_be_given_by_their_names(read: Read) -> None:
    written = "{model: m, resolution: 720p, aspect_ratio: 16:9, duration_seconds: [5, 2.5], on_unsupported: drop}"
    first, second = read("b.yaml", f"- {written}")
    assert (first.request.resolution, first.request.aspect_ratio) == ("720p", "16:9")
    assert (first.request.duration_seconds, second.request.duration_seconds) == (5, 2.5)
    assert first.request.on_unsupported == "drop"
    (cell,) = read("b.csv", "model,aspect_ratio,duration,on_unsupported\nm,9:16,4,drop\n")
    assert (cell.request.aspect_ratio, cell.request.duration_seconds) == ("9:16", 4)
    assert read("c.json", '[{"model": "m"}]')[0].request.on_unsupported == "reject"


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_tables_are_read_as_spreadsheets_write_them(read: Read, separator: str, mark: str, end: str) -> None:
    rows = [["model", "prompt", "references", "width"], ["m", '"a, b; c\nsecond ""line"""', "x.png | y.png", "832"]]
    (entry,) = read("b.csv", mark + end.join(separator.join(row) for row in rows) + end)
    assert entry.request.prompt == 'a, b; c\nsecond "line"'
    assert entry.request.width == 832
    assert [item.path.name for item in entry.request.conditionings] == ["x.png", "y.png"]


def test_words_of_yaml_are_read_as_they_look(read: Read) -> None:
    (entry,) = read("b.yaml", "- {model: m, name: no, label: none, prompt: 12:30, seed: 010, width: null}")
    assert (entry.name, entry.label, entry.request.prompt) == ("no", "none", "12:30")
    assert (entry.request.seed, entry.request.width) == (10, None)


def test_null_takes_a_default_back(read: Read) -> None:
    first, second = read("b.json", '{"defaults": {"model": "m", "seed": 3}, "jobs": [{}, {"seed": null}]}')
    assert (first.request.seed, second.request.seed) == (3, None)


def test_a_batch_knows_its_file_by_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "b.jsonl"
    path.write_text('{"model": "m"}')
    batch = read_batch(path)
    assert batch.path == path
    assert batch.digest == hashlib.sha256(b'{"model": "m"}').hexdigest()


@pytest.mark.parametrize("content", ["", " \n\t\n", "\ufeff", "# only a comment", "[]", "jobs: []", "model,prompt\n"])
@pytest.mark.parametrize("name", ["b.jsonl", "b.json", "b.csv", "b.yaml"])
def test_a_file_without_a_job_is_refused(faults: Faults, name: str, content: str) -> None:
    assert faults(name, content)


def test_a_file_that_cannot_be_read_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "folder.json").mkdir()
    for name, words in (("none.json", "no such file"), ("folder.json", "no plain file"), ("b.txt", "by its ending")):
        with pytest.raises(RequestError, match=words) as caught:
            read_batch(tmp_path / name)
        assert str(tmp_path / name) in caught.value.sentence()


def test_a_file_that_is_far_too_large_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "b.jsonl"
    with open(path, "wb") as stream:
        stream.truncate(64 * 2**20 + 1)
    with pytest.raises(RequestError, match="64 MiB"):
        read_batch(path)


def test_more_jobs_than_a_batch_may_have_are_refused(faults: Faults) -> None:
    (fault,) = faults("b.jsonl", '{"model":"m"}\n' * 100_001)
    assert fault.allowed == "up to 100,000"


def test_an_unknown_ending_names_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedValue) as caught:
        read_batch(tmp_path / "b.xlsx")
    assert ".csv" in (caught.value.allowed or "")
