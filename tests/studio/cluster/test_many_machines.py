"""A batch on a cluster of Ray's: several nodes on this machine, one database, one shared folder, homes of their own."""

from __future__ import annotations

import json
import os
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from studio.app import Studio
from studio.batching import Batches, BatchResult, BatchWish
from studio.cluster.crew import cluster_crew
from studio.config import Settings
from studio.errors import EnvironmentFault
from studio.jobs import reclaim, roll
from studio.jobs.states import JobState
from studio.library.asset import file_sha256
from tests.fakes import write_scripted_rows
from tests.postgres import PASSWORD

pytestmark = [
    pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed (extra: ray)"),
    pytest.mark.slow,
    # Ray leaves sockets to the end of the process, and its own code warns of itself.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]

STORE_BYTES = 80 * 2**20


class Nodes:
    """A head without room for work, and nodes that have a home of their own."""

    def __init__(self, folder: Path) -> None:
        from ray.cluster_utils import Cluster

        self._folder = folder
        self._cluster = Cluster(initialize_head=True, head_node_args=self._arguments(0))
        self.address = str(self._cluster.address)

    def add(self, name: str, *, cpus: int, **environment: str) -> Any:
        environment.setdefault("STUDIO_HOME", str(self._folder / name))
        return self._cluster.add_node(**self._arguments(cpus), env_vars=environment)

    def kill(self, node: Any) -> None:
        self._cluster.remove_node(node, allow_graceful=False)

    def logs(self) -> Iterator[Path]:
        session = Path(self._cluster.head_node.get_session_dir_path())
        yield from (path for path in session.rglob("*") if path.is_file())

    def shutdown(self) -> None:
        self._cluster.shutdown()

    def _arguments(self, cpus: int) -> dict[str, Any]:
        return {"num_cpus": cpus, "object_store_memory": STORE_BYTES, "include_dashboard": False}


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    # Read when Ray is imported, so they are set for good: nothing is told to its makers, nothing listens but to this
    # machine, and nobody else may speak to it.
    os.environ.update(RAY_USAGE_STATS_ENABLED="0", RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="0", RAY_AUTH_MODE="token")
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    nodes = Nodes(tmp_path)
    yield nodes
    nodes.shutdown()


@pytest.fixture
def driver(postgres_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Studio]:
    """The studio that starts batches."""
    monkeypatch.setenv("STUDIO_ASSETS_URL", (tmp_path / "share").as_uri())
    monkeypatch.setenv("STUDIO_IDENTITY_FOLDER", str(tmp_path / "identity"))
    monkeypatch.setattr(roll, "LEASE_SECONDS", 6.0)
    write_scripted_rows(postgres_settings.home / "catalog")
    studio = Studio(Settings())
    yield studio
    studio.store.close()


def write_batch(path: Path, count: int) -> Path:
    lines = [json.dumps({"model": "scripted-moving", "seed": seed, "num_frames": 33}) for seed in range(1, count + 1)]
    path.write_text("\n".join(lines))
    return path


def run_batch(driver: Studio, nodes: Nodes, path: Path, told: list[str], workers: int | None = None) -> BatchResult:
    class Watch:
        def show(self, view: object) -> None: ...

        def tell(self, text: str) -> None:
            told.append(text)

    wish = BatchWish(with_report=False, crew=cluster_crew(driver, nodes.address, workers))
    return Batches(driver).run(path, wish, Watch())


def home_of(pid: int | None) -> Path | None:
    """Return where a process on this machine has its home."""
    try:
        content = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return None
    found = [item.removeprefix(b"STUDIO_HOME=") for item in content.split(b"\0") if item.startswith(b"STUDIO_HOME=")]
    return Path(os.fsdecode(found[0])) if found else None


@contextmanager
def meanwhile(driver: Studio, *, succeeded: int, home: Path, do: Any) -> Iterator[None]:
    """Do something while the block goes on: after so many jobs have succeeded, when one begins on a certain machine."""

    def running() -> set[str]:
        pids = {worker.id: worker.pid for worker in driver.desk.workers()}
        jobs = driver.desk.jobs(JobState.RUNNING)
        return {job.id for job in jobs if home_of(pids.get(job.worker or "")) == home}

    def wait() -> None:
        deadline = time.monotonic() + 120
        while driver.desk.counts()[JobState.SUCCEEDED] < succeeded and time.monotonic() < deadline:
            time.sleep(0.05)
        before = running()
        while not running() - before and time.monotonic() < deadline:
            time.sleep(0.02)
        do()

    thread = threading.Thread(target=wait)
    thread.start()
    yield
    thread.join()


def test_a_batch_of_twelve_completes_although_a_machine_dies_midway(
    driver: Studio, nodes: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes.add("steady", cpus=2)
    doomed = nodes.add("doomed", cpus=1)
    told: list[str] = []
    with meanwhile(driver, succeeded=3, home=tmp_path / "doomed", do=lambda: nodes.kill(doomed)):
        result = run_batch(driver, nodes, write_batch(tmp_path / "batch.jsonl", 12), told, workers=2)
    assert result.error is None, told
    assert result.totals.states == {"succeeded": 12}
    assets = driver.store.assets()
    assert len({asset.id for asset in assets}) == len(assets) == 12
    assert sorted(asset.seed for asset in assets) == list(range(1, 13))
    for asset in assets:
        assert file_sha256(asset.path) == asset.sha256
        assert driver.verify(asset.path).c2pa.state == "trusted"
        assert asset.path.is_relative_to(tmp_path / "share")
    attempts = [attempt for job in driver.desk.jobs() for attempt in driver.desk.job(job.id).attempts]
    assert len({attempt.worker for attempt in attempts}) >= 2
    assert "died" in {attempt.outcome for attempt in attempts}
    monkeypatch.setattr(reclaim, "GRACE_SECONDS", -5.0)
    driver.desk.gc()
    files = {path for path in (tmp_path / "share" / "library").rglob("*") if path.is_file()}
    assert files == {asset.path for asset in assets}
    for secret in (PASSWORD.rpartition("/")[2].encode(), quote(PASSWORD, safe="").encode()):
        assert [path for path in nodes.logs() if secret in path.read_bytes()] == []


def test_a_machine_with_another_identity_signs_nothing(
    driver: Studio, nodes: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STUDIO_IDENTITY_FOLDER")
    studio = Studio(Settings())
    nodes.add("stranger", cpus=1)
    told: list[str] = []
    with pytest.raises(EnvironmentFault, match="STUDIO_IDENTITY_FOLDER"):
        run_batch(studio, nodes, write_batch(tmp_path / "batch.jsonl", 2), told)
    assert studio.desk.counts()[JobState.QUEUED] == 2
    assert not (tmp_path / "stranger" / "identity" / "current").exists()
    studio.store.close()
