"""Batch files that come over HTTP: looked at whole, kept from this machine's own files, handed in all or none."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path, PureWindowsPath

from filelock import Timeout

from studio.alone import alone
from studio.app import Studio
from studio.batch.entry import BatchEntry, BatchFile
from studio.batch.faults import BatchFaults, BatchNotReady, Fault
from studio.batch.reading import read_batch
from studio.batch.validation import validate
from studio.errors import RequestError, UnsupportedValue
from studio.jobs.batches import Batch, BatchRows, Glance, client_key
from studio.jobs.budget import OverBudget, require_room_for, standing_budgets, times
from studio.jobs.job import JobWish
from studio.library.asset import file_sha256
from studio.request import Conditioning, ResolvedRequest, Role
from studio.spending.ledger import REMOTE
from studio.spending.money import Money
from ui.api.lora_names import require_names

MAX_BATCH_BYTES = 8 * 2**20
MAX_ENTRIES = 5_000
_LOCK_SECONDS = 60.0
WHOLE = "the batch"
_LINE = re.compile(r" (\d+)$", re.ASCII)
_KEYS = {Role.FIRST_FRAME: "image", Role.LAST_FRAME: "last_frame", Role.SOURCE_VIDEO: "source_video",
         Role.REFERENCE: "references"}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Upload:
    """A batch file as it arrived. path: where it lies now. name: what its owner calls it.

    files: those that came along, by the name that the batch may call them by: without folders, in Unicode form C.
    owner: name of the account that sent it, None for whoever sits at this machine.
    """

    path: Path
    name: str
    files: Mapping[str, Path] = field(default_factory=dict)
    owner: str | None = None


@dataclass(frozen=True, kw_only=True)
class Estimated:
    """An entry that can be made. seconds, cost: None where nobody knows. is_remote: a provider makes it."""

    entry: BatchEntry
    resolved: ResolvedRequest
    seconds: float | None
    cost: Money | None
    is_remote: bool


@dataclass(frozen=True, kw_only=True)
class Looked:
    """What a batch file holds. entries: all that could be read. ready: in their order, those that can be made.

    faults: everything that is wrong; with any, nothing can be handed in. missing: names of files that did not come.
    unused: names of files that no entry names.
    place: the path that stands for this file, these pictures and this owner; nothing lies there.
    known: what came of the same file before, by the key of its entry; empty for one that is new.
    """

    entries: tuple[BatchEntry, ...]
    missing: tuple[str, ...] = ()
    ready: tuple[Estimated, ...]
    faults: tuple[Fault, ...]
    unused: tuple[str, ...]
    place: Path
    digest: str
    known: Mapping[str, Glance] = field(default_factory=dict)
    known_batch: Batch | None = None


@dataclass(frozen=True, kw_only=True)
class HandedIn:
    """A batch in the queue. jobs: of all its entries. fresh: how many of them are new."""

    batch: Batch
    jobs: tuple[Glance, ...]
    fresh: int


def look_at(studio: Studio, upload: Upload) -> Looked:
    """Read and check a batch file whole, and change nothing. No file is opened but those that came along.

    Raises a `RequestError` where it cannot be read at all.
    """
    if upload.path.stat().st_size > MAX_BATCH_BYTES:
        allowed = f"up to {MAX_BATCH_BYTES // 2**20} MiB"
        raise UnsupportedValue("the file is too large for a batch", field="batch", got=upload.name, allowed=allowed)
    try:
        file = read_batch(upload.path)
        _require_few(file)
    except BatchFaults as error:
        return _nothing(studio, upload, error.faults)
    place = _place(studio, upload, file.digest)
    batch, known = _known(studio, place)
    faults: list[Fault] = []
    confined = [confined_entry(entry, upload.files, faults) for entry in file.entries]
    sound = replace(file, entries=tuple(entry for entry in confined if entry is not None))
    ready: tuple[Estimated, ...] = ()
    try:
        ready = _estimated(studio, sound, validate(sound, studio.resolve, _readiness(studio)))
        _require_money(studio, [item for item in ready if item.entry.key not in known])
    except (BatchFaults, BatchNotReady) as error:
        faults += error.faults
    except OverBudget as error:
        faults.append(Fault.of(WHOLE, error))
    named = {plain_name(str(item.path)) for entry in file.entries for item in entry.request.conditionings}
    used = {item.path for entry in sound.entries for item in entry.request.conditionings}
    return Looked(
        entries=file.entries,
        missing=tuple(sorted(named - upload.files.keys() - {""})),
        ready=ready,
        faults=tuple(sorted(faults, key=_line)),
        unused=tuple(sorted(name for name, path in upload.files.items() if path not in used)),
        place=place,
        digest=file.digest,
        known=known,
        known_batch=batch,
    )


def hand_in(studio: Studio, looked: Looked, owner: str | None, *, again: bool = False) -> HandedIn:
    """Put a batch into the queue: all of it, or nothing. The same file again leads to the same jobs.

    again: make all of it once more. Raises `BatchFaults` where anything is wrong with it, and what submitting does.
    """
    if looked.faults:
        raise BatchFaults(looked.place.name, looked.faults)
    rows = BatchRows(studio.store)
    with _alone_with(studio, looked.place):
        known = None if again else rows.latest(looked.place)
        batch = known or rows.add(looked.place, looked.digest, None, owner)
        there = {job.key for job in rows.glances(batch.id, with_left=True)}
        wishes = [
            (item.resolved, _wish(batch, item.entry, owner)) for item in looked.ready if item.entry.key not in there
        ]
        if wishes:
            studio.desk.submit_many(wishes)
        jobs = tuple(rows.glances(batch.id, with_left=True))
    return HandedIn(batch=batch, jobs=jobs, fresh=len(wishes))


def plain_name(name: str) -> str:
    """Return the name of a file without its folders, however they are written, in Unicode form C; may be empty."""
    return unicodedata.normalize("NFC", PureWindowsPath(name.replace("/", "\\")).name)


def confined_entry(entry: BatchEntry, files: Mapping[str, Path], faults: list[Fault]) -> BatchEntry | None:
    """Return an entry that names only files that came along; None, and faults, where it names others, or a place."""
    before = len(faults)
    if entry.output is not None:
        faults.append(_fault(entry, "output", "nothing is written into folders of this machine from here",
                             fix="leave it out; the library has the clips, and they can be downloaded"))  # fmt: skip
    try:
        require_names(entry.request.options)
    except UnsupportedValue as error:
        faults.append(Fault.of(entry.where, error))
    items: list[Conditioning] = []
    for item in entry.request.conditionings:
        name = plain_name(str(item.path))
        if name in files:
            items.append(replace(item, path=files[name]))
            continue
        faults.append(_fault(entry, _KEYS[item.role], "this file did not come along with the batch",
                             got=name or "no name", fix="add it to the files of this batch"))  # fmt: skip
    if len(faults) > before:
        return None
    return replace(entry, request=replace(entry.request, conditionings=tuple(items)))


# -- inside -----------------------------------------------------------------------------------------------------


def _fault(entry: BatchEntry, name: str, message: str, *, got: str | None = None, fix: str) -> Fault:
    return Fault(where=entry.where, field=name, message=message, got=got, fix=fix)


def _line(fault: Fault) -> int:
    found = _LINE.search(fault.where)
    return int(found[1]) if found else 0


def _require_few(file: BatchFile) -> None:
    if len(file.entries) > MAX_ENTRIES:
        error = UnsupportedValue("the batch has more clips than the page takes", got=f"{len(file.entries):,}",
                                 allowed=f"up to {MAX_ENTRIES:,}", fix="split the file")  # fmt: skip
        raise BatchFaults(file.path.name, [Fault.of(WHOLE, error)])


def _known(studio: Studio, place: Path) -> tuple[Batch | None, dict[str, Glance]]:
    """Return what came of the same file before, by key; nothing where it is new, or nothing is left of it."""
    rows = BatchRows(studio.store)
    batch = rows.latest(place)
    jobs = {} if batch is None else {job.key: job for job in rows.glances(batch.id, with_left=True)}
    return (batch, jobs) if jobs else (None, {})


def _nothing(studio: Studio, upload: Upload, faults: tuple[Fault, ...]) -> Looked:
    digest = file_sha256(upload.path)
    place = _place(studio, upload, digest)
    return Looked(entries=(), ready=(), faults=faults, unused=(), place=place, digest=digest)


def _readiness(studio: Studio) -> Callable[[str], str]:
    def readiness(model: str) -> str:
        return studio.registry.readiness(studio.registry.catalog.get(model)).reason

    return readiness


def _estimated(studio: Studio, file: BatchFile, resolved: tuple[ResolvedRequest, ...]) -> tuple[Estimated, ...]:
    paces: dict[str, float] = {}
    found = []
    for entry, request in zip(file.entries, resolved, strict=True):
        generator = studio.registry.generator(request.model)
        estimate = generator.estimate(request)
        if request.model not in paces:
            paces[request.model] = _pace(studio, entry, estimate.seconds)
        cost = estimate.cost
        found.append(
            Estimated(
                entry=entry,
                resolved=request,
                seconds=None if estimate.seconds is None else estimate.seconds * paces[request.model],
                cost=None if cost is None else Money(amount=cost.amount, currency=cost.currency.upper()),
                is_remote=generator.spec.where == REMOTE,
            )
        )
    return tuple(found)


def _pace(studio: Studio, entry: BatchEntry, seconds: float | None) -> float:
    """Return how many times as long as a model says it takes here, from what was made here before."""
    _resolved, here = studio.estimate(entry.request)
    return here.seconds / seconds if here.seconds and seconds else 1.0


def _require_money(studio: Studio, ready: Sequence[Estimated]) -> None:
    """Raise `OverBudget` where the day or the month has too little money left: it is told before it is tried."""
    policy = studio.settings.check_policy
    costs = [times(item.cost, (item.entry.on_fail or policy).retries + 1) for item in ready if item.is_remote]
    for budget in standing_budgets(studio.settings):
        require_room_for(studio.store, budget, costs)


def _place(studio: Studio, upload: Upload, digest: str) -> Path:
    files = {name: file_sha256(path) for name, path in upload.files.items()}
    same = json.dumps([upload.owner, digest, files], sort_keys=True).encode()
    return studio.settings.home / "batches" / hashlib.sha256(same).hexdigest()[:32] / upload.name


def _wish(batch: Batch, entry: BatchEntry, owner: str | None) -> JobWish:
    return JobWish(
        priority=entry.priority,
        client_key=client_key(batch.id, entry.key),
        on_fail=entry.on_fail,
        label=entry.label,
        batch_id=batch.id,
        entry=entry.number,
        owner=owner,
    )


@contextmanager
def _alone_with(studio: Studio, place: Path) -> Iterator[None]:
    """Let nobody else hand in the same file meanwhile."""
    folder = studio.settings.home / "workers"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with ExitStack() as stack:
        try:
            stack.enter_context(alone(folder / f"batch-{place.parent.name[:16]}.lock", timeout_seconds=_LOCK_SECONDS))
        except Timeout:
            raise RequestError("the same file is being handed in just now", field="batch", fix="wait for it") from None
        yield
