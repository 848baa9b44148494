"""A provider's generator on the bench: made from its row, quickened, and looked at from all sides."""

from __future__ import annotations

import hashlib
import importlib
import json
from dataclasses import asdict
from functools import cache
from pathlib import Path

import httpx

from providers.remote import RemoteGenerator
from studio.catalog.loader import Catalog, load_catalog
from studio.catalog.schema import ModelSpec
from studio.config import Settings
from studio.errors import StudioError
from studio.library.asset import file_sha256
from studio.media import EncodedClip
from studio.request import GenerationRequest, ResolvedRequest
from tests.canary import assert_nowhere
from tests.providers.conformance.contract import Contract, Pictures
from tests.providers.conformance.faults import Faults
from tests.providers.conformance.jobs import SIGNATURE
from tests.providers.conformance.server import CDN, ConformanceServer
from tests.providers.run import RecordingRun

POLL_SECONDS = 0.01


def sha256(content: bytes) -> str:
    """Return the hex digest of bytes."""
    return hashlib.sha256(content).hexdigest()


@cache
def catalog() -> Catalog:
    """Return all rows, which are read once."""
    return load_catalog()


@cache
def spec_of(model: str) -> ModelSpec:
    """Return a row of the catalog, asking more often than the provider would like."""
    spec = catalog().get(model)
    assert spec.remote is not None
    return spec.model_copy(update={"remote": spec.remote.model_copy(update={"poll_seconds": POLL_SECONDS})})


def sha256_of(clip: EncodedClip) -> str:
    """Return the hex digest of a clip's bytes."""
    return file_sha256(clip.path)


class Bench:
    """One provider, its side and ours. run: of the last clip. errors: all that were raised.

    model: a row other than the contract's usual one.
    """

    def __init__(
        self,
        contract: Contract,
        server: ConformanceServer,
        settings: Settings,
        pictures: Pictures,
        workdir: Path,
        *,
        model: str = "",
    ) -> None:
        self.contract, self.server, self.settings = contract, server, settings
        self.spec = spec_of(model or contract.model)
        self.goldens = contract.goldens(pictures)
        self.run = RecordingRun(workdir)
        self.errors: list[StudioError] = []

    @property
    def request(self) -> GenerationRequest:
        """A plain request: the first golden one."""
        return self.goldens[0].request

    def generator(
        self, transport: httpx.BaseTransport | None = None, request: GenerationRequest | None = None
    ) -> RemoteGenerator:
        """Return a generator as the registry would make it, of the bench's row or of the one that a request names.

        transport: takes the place of the network.
        """
        spec = self.spec if request is None or request.model == self.spec.id else spec_of(request.model)
        assert spec.generator is not None
        module, _, name = spec.generator.partition(":")
        found = getattr(importlib.import_module(module), name)(spec, self.settings, transport=transport)
        assert isinstance(found, RemoteGenerator)
        return found

    def resolved(self, request: GenerationRequest | None = None) -> ResolvedRequest:
        """Return a request as it will be run."""
        return self.generator(request=request).resolve(request or self.request)

    def poll_every(self, seconds: float) -> None:
        """Ask less or more often than usual."""
        assert self.spec.remote is not None
        remote = self.spec.remote.model_copy(update={"poll_seconds": seconds})
        self.spec = self.spec.model_copy(update={"remote": remote})

    def set(self, faults: Faults, clip: bytes = b"") -> None:
        """Let things go wrong from now on; whatever came before is forgotten."""
        self.server.reset(faults, clip)

    def make(
        self, request: GenerationRequest | None = None, transport: httpx.BaseTransport | None = None
    ) -> EncodedClip:
        """Order a clip and wait for it. Raises as the generator does."""
        request = request or self.request
        generator = self.generator(transport, request)
        resolved = generator.resolve(request)
        with generator.session():
            return self._watched(lambda: generator.generate(resolved, self.run))

    def resume(self) -> EncodedClip:
        """Pick up what the last run left, as a new process would. Raises as the generator does."""
        assert self.run.operation is not None
        generator, operation = self.generator(), self.run.operation
        with generator.session():
            return self._watched(lambda: generator.resume(operation, self.run))

    def fails(
        self, request: GenerationRequest | None = None, transport: httpx.BaseTransport | None = None
    ) -> StudioError:
        """Return the error that a request leads to."""
        return self._error_of(lambda: self.make(request, transport))

    def fails_to_resume(self) -> StudioError:
        """Return the error that picking up leads to."""
        return self._error_of(self.resume)

    @property
    def left_behind(self) -> list[str]:
        """Names of all files in the work folder."""
        return sorted(path.name for path in self.run.workdir.rglob("*") if path.is_file())

    def require_no_secret_outside(self, *logs: str) -> None:
        """Assert that no key and no presigned address came out: to whom it is not meant for, or in anything kept."""
        told = [*logs, *self.run.notes, *self.run.operations, *self.run.stages, repr(self.spec)]
        for error in self.errors:
            told += [str(error), repr(error), json.dumps(error.as_json()), error.sentence()]
        told += [repr(asdict(bill[0])) for bill in self.run.bills if bill[0] is not None]
        for secret in (*self.contract.keys.values(), SIGNATURE):
            assert_nowhere(secret, self.run.workdir, *told)
        for request in self.server.requests:
            if request.provider == CDN:
                said = f"{request.path} {dict(request.query)} {dict(request.headers)}"
                assert not any(key in said for key in self.contract.keys.values()), (
                    "a key was sent with a presigned address"
                )
                assert "authorization" not in request.headers
        assert self.server.strangers == [], "something was sent to another origin"

    def _watched(self, make: object) -> EncodedClip:
        try:
            found = make()  # type: ignore[operator]
        except StudioError as error:
            self.errors.append(error)
            raise
        assert isinstance(found, EncodedClip)
        return found

    def _error_of(self, make: object) -> StudioError:
        try:
            make()  # type: ignore[operator]
        except StudioError as error:
            return error
        raise AssertionError("it went well")
