"""The one interface behind which every model, local or remote, makes clips."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from studio.catalog.schema import ModelSpec
from studio.media import EncodedClip, FrameClip, Preview
from studio.provenance.manifest import Adapter
from studio.request import GenerationRequest, OptionValue, ResolvedRequest

RawClip = FrameClip | EncodedClip


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Money. amount: in units of `currency` (ISO 4217)."""

    amount: float
    currency: str


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a request will take; None where nobody knows.

    seconds: wall-clock time on this machine. vram_bytes, ram_bytes: peak. disk_bytes: kept after the run.
    basis: one sentence on where the figures come from.
    plan: how a local model would use memory. shortage: why it would be refused here, with what would fit; empty if not.
    """

    seconds: float | None
    vram_bytes: int | None
    ram_bytes: int | None
    disk_bytes: int | None
    cost: Cost | None
    basis: str
    plan: str | None = None
    shortage: str = ""

    @property
    def fits(self) -> bool | None:
        """Whether the request would be run here; None where nothing is known of what it takes."""
        is_unknown = self.seconds is None and self.ram_bytes is None and self.vram_bytes is None
        return None if is_unknown else not self.shortage


class RunContext(Protocol):
    """What a running generator may tell, ask and leave behind for a retry.

    workdir: a folder of this job alone; it survives a crash.
    """

    @property
    def workdir(self) -> Path: ...

    def progress(self, done: int, total: int, preview: Preview | None = None) -> None:
        """Report that `done` of `total` steps are finished, with a cheap picture if there is one."""

    def stage(self, name: str, detail: str = "") -> None:
        """Report that another part of the work begins, such as ``encoding`` or ``decoding``. Steps tell of sampling.

        detail: what else there is to say of it, in a few words.
        """

    def raise_if_canceled(self) -> None:
        """Raise `Canceled` if somebody asked this job to stop; `Stopped` if it is only to wait, and will be run again.

        After `Stopped` the job goes on from what was kept.
        """

    def keep(self, stage: str, content: bytes) -> None:
        """Make what a stage of the work came to last, for a retry; it replaces what was kept of this stage before.

        stage: of lower-case letters, digits and hyphens. Raises `DiskFull` or `StoreFault`; the work can go on then.
        """

    def kept(self, stage: str) -> bytes | None:
        """Return what an earlier run of the same request kept of a stage; None if it has to be made."""

    def wants_checkpoint(self) -> bool:
        """Say whether it is time to keep the state of long work: some time has passed, or a stop is asked.

        To be asked after each step, before `raise_if_canceled`.
        """

    def save_operation(self, operation: Mapping[str, Any]) -> None:
        """Make a remote operation durable: before the order is sent, and again with what it is found by later."""

    def forget_operation(self) -> None:
        """Take back what `save_operation` kept: nothing was ordered."""

    def note(self, text: str) -> None:
        """Tell the clip's owner something that turned out on the way, such as a picture that had to be made smaller."""

    def bill(self, cost: Cost | None, *, units: float | None = None, unit: str = "") -> None:
        """Write down what a provider said that it charged; it takes the place of the estimate.

        cost: None where it told only units of its own, such as 60 of the unit ``credit``.
        """


class Generator(Protocol):
    """Turns requests for one model into clips. Synchronous; jobs run it in a worker."""

    @property
    def spec(self) -> ModelSpec: ...

    def resolve(self, request: GenerationRequest) -> ResolvedRequest:
        """Fill defaults, draw the seed, refuse what the model cannot do. Nothing is corrected silently."""

    def estimate(self, resolved: ResolvedRequest) -> Estimate:
        """Say what the request will take, without loading weights."""

    def session(self) -> AbstractContextManager[None]:
        """Hold the weights or the client while requests are run."""

    def generate(self, resolved: ResolvedRequest, run: RunContext) -> RawClip:
        """Make the clip, inside `session`."""


def cost_of(generator: Generator, resolved: ResolvedRequest) -> Cost | None:
    """Return what a clip costs in money, None where nobody knows. What runs here costs none; nothing is measured."""
    if generator.spec.where == "local":
        return Cost(amount=0.0, currency="USD")
    return generator.estimate(resolved).cost


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """What a clip's signed file is to say of how it is made. options: those that may be told.

    adapters: LoRAs. speed_profile: what was left out to be done sooner; None where it is exact.
    """

    options: Mapping[str, OptionValue]
    adapters: tuple[Adapter, ...] = ()
    speed_profile: str | None = None


@runtime_checkable
class Declares(Protocol):
    """A generator with more to say of how it makes a clip than its row and the request do."""

    def declare(self, resolved: ResolvedRequest) -> Declaration:
        """Return what the signed file is to say. Loads nothing."""


@runtime_checkable
class Resumable(Protocol):
    """A generator whose work goes on elsewhere and can be picked up after a restart."""

    def resume(self, operation: Mapping[str, Any], run: RunContext) -> RawClip:
        """Pick up an operation saved by `RunContext.save_operation`."""
