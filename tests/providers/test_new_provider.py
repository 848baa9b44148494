"""The page on adding a provider is true: its example is a plug-in that makes clips, and its figures are counted."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import providers
from studio.catalog.loader import load_catalog
from studio.config import Settings
from studio.errors import Moderated, OutOfCredits
from studio.generator import Cost
from studio.registry import Registry
from studio.request import GenerationRequest
from tests.providers.conformance.contract import DATA_URI, Contract, Golden, Pictures, Route, only_fields
from tests.providers.conformance.faults import Faults
from tests.providers.conformance.jobs import Jobs
from tests.providers.conformance.messages import Refusal, Request, Response
from tests.providers.conformance.server import ConformanceServer
from tests.providers.run import RecordingRun

FOLDER = Path(providers.__file__).parent
PAGE = (FOLDER / "NEW_PROVIDER.md").read_text(encoding="utf-8")


def block(name: str) -> str:
    """Return the block of the page that has a file's name above it."""
    found = re.search(rf"<!-- {re.escape(name)} -->\n```\w+\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None, name
    return found[1]


class AcmeContract(Contract):
    """Acme's side."""

    name = "acme"
    model = "acme-one"
    root = "/v1"
    base_url_variable = "ACME_BASE_URL"
    keys = {"ACME_API_KEY": "acme-canary-0123456789abcdef"}  # noqa: RUF012
    walk = ("waiting", "working")
    endings = {"done": "ready", "failed": "broken", "moderated": "broken", "canceled": "stopped"}  # noqa: RUF012

    def routes(self) -> tuple[Route, ...]:
        return (Route("POST /clips", self._create, "create"), Route("GET /clips/{id}", self._poll, "poll"))

    def goldens(self, pictures: Pictures) -> tuple[Golden, ...]:
        return ()

    def _create(self, request: Request, jobs: Jobs) -> Response:
        rules = {"model": ("one",), "prompt": str, "seconds": range(4, 9).__contains__, "size": ("720p", "1080p")}
        only_fields(request.json, rules, {"seed": int, "image": DATA_URI})
        if request.json["prompt"] == "a gold mine":
            raise Refusal(400, "no_money", "the account is empty")
        return Response(status=201, body={"id": jobs.create().id})

    def _poll(self, request: Request, jobs: Jobs) -> Response:
        job = jobs.find(request.values["id"])
        body: dict[str, Any] = {"state": job.step()}
        if job.outcome == "done":
            body |= {"url": job.url(), "price": 0.8}
        elif job.outcome == "moderated":
            body["reason"] = {"code": "unsafe_prompt", "message": "not this"}
        return Response(body=body)


@pytest.fixture
def registry(tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    """The studio with the page's example as a plug-in."""
    rows = tmp_path / "rows"
    rows.mkdir()
    (rows / "acme.toml").write_text(block("acme.toml").replace("poll_seconds = 5", "poll_seconds = 0.02"))
    (tmp_path / "acme_video.py").write_text(block("acme_video.py"))
    monkeypatch.syspath_prepend(tmp_path)
    yield Registry(load_catalog((rows,)), settings)
    sys.modules.pop("acme_video", None)


@pytest.fixture
def acme(monkeypatch: pytest.MonkeyPatch) -> Iterator[ConformanceServer]:
    contract = AcmeContract()
    with ConformanceServer([contract]) as server:
        for variable, value in server.environment(contract).items():
            monkeypatch.setenv(variable, value)
        yield server


def make(registry: Registry, run: RecordingRun, request: GenerationRequest) -> bytes:
    generator = registry.generator("acme-one")
    resolved = generator.resolve(request)
    with generator.session():
        clip = generator.generate(resolved, run)
    return Path(clip.path).read_bytes()  # type: ignore[union-attr]


def test_the_example_makes_a_clip(
    registry: Registry, acme: ConformanceServer, pictures: Pictures, tmp_path: Path
) -> None:
    spec = registry.catalog.get("acme-one")
    assert registry.readiness(spec).ready
    run = RecordingRun(tmp_path / "work")
    request = GenerationRequest(
        model="acme-one", prompt="a fox", duration_seconds=8, conditionings=pictures.as_first_frame()
    )
    estimate = registry.generator("acme-one").estimate(registry.generator("acme-one").resolve(request))
    assert estimate.cost == Cost(amount=0.8, currency="USD")
    assert make(registry, run, request) == acme.clip
    (order,) = acme.did("create")
    assert order.json["seconds"] == 8
    assert order.json["image"] == DATA_URI
    assert run.bills == [(Cost(amount=0.8, currency="USD"), None, "")]


def test_the_examples_codes_mean_what_the_page_says(
    registry: Registry, acme: ConformanceServer, tmp_path: Path
) -> None:
    request = GenerationRequest(model="acme-one", prompt="a fox")
    acme.reset(Faults(ending="moderated"))
    with pytest.raises(Moderated):
        make(registry, RecordingRun(tmp_path / "work"), request)
    with pytest.raises(OutOfCredits):
        make(registry, RecordingRun(tmp_path / "work"), replace(request, prompt="a gold mine"))
    assert len(acme.did("create")) == 2


def test_without_a_key_the_example_says_which_one_is_missing(registry: Registry) -> None:
    readiness = registry.readiness(registry.catalog.get("acme-one"))
    assert not readiness.ready
    assert "ACME_API_KEY" in readiness.reason


def test_the_sizes_on_the_page_are_counted() -> None:
    source = (FOLDER / "replicate.py").read_text(encoding="utf-8").splitlines()
    rows = (FOLDER.parent / "studio/catalog/models/replicate.toml").read_text(encoding="utf-8").splitlines()
    sizes = [line for line in rows if line.lstrip().startswith("{ width")]
    assert f"is {len(source)} lines of Python (`replicate.py`)" in PAGE
    words = " ".join(PAGE.split())
    assert f"and {len(rows)} lines of TOML for two rows, {len(sizes)} of them picture sizes" in words
    assert rows.count("[[models]]") == 2


def test_all_files_that_the_page_names_are_there() -> None:
    root = FOLDER.parent
    named = {name for name in re.findall(r"`([\w/.]+\.(?:py|md|toml))`", PAGE) if "/" in name and "acme" not in name}
    assert named
    assert [name for name in sorted(named) if not (root / name).exists()] == []
