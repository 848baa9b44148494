"""What those who run jobs and those who ask for them share: one library, one queue, one catalog."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property, partial

from studio.config import PromptPolicy, Settings
from studio.errors import EnvironmentFault
from studio.export.gate import Gate
from studio.jobs.bookkeeping import Books
from studio.jobs.context import Order
from studio.jobs.inputs import Inputs
from studio.jobs.job import Terms
from studio.jobs.quarantine import Quarantine
from studio.jobs.queue import JobQueue
from studio.jobs.roll import WorkerRoll
from studio.jobs.run import JobRunner
from studio.keys import KeyChain, missing_key
from studio.library.shelf import INPUTS, shared_shelf
from studio.library.store import Store
from studio.library.tables import JobRow
from studio.making import provenance_of
from studio.registry import Registry
from studio.request import ResolvedRequest
from studio.weights import WeightStore


@dataclass(frozen=True)
class Workshop:
    """The parts of the studio that jobs go through, over one home folder."""

    settings: Settings
    registry: Registry
    store: Store
    quarantine: Quarantine = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "quarantine", Quarantine(self.settings.quarantine_folder))

    @cached_property
    def queue(self) -> JobQueue:
        return JobQueue(self.store)

    @cached_property
    def roll(self) -> WorkerRoll:
        return WorkerRoll(self.store, self.queue, self.settings.home)

    @cached_property
    def inputs(self) -> Inputs:
        return Inputs(self.settings.home / "inputs", self.quarantine, shared_shelf(self.settings, INPUTS))

    @cached_property
    def runner(self) -> JobRunner:
        gate = Gate(self.settings, self.store)
        books = Books(self.store, self.settings)
        return JobRunner(self.store, self.queue, self.roll, self.quarantine, self.inputs, gate, books)

    def order(self, row: JobRow) -> Order:
        """Return what a job of the queue is to do, as it was decided when it was submitted."""
        generator = self.registry.generator(row.model)
        terms = Terms.from_json(row.terms or {})
        decided = {"prompt_policy": PromptPolicy(terms.prompt_policy), "training_use": terms.training_use}
        settings = self.settings.model_copy(update=decided)
        return Order(
            resolved=ResolvedRequest.from_json(row.request),
            generator=generator,
            describe=partial(provenance_of, generator=generator, label=terms.label, settings=settings),
            policy=terms.policy,
            operation=row.operation,
            device=self.settings.device,
            is_attended=row.is_attended,
        )

    def require_ready(self, model: str) -> None:
        """Raise an `EnvironmentFault` unless this model would run here."""
        spec = self.registry.catalog.get(model)
        readiness = self.registry.readiness(spec)
        if readiness.ready:
            return
        if spec.weights is not None:
            WeightStore(self.settings).locate(spec)
        if spec.remote is not None and spec.remote.needs_key and KeyChain().find(spec.remote) is None:
            raise missing_key(spec.remote)
        raise EnvironmentFault(
            readiness.reason.rstrip("."), field="model", got=spec.id, fix="`studio doctor` says how to mend it"
        )
