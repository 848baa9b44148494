"""Which cluster is meant, and connecting to it: the one place that knows how Ray is started."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from studio.config import Settings
from studio.errors import EnvironmentFault, MissingPackage, UnsupportedValue

ALLOWED = "ray, ray://HOST:PORT or HOST:PORT"
_ADDRESS = re.compile(r"(ray://)?(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):(?P<port>\d{1,5})(/\S*)?", re.ASCII)
_ANSWER_SECONDS = 10.0
_SCRATCH, _LOCK = "studio-ray-", "in-use.lock"
_YOUNG_SECONDS = 60.0
# Clips never go through Ray's store of objects; this is the least it takes.
_STORE_BYTES = 100 * 2**20


@dataclass(frozen=True, kw_only=True)
class Place:
    """A cluster. address: as Ray takes it; None for one that is started on this machine for one batch alone."""

    address: str | None

    @property
    def is_here(self) -> bool:
        """Say whether all of it is this machine, with this home folder."""
        return self.address is None


def parse_place(words: str) -> Place:
    """Return the cluster that `--on` names: ``ray`` is RAY_ADDRESS, or this machine where that is not set."""
    address = os.environ.get("RAY_ADDRESS", "").strip() if words == "ray" else words
    if address in ("", "local"):
        return Place(address=None)
    if address == "auto" or _ADDRESS.fullmatch(address):
        return Place(address=address)
    field = "RAY_ADDRESS" if words == "ray" else "on"
    raise UnsupportedValue("no such cluster", field=field, got=address, allowed=ALLOWED)


def require_shared(settings: Settings, place: Place) -> None:
    """Raise an `EnvironmentFault` unless database and files can be reached by all machines of a cluster."""
    if place.is_here:
        return
    for name, value, what in (
        ("STUDIO_DATABASE_URL", settings.database_url, "the queue, in a PostgreSQL database"),
        ("STUDIO_ASSETS_URL", settings.assets_url, "the clips, in a shared folder or a bucket"),
    ):
        if value is None:
            raise EnvironmentFault(
                f"on a cluster all machines must reach {what}",
                field=name,
                got="not set",
                fix=f"set {name}; docs/cluster.md shows how",
            )


@contextmanager
def connected(place: Place, *, workers: int | None) -> Iterator[Any]:
    """Yield Ray, connected for as long as the context lasts. workers: how many must have room on this machine.

    Nothing is reported to Ray's makers, no dashboard is started, and on this machine alone nothing listens but to it.
    Raises `MissingPackage` or an `EnvironmentFault`.
    """
    ray = _ray(place)
    # Ray tells what becomes of machines on standard output, where nothing but a result belongs; the batch tells it too.
    with _scratch() as scratch, open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
        _connect(ray, place, scratch, workers)
        try:
            yield ray
        finally:
            ray.shutdown()


def _connect(ray: Any, place: Place, scratch: str, workers: int | None) -> None:
    here: dict[str, Any] = {
        "address": "local",
        "num_cpus": max(os.cpu_count() or 1, workers or 1),
        "include_dashboard": False,
        "object_store_memory": _STORE_BYTES,
        "_node_ip_address": "127.0.0.1",
        "_temp_dir": scratch,
    }
    there = {"address": place.address}
    try:
        _require_answer(place.address)
        with _signals_kept():
            ray.init(log_to_driver=False, configure_logging=False, **(here if place.is_here else there))
    except Exception as error:  # Ray has many, and not all are its own
        raise EnvironmentFault(
            f"the cluster cannot be used ({_first_line(error)})",
            field="on",
            got=place.address or "ray",
            fix="`ray status` on the cluster's head says how it is",
        ) from error


def _require_answer(address: str | None) -> None:
    """Raise OSError unless somebody listens there: Ray would go on trying for minutes."""
    match = _ADDRESS.fullmatch(address or "")
    if match is not None:
        with socket.create_connection((match["host"].strip("[]"), int(match["port"])), timeout=_ANSWER_SECONDS):
            return


def _ray(place: Place) -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    if place.is_here:
        # Called so for the systems that it was made for; on all of them it means the loopback address.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    if place.is_here and "RAY_AUTH_MODE" not in os.environ:
        # Other users of this machine must not speak to it. Ray alone would leave a token in the user's own home folder.
        os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))
    try:
        if (place.address or "").startswith("ray://"):
            import_module("grpc")
        import ray
    except ImportError as error:
        raise MissingPackage(
            "a cluster needs an optional package",
            field="on",
            got=error.name,
            fix="pip install 'local-video-studio[ray]'",
        ) from error
    return ray


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Keep what SIGTERM means here; Ray would have it mean something else."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _scratch() -> Iterator[str]:
    """Give Ray a folder of its own, with a short name for the sockets in it; what killed processes left is removed.

    Ray opens it to everybody; the one above it stays closed.
    """
    for left in Path(tempfile.gettempdir()).glob(f"{_SCRATCH}*"):
        with suppress(Timeout, OSError):
            if time.time() - left.stat().st_mtime > _YOUNG_SECONDS:  # its owner may just be about to lock it
                with FileLock(left / _LOCK, blocking=False):
                    shutil.rmtree(left, ignore_errors=True)
    folder = tempfile.mkdtemp(prefix=_SCRATCH)
    try:
        with FileLock(Path(folder) / _LOCK):
            yield str(Path(folder) / "ray")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
