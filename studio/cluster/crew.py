"""The workers of one batch on a cluster. Ray decides where each runs, and brings another when one dies."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from typing import Any

from studio.app import Studio
from studio.cluster.actor import HiredWorker
from studio.cluster.orders import Orders, orders_for
from studio.cluster.place import Place, connected, parse_place, require_shared
from studio.errors import EnvironmentFault
from studio.jobs.batches import Batch, Glance
from studio.jobs.processes import GRACE_SECONDS, Crew

# Machines may join while a batch runs.
_COUNT_SECONDS = 10.0
_LOOK_SECONDS = 0.5


@dataclass(frozen=True, kw_only=True)
class Need:
    """How many workers a batch can use, by kind. models: that each kind must be able to run."""

    local: int
    remote: int
    models: dict[str, tuple[str, ...]]

    @classmethod
    def of(cls, glances: Sequence[Glance]) -> Need:
        """Return what the jobs that are not finished need."""
        open_jobs = [job for job in glances if not job.is_final]
        models = {pool: tuple({job.model for job in open_jobs if job.pool == pool}) for pool in ("local", "remote")}
        return cls(
            local=sum(job.pool == "local" for job in open_jobs),
            remote=sum(job.pool == "remote" for job in open_jobs),
            models=models,
        )


@dataclass(kw_only=True)
class _Hired:
    """One worker. work: Ray's promise of what it will report in the end."""

    actor: Any
    work: Any
    pool: str


