"""A batch is looked at whole before its first job starts."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from studio.app import Studio
from studio.batch.faults import BatchFaults, BatchNotReady
from studio.batch.reading import read_batch
from studio.batch.validation import validate
from studio.delivery import check_destination
from studio.errors import MissingPackage
from studio.request import ResolvedRequest
from studio.resolving import material as reading

Validate = Callable[..., tuple[ResolvedRequest, ...]]
JOB = {"model": "scripted-moving"}


@pytest.fixture
def check(studio: Studio, tmp_path: Path) -> Validate:
    """Write jobs into a file, read it, and validate it as the studio does."""

    def write_and_validate(jobs: Sequence[dict[str, Any]], missing: str = "") -> tuple[ResolvedRequest, ...]:
        path = tmp_path / "b.jsonl"
        path.write_text("\n".join(json.dumps(job) for job in jobs))
        destination = partial(check_destination, suffix=".mp4", overwrite=False, home=studio.settings.home)
        return validate(read_batch(path), studio.resolve, lambda _model: missing, destination)

    return write_and_validate


def picture(path: Path, height: int = 128, width: int = 160) -> Path:
    cv2.imwrite(str(path), np.random.default_rng(1).integers(0, 255, (height, width, 3), np.uint8))
    return path


def test_every_request_comes_back_resolved_in_order_with_seeds_drawn(check: Validate, tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    first, second, third = check([{**JOB, "seed": 5}, {**JOB, "repeat": 2, "image": "a.png", "output": "{take}.mp4"}])
    assert first.seed == 5
    assert first.width == 160
    assert second.seed != third.seed
    assert second.conditionings[0].path == tmp_path / "a.png"
    assert second.conditionings[0].sha256


def test_all_that_stands_in_the_way_is_told_at_once(check: Validate, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing more")
    (tmp_path / "there.mp4").write_bytes(b"x")
    jobs = [
        {"model": "nobody"},
        {**JOB, "width": 100},
        {**JOB, "image": "none.png"},
        {**JOB, "image": "bad.png"},
        {**JOB, "options": {"shadow": 1}},
        {**JOB, "task": "image-to-video"},
        {**JOB, "last_frame": "none.png", "task": "image-to-video", "image": "bad.png"},
        {**JOB, "output": "a.mov"},
        {**JOB, "output": "nowhere/a.mp4"},
        {**JOB, "output": "there.mp4", "seed": -1},
        {**JOB, "seed": 1},
    ]
    with pytest.raises(BatchFaults) as caught:
        check(jobs)
    told = [(fault.where, fault.field) for fault in caught.value.faults]
    assert told == [
        ("line 1", "model"), ("line 2", "width"), ("line 3", "image"), ("line 4", "image"), ("line 5", "option"),
        ("line 6", "image"), ("line 7", "last_frame"), ("line 8", "output"), ("line 9", "output"),
        ("line 10", "output"), ("line 10", "seed"),
    ]  # fmt: skip
    assert "the first of 11 faults" in caught.value.sentence()


def test_advice_names_the_keys_of_the_file_and_no_arguments(check: Validate) -> None:
    with pytest.raises(BatchFaults) as caught:
        check([{**JOB, "task": "image-to-video"}])
    assert caught.value.fix == "add image"


def test_two_jobs_never_write_the_same_file(check: Validate, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "link").symlink_to("out")
    with pytest.raises(BatchFaults) as caught:
        check(
            [
                {**JOB, "output": "out/a.mp4"},
                {**JOB, "output": "link/a.mp4"},
                {**JOB, "seed": "1..9", "output": "b.mp4"},
            ]
        )
    second, swept = caught.value.faults
    assert (second.where, swept.where) == ("line 2", "line 3")
    assert "job 1 (line 1) writes this file too" in second.sentence()
    assert "{seed}" in (swept.fix or "")


def test_no_output_replaces_what_another_job_starts_from(studio: Studio, tmp_path: Path) -> None:
    path = tmp_path / "b.jsonl"
    jobs = [{**JOB, "output": "a.mp4"}, {**JOB, "source_video": "a.mp4"}]
    path.write_text("\n".join(json.dumps(job) for job in jobs))
    with pytest.raises(BatchFaults) as caught:
        validate(read_batch(path), studio.resolve, lambda _model: "")
    first = caught.value.faults[0]
    assert (first.where, first.field) == ("line 1", "output")
    assert "job 2 (line 2) starts from this file" in first.message


def test_a_machine_that_lacks_something_is_another_matter_than_a_wrong_file(check: Validate) -> None:
    reason = "The weights are not on this machine; run `studio models pull scripted-moving`."
    with pytest.raises(BatchNotReady) as caught:
        check([JOB, {**JOB, "seed": "1..50"}], missing=reason)
    assert [fault.where for fault in caught.value.faults] == ["line 1", "line 2"]
    assert caught.value.fix == "run `studio models pull scripted-moving`"
    with pytest.raises(BatchFaults) as wrong:
        check([JOB, {**JOB, "width": 1}], missing=reason)
    assert len(wrong.value.faults) == 2


def test_a_missing_package_is_the_machines_fault(tmp_path: Path) -> None:
    path = tmp_path / "b.jsonl"
    path.write_text('{"model": "m"}')

    def resolve(_request: object) -> ResolvedRequest:
        raise MissingPackage("m needs the Python package x")

    with pytest.raises(BatchNotReady, match="line 1"):
        validate(read_batch(path), resolve, lambda _model: "")


def test_a_picture_is_read_once_for_all_jobs_and_read_anew_the_next_time(
    check: Validate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture(tmp_path / "a.png", 1500, 2000)
    read, reads = reading.read_image, []
    monkeypatch.setattr(reading, "read_image", lambda path, field: reads.append(path) or read(path, field=field))
    jobs = [{**JOB, "image": "a.png", "seed": "1..200"}, {**JOB, "image": "a.png", "width": 64}]
    small = check(jobs)[-1]
    assert len(reads) == 1
    assert "scaled to cover 64x128" in small.warnings[0]
    picture(tmp_path / "a.png", 64, 64)
    again = check(jobs)
    assert len(reads) == 2
    assert again[0].conditionings[0].sha256 != small.conditionings[0].sha256


def test_ten_thousand_jobs_are_validated_within_five_seconds(check: Validate, tmp_path: Path) -> None:
    picture(tmp_path / "a.png", 1500, 2000)
    jobs = [{**JOB, "prompt": f"shot {n}: a fox crosses a street at night", "image": "a.png"} for n in range(10_000)]
    started = time.process_time()
    assert len(check(jobs)) == 10_000
    assert time.process_time() - started < 5
