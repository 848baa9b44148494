"""A batch survives anything: afterwards there is one sealed clip for each request, with the frames of a calm run."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from studio.app import Studio
from studio.config import Settings
from tests.e2e.torture import Tormentor, Victim, build_clock, fill_disk, lock_database, small_disk
from tests.fakes import write_scripted_rows

_COLOURS = ("red", "green", "blue", "yellow", "white", "orange", "cyan", "magenta")
_WAYS = ("left", "right")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path | None]:
    """A disk that can be filled without anybody else noticing."""
    with small_disk(tmp_path / "disk", 400) as folder:
        yield folder


def write_batch(path: Path, requests: list[dict[str, object]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(request) + "\n" for request in requests))
    return path


def frames_of_a_calm_run(home: Path, requests: list[dict[str, object]], rows: bool) -> list[str]:
    """Return the digest of each request's frames, made one after the other without any trouble."""
    if rows:
        write_scripted_rows(home / "catalog")
    victim = Victim(home=home, file=write_batch(home.parent / "calm" / "batch.jsonl", requests))
    return digests(victim.settings, victim.finish(900))


def digests(settings: Settings, answer: dict[str, object]) -> list[str]:
    jobs = answer["jobs"]
    assert isinstance(jobs, list)
    studio = Studio(settings)
    found = [studio.store.asset(job["id"]).frames_sha256 for job in sorted(jobs, key=lambda job: job["entry"])]
    studio.store.close()
    return found


def assert_whole(victim: Victim, count: int) -> None:
    """Every clip is there once and verifies; nothing else is left in the home."""
    studio = Studio(victim.settings)
    assets = studio.store.assets(limit=1000)
    assert len(assets) == len({asset.job_id for asset in assets}) == count
    for asset in assets:
        assert studio.verify(asset.path, search=False, with_checklist=False).c2pa.state == "trusted"
    files = {path for path in studio.settings.library_folder.rglob("*") if path.is_file()}
    assert files == {asset.path for asset in assets}
    for room in ("quarantine", "inputs"):
        assert [path for path in (victim.home / room).rglob("*") if path.is_file()] == []
    assert [path for path in victim.home.rglob("*") if path.name.endswith(".part") or "studio-" in path.name] == []
    assert studio.desk.workers() == []
    studio.store.close()


def test_killed_workers_lose_nothing(tmp_path: Path) -> None:
    requests: list[dict[str, object]] = [{"model": "scripted-moving", "seed": seed} for seed in range(1, 11)]
    calm = frames_of_a_calm_run(tmp_path / "calm-home", requests, rows=True)
    home = tmp_path / "home"
    write_scripted_rows(home / "catalog")
    victim = Victim(home=home, file=write_batch(tmp_path / "batch" / "batch.jsonl", requests))
    tormentor = Tormentor(victim, kills=8, rng=random.Random(6), longest_pause=1.5)
    victim.start("--resume")
    tormentor.run(time.monotonic() + 120)
    victim.kill()
    answer = victim.finish(300)
    assert digests(victim.settings, answer) == calm
    assert_whole(victim, len(requests))
    assert tormentor.killed >= 3


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_forty_jobs_survive_fifty_kills_and_everything_else(tmp_path: Path, disk: Path | None) -> None:
    requests: list[dict[str, object]] = [
        {
            "model": "micro-wan",
            "prompt": f"a large {_COLOURS[number % 8]} star moving {_WAYS[number % 2]} on a navy background",
            "seed": 100 + number,
        }
        for number in range(40)
    ]
    calm = frames_of_a_calm_run(tmp_path / "calm-home", requests, rows=False)
    home = (disk or tmp_path) / "home"
    clock = build_clock(tmp_path)
    victim = Victim(home=home, file=write_batch(tmp_path / "batch" / "batch.jsonl", requests), clock=clock)
    victim.clock_file.write_text("0")
    tormentor = Tormentor(victim, kills=50, rng=random.Random(6), longest_pause=3.5)
    victim.start("--resume")
    hardships: list[tuple[int, str]] = [(6, "lock"), (14, "disk"), (22, "clock"), (30, "lock"), (38, "disk")]
    for kills, hardship in [*hardships, (50, "end")]:
        tormentor.kills = kills
        tormentor.run(time.monotonic() + 600)
        if hardship == "lock":
            lock_database(victim.settings.database_path, 8).join()
        elif hardship == "disk" and disk is not None:
            fill_disk(disk, 8).join()
        elif hardship == "clock":
            victim.clock_file.write_text("-7200")
    victim.kill()
    answer = victim.finish(1200)
    assert digests(victim.settings, answer) == calm
    assert_whole(victim, 40)
    assert tormentor.killed == 50
