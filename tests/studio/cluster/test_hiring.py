"""What a worker on another machine is told, when it refuses to work, and what a cluster needs to be configured."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from studio.app import Studio
from studio.cluster.actor import HiredWorker
from studio.cluster.crew import Need, cluster_crew
from studio.cluster.orders import Orders, open_studio, orders_for, seal_of
from studio.cluster.place import Place, connected, parse_place, require_shared
from studio.config import Settings
from studio.errors import EnvironmentFault, UnsupportedValue
from studio.jobs.batches import BatchRows
from studio.request import GenerationRequest
from tests.fakes import write_scripted_rows
from tests.ui.conftest import Terminal, terminal  # noqa: F401

WORD = "pass-word"


@pytest.fixture
def driver(settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Studio:
    """The studio that starts batches, configured for a cluster; nobody connects to its database."""
    monkeypatch.setenv("STUDIO_DATABASE_URL", f"postgresql://me:{WORD}@db.example/studio")
    monkeypatch.setenv("STUDIO_ASSETS_URL", (tmp_path / "share").as_uri())
    monkeypatch.setenv("STUDIO_IDENTITY_FOLDER", str(tmp_path / "identity"))
    write_scripted_rows(settings.home / "catalog")
    return Studio(Settings())


@pytest.fixture
def given(driver: Studio) -> Orders:
    """Orders from there, for a machine where SQLite will do."""
    found = orders(driver)
    rest = {name: value for name, value in found.environment.items() if name != "STUDIO_DATABASE_URL"}
    return replace(found, environment=rest)


@pytest.fixture
def machine(given: Orders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Become another machine, with a home of its own and settings that were made there."""
    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith("STUDIO_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("STUDIO_HOME", str(tmp_path / "machine"))
    monkeypatch.setenv("STUDIO_VISIBLE_LABEL", "text")
    monkeypatch.setenv("STUDIO_THREADS", "3")
    yield tmp_path / "machine"
    os.environ.clear()
    os.environ.update(before)


def orders(driver: Studio, *, is_here: bool = False) -> Orders:
    return orders_for(driver, batch_id="b", pool="remote", models=("scripted-moving",), is_here=is_here)


def test_the_orders_carry_the_settings_but_never_show_them(driver: Studio) -> None:
    given = orders(driver)
    assert WORD in given.environment["STUDIO_DATABASE_URL"]
    assert WORD not in repr(given)
    assert "STUDIO_HOME" not in given.environment
    assert orders(driver, is_here=True).environment["STUDIO_HOME"] == str(driver.settings.home)


def test_a_token_for_the_http_service_is_not_sent_around(driver: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUDIO_API_TOKEN", "x" * 40)
    assert "STUDIO_API_TOKEN" not in orders(driver).environment


def test_a_machine_works_with_its_own_home_and_the_settings_and_models_of_the_one_that_hires(
    driver: Studio, given: Orders, machine: Path
) -> None:
    studio = open_studio(given)
    settings = studio.settings
    assert (settings.home, settings.threads) == (machine, 3)
    assert (settings.assets_url, settings.visible_label) == (driver.settings.assets_url, "none")
    assert settings.identity_folder == driver.settings.identity_folder
    assert studio.registry.catalog.get("scripted-moving")
    assert open_studio(replace(given, device="cuda")).settings.device == "cuda"


def test_another_version_is_refused(given: Orders, machine: Path) -> None:
    with pytest.raises(EnvironmentFault, match="same version on all machines"):
        open_studio(replace(given, version="0.0.1"))


def test_another_identity_is_refused_and_none_is_made(given: Orders, machine: Path) -> None:
    environment = {name: value for name, value in given.environment.items() if name != "STUDIO_IDENTITY_FOLDER"}
    with pytest.raises(EnvironmentFault, match="STUDIO_IDENTITY_FOLDER"):
        open_studio(replace(given, environment=environment))
    assert not (machine / "identity" / "watermark").exists()
    own = Studio(Settings(home=machine))
    seal_of(own)
    with pytest.raises(EnvironmentFault, match="STUDIO_IDENTITY_FOLDER"):
        open_studio(replace(given, environment=environment))


def test_a_machine_without_the_weights_takes_no_jobs_that_it_could_only_fail(given: Orders, machine: Path) -> None:
    report = HiredWorker(replace(given, models=("scripted-moving", "svd"))).work()
    assert report["error"]["type"] == "MissingWeights"
    assert "studio models pull svd" in report["error"]["fix"]


@pytest.mark.parametrize("words", ["ray://head:10001", "head.example:6379", "10.0.0.1:6379", "[::1]:6379"])
def test_addresses_of_clusters(words: str) -> None:
    assert parse_place(words).address == words


@pytest.mark.parametrize("words", ["", "head", "ray://", "ray://head", "http://head:1", "head:port", "a b:1"])
def test_what_is_no_address_is_refused(words: str) -> None:
    if words == "":
        assert parse_place(words).is_here
        return
    with pytest.raises(UnsupportedValue, match="ray://HOST:PORT"):
        parse_place(words)


def test_ray_alone_means_the_cluster_that_its_own_variable_names_else_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert parse_place("ray").is_here
    monkeypatch.setenv("RAY_ADDRESS", "head:6379")
    assert parse_place("ray").address == "head:6379"
    monkeypatch.setenv("RAY_ADDRESS", "nonsense")
    with pytest.raises(UnsupportedValue, match="RAY_ADDRESS"):
        parse_place("ray")


def test_a_cluster_needs_a_database_and_a_folder_that_all_machines_reach(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = Place(address="head:6379")
    with pytest.raises(EnvironmentFault, match="STUDIO_DATABASE_URL"):
        require_shared(settings, there)
    monkeypatch.setenv("STUDIO_DATABASE_URL", "postgresql://me@db/studio")
    with pytest.raises(EnvironmentFault, match="STUDIO_ASSETS_URL"):
        require_shared(Settings(), there)
    require_shared(settings, Place(address=None))


def test_a_cluster_that_does_not_answer_is_told_at_once() -> None:
    pytest.importorskip("ray")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(EnvironmentFault, match=address), connected(Place(address=address), workers=None):
            pytest.fail("connected to nobody")


def test_only_what_is_not_finished_needs_workers(studio: Studio) -> None:
    rows = BatchRows(studio.store)
    batch = rows.add(Path("/batch.jsonl"), "digest", None)
    from studio.jobs.job import JobWish

    for entry in (1, 2, 3):
        wish = JobWish(batch_id=batch.id, entry=entry)
        job = studio.desk.submit(GenerationRequest(model="scripted-moving", seed=entry), wish)
    studio.desk.cancel(job.id)
    need = Need.of(rows.glances(batch.id))
    assert (need.local, need.remote, need.models) == (0, 2, {"local": (), "remote": ("scripted-moving",)})


def test_the_command_line_says_what_is_missing(
    terminal: Terminal,  # noqa: F811
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "batch.jsonl"
    path.write_text('{"model": "micro-wan", "prompt": "a star"}')
    assert terminal.run("batch", "run", str(path), "--on", "head:6379") == 3
    assert "STUDIO_DATABASE_URL" in terminal.stderr
    assert terminal.run("batch", "run", str(path), "--on", "nowhere") == 2
    assert terminal.run("batch", "run", str(path), "--on", "ray", "--device", "cpu") == 2
    assert terminal.run("batch", "run", str(path), "--on", "ray", "--detach") == 2
    assert terminal.json("queue", "list")["jobs"] == []


def test_nothing_loads_ray_before_a_cluster_is_asked_for() -> None:
    code = (
        "import sys; from ui.cli.entry import run; assert run(['batch', 'run', '--help']) == 0\n"
        "import studio.cluster.crew, studio.cluster.actor\n"
        "assert not {'ray', 'fsspec'} & set(sys.modules), 'loaded'"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_crews_are_not_brought_together_before_the_batch_begins(settings: Settings) -> None:
    assert callable(cluster_crew(Studio(settings), "ray", None))