class RayWorkers:
    """One worker for each GPU of a cluster, or for each machine where it has none.

    workers: how many instead. tell: told in sentences for people.
    """

    def __init__(
        self,
        studio: Studio,
        place: Place,
        batch_id: str,
        need: Need,
        *,
        workers: int | None = None,
        tell: Callable[[str], None] = lambda _text: None,
    ) -> None:
        self._studio = studio
        self._place = place
        self._batch_id = batch_id
        self._need = need
        self._workers = workers
        self._tell = tell
        self._hired: list[_Hired] = []
        self._lost: dict[str, int] = {"local": 0, "remote": 0}
        self._fault: EnvironmentFault | None = None
        self._counted_at = 0.0
        self._stack = ExitStack()
        self._ray: Any = None

    @property
    def size(self) -> int:
        return len(self._hired)

    def start(self) -> None:
        """Connect to the cluster and hire. Raises `MissingPackage` or an `EnvironmentFault`."""
        self._ray = self._stack.enter_context(connected(self._place, workers=self._workers))
        self._hire()

    def tend(self) -> None:
        """Hear those who gave up, and hire for machines that joined. Raises when nobody is left."""
        ray = self._ray
        by_work = {hired.work: hired for hired in self._hired}
        done, _ = ray.wait(list(by_work), num_returns=len(by_work), timeout=0) if by_work else ([], [])
        for work in done:
            hired = by_work[work]
            self._hired.remove(hired)
            self._lost[hired.pool] += 1
            self._fault = self._heard(work)
            self._tell(f"a worker gave up: {self._fault.sentence()}")
            with suppress(Exception):
                ray.kill(hired.actor, no_restart=True)
        if time.monotonic() - self._counted_at > _COUNT_SECONDS:
            self._hire()
        hired_pools = {hired.pool for hired in self._hired}
        is_abandoned = any(number > 0 and pool not in hired_pools for pool, number in self._lost.items())
        if is_abandoned and self._fault is not None:
            raise self._fault

    def stop(self, grace_seconds: float = GRACE_SECONDS) -> None:
        """Let each worker finish its step, put its job back and go; whoever is not gone in time is ended."""
        if self._ray is not None and self._hired:
            with suppress(Exception):  # a cluster that is gone has no workers left
                for hired in self._hired:
                    hired.actor.stop.options(max_task_retries=0).remote()
                self._await(grace_seconds)
        self.kill()

    def kill(self) -> None:
        """End all at once. No job is lost by it."""
        for hired in self._hired:
            with suppress(Exception):
                self._ray.kill(hired.actor, no_restart=True)
        self._hired.clear()
        self._ray = None
        self._stack.close()

    def _await(self, seconds: float) -> None:
        """Wait until all have gone. Those that Ray has no machine for at present have nothing to put back."""
        deadline = time.monotonic() + seconds
        work = [hired.work for hired in self._hired]
        while time.monotonic() < deadline:
            _, busy = self._ray.wait(work, num_returns=len(work), timeout=_LOOK_SECONDS)
            self._studio.runner.recover()
            present = [item for item in self._studio.desk.workers() if item.batch_id == self._batch_id]
            if not busy or not any(item.is_alive for item in present):
                return

    # -- inside -------------------------------------------------------------------------------------------------

    def _hire(self) -> None:
        """Hire for every place that is not taken yet."""
        self._counted_at = time.monotonic()
        for pool, wanted, resources in self._places():
            present = sum(hired.pool == pool for hired in self._hired) + self._lost[pool]
            for _ in range(present, wanted):
                self._hire_one(pool, resources)

    def _places(self) -> list[tuple[str, int, dict[str, float]]]:
        """Return pool, number and needs of workers: remote jobs wait for others and need no GPU."""
        machines = [node for node in self._ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
        gpus = int(sum(node["Resources"].get("GPU", 0) for node in machines))
        one_each: dict[str, float] = {"num_gpus": 1, "num_cpus": 0} if gpus else {"num_gpus": 0, "num_cpus": 1}
        full = self._workers or gpus or len(machines) or 1
        remote = 1 if self._need.local else self._workers or len(machines) or 1
        return [
            ("local", min(self._need.local, full), one_each),
            ("remote", min(self._need.remote, remote), {"num_gpus": 0, "num_cpus": 1}),
        ]

    def _hire_one(self, pool: str, resources: dict[str, float]) -> None:
        options = {
            **resources,
            "max_restarts": -1,
            "max_task_retries": -1,
            "max_concurrency": 2,  # one thread works while the other hears that it is to stop
            "scheduling_strategy": "SPREAD",
        }
        actor = self._ray.remote(HiredWorker).options(**options).remote(self._orders(pool, resources))
        self._hired.append(_Hired(actor=actor, work=actor.work.remote(), pool=pool))

    def _orders(self, pool: str, resources: dict[str, float]) -> Orders:
        orders = orders_for(
            self._studio,
            batch_id=self._batch_id,
            pool=pool,
            models=self._need.models[pool],
            is_here=self._place.is_here,
        )
        return replace(orders, device="cuda") if resources["num_gpus"] else orders

    def _heard(self, work: Any) -> EnvironmentFault:
        """Return why a worker gave up."""
        try:
            report = self._ray.get(work)
        except Exception as error:  # its machine cannot load the studio, or the cluster is going down
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            return EnvironmentFault("a worker ended at once", got=lines[-1] if lines else type(error).__name__,
                                    fix="see that the studio is installed on all machines")  # fmt: skip
        parts = report.get("error") or {"message": "it was told to stop by somebody else"}
        rest = {name: parts.get(name) for name in ("field", "got", "allowed", "fix")}
        return EnvironmentFault(f"on {report['host']}: {parts['message']}", **rest)


def cluster_crew(
    studio: Studio, words: str, workers: int | None
) -> Callable[[Batch, Sequence[Glance], Callable[[str], None]], Crew]:
    """Return what brings workers on a cluster to work for a batch. words: of `--on`. workers: None for one per GPU.

    Raises at once what is wrong with the words, or what a cluster needs and is not configured.
    """
    place = parse_place(words)
    require_shared(studio.settings, place)

    def crew(batch: Batch, glances: Sequence[Glance], tell: Callable[[str], None]) -> Crew:
        return RayWorkers(studio, place, batch.id, Need.of(glances), workers=workers, tell=tell)

    return crew
