"""`studio worker`: takes jobs from the queue, in this process."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from studio.errors import UnsupportedValue
from ui.cli import arguments as argument
from ui.cli.console import print_json, print_note
from ui.cli.start import CANCELED

if TYPE_CHECKING:
    from studio.app import Studio
    from studio.jobs.worker import Tally, Worker

POOLS = ("local", "remote")
_PAUSE_SECONDS = 2.0
T = TypeVar("T")


def worker(
    pool: Annotated[
        str | None, typer.Option("--pool", help="Only local jobs, or only remote ones.", metavar="POOL")
    ] = None,
    device: Annotated[
        str | None, typer.Option("--device", help="Of local models, such as cuda:0 or cpu.", metavar="DEVICE")
    ] = None,
    drain: Annotated[bool, typer.Option("--drain", help="End when no job is left.")] = False,
    batch: Annotated[str | None, typer.Option("--batch", help="Only jobs of this batch.", metavar="ID")] = None,
    attached: Annotated[
        bool, typer.Option("--attached", help="Also stop when standard input ends: whoever started it has gone.")
    ] = False,
    as_json: argument.Json = False,
) -> None:
    """Make the clips of the queue, one after the other, until Ctrl-C.

    The job in hand is put back at its next step, with what was sampled so far; Ctrl-C once more ends at once, and
    another worker takes the job up. Start one on each GPU: --device cuda:0, --device cuda:1 ...
    """
    from studio.app import Studio
    from studio.jobs.batches import BatchRows
    from studio.jobs.devices import require_device
    from studio.jobs.roll import WorkerCard
    from studio.jobs.worker import Worker

    if pool not in (None, *POOLS):
        raise UnsupportedValue("no such pool", field="pool", got=pool, allowed=" or ".join(POOLS))
    started = time.monotonic()
    with _stopped_by_signals() as stop:
        if attached:
            _stop_at_end_of_input(stop)
        studio = Studio(_settings(device))
        require_device(studio.settings.device)
        if batch is not None:
            _patiently(lambda: BatchRows(studio.store).find(batch), stop)
        card = WorkerCard(device=studio.settings.device, pool=pool, batch_id=batch)
        _patiently(lambda: studio.store, stop)
        hand = Worker(studio.workshop, card, tell=print_note)
        print_note(f"ready for {pool or 'all'} jobs on {card.device}{_of_batch(batch)}")
        tally = _patiently(lambda: hand.run(stop, drain=drain), stop)
        seconds = time.monotonic() - started
        _conclude(studio, hand, tally, is_stopped=stop.is_set(), seconds=seconds, as_json=as_json)


def _settings(device: str | None) -> Any:
    from studio.config import DEVICE_PATTERN, Settings

    settings = Settings.read()
    if device is None:
        return settings
    if not re.fullmatch(DEVICE_PATTERN, device):
        raise UnsupportedValue("no such device", field="device", got=device, allowed="auto, cpu, mps, xpu, cuda:N")
    return settings.model_copy(update={"device": device})


@contextmanager
def _stopped_by_signals() -> Iterator[threading.Event]:
    """Yield an event that Ctrl-C and SIGTERM set; the second of them ends the process at once."""
    stop = threading.Event()

    def ask(_number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            os._exit(CANCELED)  # as safe as any death: the lock goes, and others take the job up
        stop.set()
        with suppress(OSError):  # not through the stream: it may be in use just now
            os.write(2, b"stopping: the job in hand is put back at its next step\n")

    before = {number: signal.signal(number, ask) for number in _signals()}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _signals() -> list[signal.Signals]:
    """Return what asks to stop; a closed terminal too, unless ``nohup`` wants that to be nothing."""
    names = ("SIGINT", "SIGTERM", "SIGHUP")
    found = [getattr(signal, name) for name in names if hasattr(signal, name)]
    return [number for number in found if signal.getsignal(number) != signal.SIG_IGN or number == signal.SIGINT]


def _stop_at_end_of_input(stop: threading.Event) -> None:
    """Set the event when standard input ends. It is read under another number: no child of ours may read along."""
    source = os.dup(sys.stdin.fileno())
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, sys.stdin.fileno())
    os.close(nothing)

    def listen() -> None:
        with suppress(OSError):
            while os.read(source, 4096):
                pass
        stop.set()

    threading.Thread(target=listen, name="attached", daemon=True).start()


def _patiently(work: Callable[[], T], stop: threading.Event) -> T:
    """Do what needs the database; a disk that is full just now, or a database in use, is waited for."""
    from studio.jobs.run import PASSING_FAULTS
    from studio.jobs.worker import PATIENCE_SECONDS

    since = time.monotonic()
    while True:
        try:
            return work()
        except PASSING_FAULTS as fault:
            if stop.is_set() or time.monotonic() - since > PATIENCE_SECONDS:
                raise
            print_note(f"waiting: {fault.sentence()}")
            stop.wait(_PAUSE_SECONDS)


def _of_batch(batch: str | None) -> str:
    return f", of batch {batch} alone" if batch else ""


def _conclude(studio: Studio, hand: Worker, tally: Tally, *, is_stopped: bool, seconds: float, as_json: bool) -> None:
    counts = {name: number for name, number in tally.__dict__.items() if isinstance(number, int)}
    if as_json:
        made = studio.workshop.roll.work_of(hand.id) if hand.id else []
        jobs = [{"id": job_id, "outcome": outcome} for job_id, outcome in made]
        print_json({"worker": hand.id, "counts": counts, "jobs": jobs, "stopped": is_stopped, "seconds": seconds})
        return
    told = ", ".join(f"{number} {name.replace('_', ' ')}" for name, number in counts.items() if number)
    print_note(f"{'stopped' if is_stopped else 'no job is left'}: {told or 'nothing was done'}")
