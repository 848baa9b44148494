"""The conformance server, and a provider's generator that talks to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from studio.config import Settings
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


@pytest.fixture
def bench_of(
    server: ConformanceServer,
    settings: Settings,
    pictures: Pictures,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> Iterator[Callable[[str], Bench]]:
    """Make a bench for a provider by its name. Afterwards no secret may have come out anywhere."""
    caplog.set_level("DEBUG")
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
        bench.require_no_secret_outside(caplog.text)
