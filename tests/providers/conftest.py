"""The conformance server, and a provider's generator that talks to it."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from studio.config import Settings
from studio.redaction import RedactingFilter, RedactingFormatter
from tests.providers.bench import Bench, catalog
from tests.providers.conformance import contracts
from tests.providers.conformance.contract import Contract, Pictures
from tests.providers.conformance.server import ConformanceServer

CONTRACTS = {contract.name: contract for contract in contracts()}


@pytest.fixture(scope="session")
def one_server() -> Iterator[ConformanceServer]:
    """The server, which is started once: its clips and its port are the same for all tests."""
    with ConformanceServer(CONTRACTS.values()) as server:
        yield server


@pytest.fixture
def server(one_server: ConformanceServer) -> ConformanceServer:
    """The server without jobs, requests and faults."""
    one_server.reset()
    return one_server


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Pictures:
    """Two pictures to start from."""
    folder = tmp_path_factory.mktemp("pictures")
    ramp = np.linspace(0, 255, 640 * 360 * 3).reshape(360, 640, 3).astype(np.uint8)
    paths = folder / "first.png", folder / "last.png"
    for path, pixels in zip(paths, (ramp, ramp[::-1]), strict=True):
        Image.fromarray(pixels).save(path)
    return Pictures(*paths)


class Log:
    """All that was logged: as the studio writes it down, and by its own modules before anything is masked."""

    def __init__(self) -> None:
        self._written, self._own = io.StringIO(), io.StringIO()
        self.handlers = [logging.StreamHandler(self._written), logging.StreamHandler(self._own)]
        self.handlers[0].setFormatter(RedactingFormatter())
        self.handlers[0].addFilter(RedactingFilter())
        self.handlers[1].addFilter(lambda record: record.name.split(".")[0] in ("providers", "studio"))

    def texts(self) -> tuple[str, str]:
        return self._written.getvalue(), self._own.getvalue()


@pytest.fixture
def log() -> Iterator[Log]:
    """A log of everything down to the smallest detail."""
    root, found = logging.getLogger(), Log()
    level = root.level
    root.setLevel(logging.DEBUG)
    for handler in reversed(found.handlers):  # the first masks records for those after it
        root.addHandler(handler)
    yield found
    root.setLevel(level)
    for handler in found.handlers:
        root.removeHandler(handler)


@pytest.fixture
def bench_of(
    server: ConformanceServer,
    settings: Settings,
    pictures: Pictures,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    log: Log,
) -> Iterator[Callable[[str], Bench]]:
    """Make a bench for a provider by its name. Afterwards no secret may have come out anywhere."""
    made: list[Bench] = []

    def make(name: str, *, model: str = "") -> Bench:
        contract: Contract = CONTRACTS[name]
        for row in catalog():
            if row.remote is not None and row.remote.provider == name:
                for variable in (*row.remote.key_variables, *row.remote.secret_variables):
                    monkeypatch.delenv(variable, raising=False)
        for variable, value in server.environment(contract).items():
            monkeypatch.setenv(variable, value)
        made.append(Bench(contract, server, settings, pictures, tmp_path / f"work-{len(made)}", model=model))
        return made[-1]

    yield make
    for bench in made:
        bench.require_no_secret_outside(*log.texts())
