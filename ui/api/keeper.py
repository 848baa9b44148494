"""Keeps workers at work while the server runs: started when a job waits that nobody takes, ended with the server."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

from studio.app import Studio
from studio.errors import EnvironmentFault, StudioError
from studio.jobs.devices import devices
from studio.jobs.overview import JobOverview
from studio.jobs.processes import Post, WorkerProcesses

LOOK_SECONDS = 0.5
# After all workers of a kind died as soon as they started, and somebody was told, they are tried again.
RETRY_SECONDS = 60.0

_log = logging.getLogger("studio.api")


class WorkerKeeper:
    """A thread that starts a worker for each device, and one for remote jobs, once there is work for them.

    Where another worker already takes such jobs none is started: it holds the memory that a second would want too.
    tell: told in sentences for people what becomes of them.
    """

    def __init__(self, studio: Studio, tell: Callable[[str], None]) -> None:
        self._studio = studio
        self._overview = JobOverview(studio.store)
        self._tell = tell
        self._crews: dict[str, WorkerProcesses] = {}
        self._not_before: dict[str, float] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)

    def start(self) -> None:
        """Begin to look after the queue."""
        self._thread.start()

    def stop(self) -> None:
        """Let each worker finish its step, put its job back and go; Ctrl-C meanwhile ends them at once."""
        self._over.set()
        self._thread.join()
        try:
            for crew in self._crews.values():
                crew.stop()
        except KeyboardInterrupt:
            for crew in self._crews.values():
                crew.kill()
            raise

    def _run(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            try:
                self._hire()
            except StudioError:
                pass  # a database that does not answer now may do so next time
            except Exception as error:
                _log.error("workers: %s", type(error).__name__)
            for pool, crew in list(self._crews.items()):
                try:
                    crew.tend()
                except EnvironmentFault as fault:
                    self._tell(fault.sentence())
                    del self._crews[pool]
                    self._not_before[pool] = time.monotonic() + RETRY_SECONDS
                except Exception as error:  # the others are to be looked after whatever happens to one
                    _log.error("workers: %s", type(error).__name__)

    def _hire(self) -> None:
        for pool in self._overview.waiting_pools():
            is_due = time.monotonic() >= self._not_before.get(pool, 0.0)
            if pool in self._crews or not is_due or self._is_served(pool):
                continue
            crew = WorkerProcesses(self._posts(pool), self._studio.settings.home / "workers", tell=self._tell)
            self._crews[pool] = crew
            crew.start()

    def _is_served(self, pool: str) -> bool:
        others = (worker for worker in self._studio.desk.workers() if worker.is_resident and worker.batch_id is None)
        return any(worker.is_alive and worker.pool in (None, pool) for worker in others)

    def _posts(self, pool: str) -> Sequence[Post]:
        arguments = ("--attached", "--pool", pool)
        if pool == "remote":
            return [Post(name="api-remote", pool=pool, arguments=arguments)]
        return [
            Post(name=f"api-{device.replace(':', '-')}", pool=pool, arguments=(*arguments, "--device", device))
            for device in devices(self._studio.settings)
        ]
