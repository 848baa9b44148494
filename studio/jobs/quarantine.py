"""Where a raw clip waits until it is sealed: hours or money were spent on it, so it outlives a crash."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from filelock import FileLock, Timeout

from studio.consistency.policy import Policy
from studio.consistency.report import Report
from studio.disk import is_full, write_durably
from studio.errors import DiskFull, RequestError, StoreFault
from studio.generator import RawClip
from studio.library.asset import file_sha256
from studio.media import Audio, EncodedClip, FrameClip
from studio.provenance.manifest import Provenance
from studio.request import ResolvedRequest

_log = logging.getLogger(__name__)

RECORD = "raw.json"
REPORT = "report.json"
OPERATION = "operation.json"
_ATTEMPT = "attempt-"


class InWork(RequestError):
    """Another process works on this job."""


@dataclass(frozen=True, kw_only=True)
class RawMaterial:
    """Everything the gate needs to seal a clip. seconds: of sampling and decoding, loading left out.

    policy: what is to happen if a check fails.
    """

    clip: RawClip
    provenance: Provenance
    request: ResolvedRequest
    seconds: float
    policy: Policy = field(default_factory=Policy)


class Quarantine:
    """One folder for each job below `root`; the record is written last and makes the rest valid.

    A job that made its clip again with another seed keeps those attempts in folders below its own. Wherever an
    attempt is asked for, ``JOB`` means the first one and ``JOB/attempt-2`` the second.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def folder(self, job_id: str) -> Path:
        """Return the job's own folder, created if need be."""
        folder = self._root / job_id
        with _write_faults("the folder of a job", folder, fix="mend it"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder

    @contextmanager
    def lock(self, job_id: str) -> Iterator[None]:
        """Hold the job against all other processes; the system frees it when this one dies. Raises `InWork`."""
        lock = FileLock(self.folder(job_id) / "running.lock", blocking=False)
        with _write_faults("the lock of a job", self._root / job_id, fix="mend it"):
            try:
                lock.acquire()
            except Timeout:
                raise InWork(
                    "another process is working on this job", field="job", got=job_id, fix="wait for it"
                ) from None
        try:
            yield
        finally:
            lock.release()

    def is_in_work(self, job_id: str) -> bool:
        """Say whether a living process works on the job."""
        if not (self._root / job_id / "running.lock").exists():
            return False
        try:
            with self.lock(job_id):
                return False
        except InWork:
            return True

    def put(self, attempt: str, material: RawMaterial) -> None:
        """Write a raw clip so that it survives a power cut. Raises `DiskFull` or `StoreFault`."""
        folder = self.folder(attempt)
        with _write_faults("the raw clip", folder, fix="mend it and generate again with the same seed"):
            record = _write_clip(folder, material.clip) | {
                "provenance": material.provenance.as_json(),
                "request": material.request.as_json(),
                "seconds": material.seconds,
                "policy": str(material.policy),
            }
            files = [
                name
                for name in ("frames.npy", "audio.npy", record.get("encoded"))
                if name and (folder / name).is_file()
            ]
            record["sha256"] = {name: file_sha256(folder / name) for name in files}
            content = json.dumps(record).encode()
            write_durably(folder / RECORD, lambda stream: stream.write(content))

    def put_report(self, attempt: str, report: Report) -> None:
        """Keep what the checks said about a raw clip that they did not let pass.

        Raises `DiskFull` or `StoreFault`.
        """
        folder, content = self.folder(attempt), json.dumps(report.as_json()).encode()
        with _write_faults("the report of the checks", folder, fix="mend it and seal the clip again"):
            write_durably(folder / REPORT, lambda stream: stream.write(content))

    def report(self, attempt: str) -> dict[str, Any] | None:
        """Return the report of a raw clip that the checks did not let pass; None for any other."""
        try:
            report: dict[str, Any] = json.loads((self._root / attempt / REPORT).read_bytes())
        except (OSError, ValueError):
            return None
        return report

    def attempts(self, job_id: str) -> list[str]:
        """Return the attempts of a job whose whole raw clip is kept, oldest first."""
        later = [path.parent for path in self._root.glob(f"{job_id}/{_ATTEMPT}*/{RECORD}")]
        numbers = sorted(int(folder.name.removeprefix(_ATTEMPT)) for folder in later)
        names = [attempt_name(job_id, number) for number in (1, *numbers)]
        return [name for name in names if self.holds(name)]

    def holds(self, attempt: str) -> bool:
        """Say whether a whole raw clip is kept. Of a job, at least the first attempt is."""
        return (self._root / attempt / RECORD).is_file()

    def has_checkpoints(self, job_id: str) -> bool:
        """Say whether stages of the job are kept that a retry goes on from."""
        return any((self._root / job_id).rglob("*.checkpoint"))

    def waiting(self) -> list[str]:
        """Return the ids of the jobs whose raw clip is kept and that nobody works on."""
        held = sorted(path.parent.name for path in self._root.glob(f"*/{RECORD}"))
        return [job_id for job_id in held if not self.is_in_work(job_id)]

    def get(self, attempt: str) -> RawMaterial:
        """Return a kept raw clip; its frames and sound are mapped into memory.

        Raises `StoreFault` if it is not what was written.
        """
        folder = self._root / attempt
        try:
            record = json.loads((folder / RECORD).read_bytes())
            for name, digest in record.get("sha256", {}).items():
                if file_sha256(folder / name) != digest:
                    raise ValueError(f"{name} is damaged")
            return RawMaterial(
                clip=_read_clip(folder, record),
                provenance=Provenance.from_json(record["provenance"]),
                request=ResolvedRequest.from_json(record["request"]),
                seconds=record["seconds"],
                policy=Policy.parse(record.get("policy", "flag")),
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StoreFault(
                f"the raw clip of job {attempt} cannot be read ({error})", got=folder, fix="generate it again"
            ) from error

    def is_whole(self, attempt: str, wanted: ResolvedRequest) -> bool:
        """Say whether a raw clip is kept, is what was written, and was made for this request.

        One that is damaged, or from before the request was changed, is forgotten, to be made again.
        """
        if not self.holds(attempt):
            return False
        try:
            made_for = self.get(attempt).request
        except StoreFault as fault:
            _log.warning("%s", fault.sentence())
        else:
            if _essence(made_for) == _essence(wanted):
                return True
        (self._root / attempt / RECORD).unlink(missing_ok=True)
        return False

    def put_operation(self, job_id: str, operation: dict[str, Any]) -> None:
        """Write what was ordered from a provider so that it survives a power cut. Raises `DiskFull` or `StoreFault`."""
        folder, content = self.folder(job_id), json.dumps(operation).encode()
        with _write_faults("what was ordered", folder, fix="mend it"):
            write_durably(folder / OPERATION, lambda stream: stream.write(content))

    def forget_order(self, job_id: str) -> None:
        """Forget what was ordered from a provider: it came to nothing."""
        (self._root / job_id / OPERATION).unlink(missing_ok=True)

    def operation(self, job_id: str) -> dict[str, Any] | None:
        """Return what was last ordered from a provider for this job, as far as this machine knows."""
        try:
            operation: dict[str, Any] = json.loads((self._root / job_id / OPERATION).read_bytes())
        except (OSError, ValueError):
            return None
        return operation

    def forget_stages(self, job_id: str) -> None:
        """Delete what was made for a job, for its request has changed. What goes into it stays."""
        folder = self._root / job_id
        (folder / RECORD).unlink(missing_ok=True)
        self.forget_order(job_id)
        for path in (
            *folder.glob(f"{_ATTEMPT}*"),
            *folder.glob("*.checkpoint"),
            *folder.glob("*.npy"),
            folder / REPORT,
        ):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        for path in folder.glob("raw.*"):
            path.unlink(missing_ok=True)

    def discard(self, job_id: str) -> None:
        """Delete whatever is kept of a job."""
        shutil.rmtree(self._root / job_id, ignore_errors=True)


def digest_of(request: ResolvedRequest) -> str:
    """Return a digest of what decides how a clip looks, in hex digits."""
    return hashlib.sha256(json.dumps(_essence(request), sort_keys=True, default=str).encode()).hexdigest()


def _essence(request: ResolvedRequest) -> dict[str, Any]:
    """Return what decides how a clip looks: files count by their content, and remarks do not."""
    facts = request.as_json()
    inputs = [(item["role"], item["sha256"]) for item in facts["conditionings"]]
    return facts | {"conditionings": inputs, "warnings": []}


def attempt_name(job_id: str, number: int) -> str:
    """Return how an attempt is called. number: 1 for the first."""
    return job_id if number == 1 else f"{job_id}/{_ATTEMPT}{number}"


@contextmanager
def _write_faults(what: str, folder: Path, *, fix: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        fault = DiskFull if is_full(error) else StoreFault
        raise fault(f"{what} cannot be kept ({error.strerror or error})", got=folder, fix=fix) from error


def _write_clip(folder: Path, clip: RawClip) -> dict[str, Any]:
    if isinstance(clip, EncodedClip):
        kept = folder / f"raw{clip.path.suffix}"
        if clip.path != kept:
            with open(clip.path, "rb") as source:
                write_durably(kept, lambda stream: shutil.copyfileobj(source, stream))
        return {"encoded": kept.name, "mime_type": clip.mime_type}
    _write_array(folder / "frames.npy", clip.frames)
    record: dict[str, Any] = {"frame_rate": str(clip.frame_rate), "sample_rate": None}
    if clip.audio is not None:
        _write_array(folder / "audio.npy", clip.audio.samples)
        record["sample_rate"] = clip.audio.sample_rate
    return record


def _read_clip(folder: Path, record: dict[str, Any]) -> RawClip:
    if "encoded" in record:
        return EncodedClip(path=folder / record["encoded"], mime_type=record["mime_type"])
    audio = None
    if record["sample_rate"] is not None:
        samples = np.load(folder / "audio.npy", mmap_mode="r", allow_pickle=False)
        audio = Audio(samples=samples, sample_rate=record["sample_rate"])
    frames = np.load(folder / "frames.npy", mmap_mode="r", allow_pickle=False)
    return FrameClip(frames=frames, frame_rate=Fraction(record["frame_rate"]), audio=audio)


def _write_array(path: Path, array: np.ndarray[Any, Any]) -> None:
    """Write a .npy file by way of Python's own writes: numpy's report a full disk without saying so."""

    def write(stream: BinaryIO) -> None:
        contiguous = np.ascontiguousarray(array)
        np.lib.format.write_array_header_1_0(stream, np.lib.format.header_data_from_array_1_0(contiguous))
        stream.write(contiguous.reshape(-1).view(np.uint8).data)

    write_durably(path, write)
