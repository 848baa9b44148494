"""What runs on each machine of a cluster: the same worker as anywhere else, over the same database."""

from __future__ import annotations

import logging
import os
import socket
import threading
from typing import Any

from studio.cluster.orders import Orders, fault_report, open_studio
from studio.jobs.roll import WorkerCard
from studio.jobs.worker import Worker
from studio.redaction import RedactingFormatter

_log = logging.getLogger(__name__)


class HiredWorker:
    """A worker in a process of Ray's. Its two methods run side by side in threads.

    Where it ends, Ray starts another on a machine that has room and calls `work` again; jobs and files are in the
    database and the shared folder, so that there is nothing else to bring along.
    """

    def __init__(self, orders: Orders) -> None:
        handler = logging.StreamHandler()  # what it writes ends in a file of Ray's
        handler.setFormatter(RedactingFormatter())
        logging.basicConfig(level=logging.WARNING, handlers=[handler])
        self._orders = orders
        self._stop = threading.Event()

    def work(self) -> dict[str, Any]:
        """Run jobs until `stop` is called. Returns what was done, or the error that ended it; raises nothing."""
        try:
            studio = open_studio(self._orders)
            card = WorkerCard(device=studio.settings.device, pool=self._orders.pool, batch_id=self._orders.batch_id)
            with studio.store:
                tally = Worker(studio.workshop, card, _log.info).run(self._stop)
        except Exception as error:
            return fault_report(error)
        return {"host": socket.gethostname(), "tally": dict(tally.__dict__)}

    def stop(self) -> None:
        """Let the worker finish its step, put its job back and go."""
        self._stop.set()

    def pid(self) -> int:
        """Return the process this is."""
        return os.getpid()
