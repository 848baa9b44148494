"""The benchmark for GPUs runs in miniature on a CPU, and judges what it finds by the targets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.local_speed import targets
from benchmarks.local_speed.__main__ import SECTIONS, main, measure
from benchmarks.local_speed.bench import Bench
from benchmarks.local_speed.micro import CASES
from benchmarks.local_speed.micro import measure as measure_case
from benchmarks.local_speed.pairing import as_it_is, in_turns, ratio, relative_l2
from benchmarks.local_speed.sizes import FULL, TINY
from benchmarks.svd_memory.results import Results

pytestmark = pytest.mark.filterwarnings("ignore")

CPU = torch.device("cpu")
GIB = 2**30


@pytest.fixture
def bench() -> Bench:
    return Bench(device=CPU, dtype=torch.float32, size=TINY)


def measured(section: str, bench: Bench) -> list[dict[str, Any]]:
    results = Results(path=None, about={})
    with torch.inference_mode():
        measure(results, section, bench)
    return results.rows


def assert_sound(rows: list[dict[str, Any]]) -> None:
    """No row failed, no number is broken, and what is said to be exact is."""
    assert rows
    assert [row for row in rows if "failed" in row] == []
    assert all(row.get("is_finite", True) for row in rows)
    for row in rows:
        if row.get("is_exact", True):
            distances = [row.get(name, 0.0) for name in ("relative_l2", "latents_relative_l2", "frames_relative_l2")]
            assert max(distances) < 1e-4, row["name"]


@pytest.mark.parametrize("section", ["decode", "temporal", "hunyuan"])
def test_a_section_runs_in_miniature(section: str, bench: Bench) -> None:
    rows = measured(section, bench)
    assert_sound(rows)
    for row in rows:
        assert "median_ms" in row or "skipped" in row or "ways" in row


@pytest.mark.slow
@pytest.mark.parametrize("section", ["step", "clip", "caps"])
def test_a_long_section_runs_in_miniature(section: str, bench: Bench) -> None:
    rows = measured(section, bench)
    assert_sound(rows)
    if section == "clip":  # stock's recipe is seen to change the picture
        assert [row["frames_relative_l2"] > 1e-2 for row in rows if not row.get("is_exact", True)] == [True]


def test_a_section_that_cannot_run_does_not_take_the_others_along(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_bench: Bench) -> Any:
        raise RuntimeError("out of luck\nin many lines")

    monkeypatch.setattr("benchmarks.local_speed.hunyuan.rows", broken)
    assert measured("hunyuan", bench) == [
        {"section": "hunyuan", "name": "the whole section", "failed": "RuntimeError: out of luck"}
    ]


def test_a_way_that_fails_is_a_row_that_says_so(bench: Bench) -> None:
    def broken() -> torch.Tensor:
        raise torch.OutOfMemoryError("too large")

    def sound() -> torch.Tensor:
        return torch.ones(3)

    row = bench.compare("ours", as_it_is(sound), as_it_is(broken))
    assert row == {"name": "ours", "failed": "OutOfMemoryError: too large"}
    row = bench.compare("ours", as_it_is(broken), as_it_is(sound))
    assert row["stock"] == {"failed": "OutOfMemoryError: too large"}
    assert row["median_ms"] > 0
    assert "times_faster" not in row


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, marks=[pytest.mark.slow] if "svd" in case.model else []) for case in CASES],
    ids=lambda case: case.name,
)
def test_the_small_models_make_the_same_frames_on_both_sides(case: Any) -> None:
    row = measure_case(case, rounds=1, num_steps=2)
    assert row["most_levels_apart"] <= 1
    assert row["stock"]["median_ms"] > 0
    assert row["times_faster"] == pytest.approx(row["stock"]["median_ms"] / row["ours"]["median_ms"])


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["local_speed", "--gpu"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 3
    assert "no CUDA device" in capsys.readouterr().err


def test_a_section_that_is_not_there_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["local_speed", "--tiny", "--only", "decode,sleep"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    assert "'sleep'" in capsys.readouterr().err


def test_the_full_size_is_that_of_the_checkpoint() -> None:
    assert tuple(FULL.svd["unet"]["block_out_channels"]) == (320, 640, 1280, 1280)
    assert FULL.num_steps == 25
    assert FULL.temporal[-1][0] == 73728
    assert set(SECTIONS) == {"step", "temporal", "decode", "clip", "caps", "hunyuan"}


def test_both_sides_take_turns_and_arranging_is_not_timed() -> None:
    told: list[str] = []
    turns = {name: as_it_is(lambda name=name: told.append(name)) for name in ("stock", "ours")}
    found = in_turns(turns, rounds=2, warm_ups=1, device=CPU)
    assert told == ["stock", "ours", "stock", "ours", "stock", "ours"]
    assert {name: len(seconds) for name, seconds in found.items()} == {"stock": 2, "ours": 2}


def test_the_ratio_is_of_neighbours_so_that_a_slow_minute_does_not_count() -> None:
    assert ratio([2.0, 20.0, 2.0], [1.0, 10.0, 1.0]) == 2.0
    assert relative_l2(torch.tensor([3.0, 4.4]), torch.tensor([3.0, 4.0])) == pytest.approx(0.08)


def test_rows_of_an_earlier_run_are_kept_and_replaced_by_name(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    first = Results(path=path, about={})
    first.add({"section": "step", "name": "stock", "median_ms": 1})
    first.add({"section": "step", "name": "ours", "median_ms": 2})
    again = Results(path=path, about={})
    again.resume()
    again.add({"section": "step", "name": "stock", "median_ms": 3})
    assert [(row["name"], row["median_ms"]) for row in json.loads(path.read_text())["rows"]] == [
        ("stock", 3),
        ("ours", 2),
    ]


ROWS: list[dict[str, Any]] = [
    {"section": "step", "name": "stock", "times_faster": 1.0},
    {"section": "step", "name": "stock, torch.compile", "times_faster": 1.2},
    {"section": "step", "name": "ours, whole clip", "times_faster": 1.4},
    {"section": "clip", "name": "stock", "median_ms": 1, "peak_bytes": 32 * GIB, "times_faster": 1.0},
    {"section": "clip", "name": "ours: tiles", "median_ms": 1, "peak_bytes": 5 * GIB, "times_faster": 0.95},
    {"section": "clip", "name": "noise floor", "frames_relative_l2": 1e-3},
    *(
        {"section": "caps", "name": f"{size} GB, ours", "is_capped": True, "is_exact": True, "frames_relative_l2": 2e-3}
        for size in (8, 6, 4)
    ),
    {"section": "temporal attention", "name": "288 positions", "times_faster": 2.5, "is_run_by_ours": True},
    {"section": "temporal attention", "name": "73728 positions", "times_faster": None, "is_run_by_ours": True},
    {"section": "decode", "name": "SVD, whole", "times_faster": 1.5},
    {"section": "decode", "name": "Wan, all frames at once", "times_faster": 1.3},
    {"section": "HunyuanVideo-1.5", "name": "without padding", "times_faster": 3.2},
]


def failed(rows: list[dict[str, Any]]) -> list[str]:
    return [one["target"] for one in targets.check(rows) if not one["is_met"]]


def test_the_targets_can_be_met() -> None:
    assert failed(ROWS) == []
    assert len(targets.check(ROWS)) == 12
    assert targets.check([]) == []


@pytest.mark.parametrize(
    ("index", "damage", "target"),
    [
        (2, {"times_faster": 1.3}, "a step, exact, against stock"),
        (1, {"times_faster": 1.39}, "a step, exact, against stock with torch.compile"),
        (4, {"times_faster": 0.8}, "the time of such a clip against stock"),
        (4, {"peak_bytes": 7.5 * GIB}, "a clip in <= 7.2 GiB, 4 times less than stock"),
        (7, {"failed": "OutOfMemoryError: "}, "the same clip on 6 GB"),
        (8, {"frames_relative_l2": 1e-2}, "the same clip on 4 GB"),
        (9, {"times_faster": 1.9}, "temporal attention, 288 positions"),
        (10, {"is_run_by_ours": False}, "temporal attention runs, 73728 positions"),
        (11, {"times_faster": 1.2}, "decode, SVD"),
        (13, {"times_faster": 2.9}, "HunyuanVideo-1.5, one forward"),
    ],
)
def test_a_missed_target_is_seen(index: int, damage: dict[str, Any], target: str) -> None:
    rows = [row | damage if place == index else row for place, row in enumerate(ROWS)]
    assert target in failed(rows)
