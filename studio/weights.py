"""Finds a model's weights, fetches them from the hub, and holds them to what was pinned or first recorded."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.resources
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from studio.catalog.schema import HasWeights, Weights
from studio.config import Settings
from studio.disk import write_durably
from studio.errors import Canceled, EnvironmentFault, MissingWeights, StoreFault, WeightsMismatch
from studio.hub import Hub, HubFile, hash_file, is_weights_file

_DIGESTS = "digests.json"


@dataclass(frozen=True, kw_only=True)
class PullProgress:
    """How far a pull is.

    stage: downloading, or verifying what is on disk. file: the one at hand.
    done_bytes, total_bytes: over all files of this stage.
    """

    stage: Literal["downloading", "verifying"]
    file: str
    done_bytes: int
    total_bytes: int


@dataclass(frozen=True, kw_only=True)
class WeightsRecord:
    """What the first download of a model brought. commit: of the repository. files: size and sha256 by path."""

    repository: str
    commit: str
    files: Mapping[str, HubFile]

    def as_json(self) -> dict[str, Any]:
        """Return the record as it is written to disk."""
        files = {path: {"size_bytes": file.size_bytes, "sha256": file.sha256} for path, file in self.files.items()}
        return {
            "repository": self.repository,
            "commit": self.commit,
            "recorded_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "files": files,
        }


class WeightStore:
    """The weights on this machine. Embedded ones ship with the studio; the others live in the hub's own cache."""

    def __init__(self, settings: Settings, hub: Hub | None = None) -> None:
        self._folder = settings.weights_folder
        self._hub = hub or Hub.from_environment()

    def is_present(self, spec: HasWeights) -> bool:
        """Say whether `locate` would succeed; reads a few file sizes, never their bytes."""
        try:
            self.locate(spec)
        except EnvironmentFault:
            return False
        return True

    def locate(self, spec: HasWeights) -> Path:
        """Return the folder of the weights, laid out as diffusers expects it.

        Raises `MissingWeights`, or `WeightsMismatch` when a file's size or the commit is not the recorded one.
        """
        weights = _weights_of(spec)
        if weights.source == "embedded":
            return _embedded_folder(spec, weights)
        record = self._record_for(spec, weights)
        if record is None:
            raise _missing(spec)
        folder = self._hub.snapshot_folder(record.repository, record.commit)
        for path, file in record.files.items():
            if not (folder / path).is_file():
                raise _missing(spec)
            if (size := (folder / path).stat().st_size) != file.size_bytes:
                raise _differs(spec, folder / path, f"{size} bytes", f"{file.size_bytes} bytes")
        return folder

    def commit(self, spec: HasWeights) -> str | None:
        """Return the repository's commit that the weights here are from; None for those that ship with the studio."""
        weights = _weights_of(spec)
        record = None if weights.source == "embedded" else self._record_for(spec, weights)
        return None if record is None else record.commit

    def digest(self, spec: HasWeights) -> str:
        """Return one sha256 for all the weights: of the lines ``path NUL sha256 LF``, sorted by path.

        Raises `WeightsMismatch` when a file is not the one that was pinned or first downloaded.
        """
        folder = self.locate(spec)
        found = self._hash_all(folder, self._paths(spec, folder))
        self._require_recorded(spec, folder, found)
        whole = hashlib.sha256()
        for path, sha256 in sorted(found.items()):
            whole.update(f"{path}\0{sha256}\n".encode())
        return whole.hexdigest()

    def pull(
        self,
        spec: HasWeights,
        progress: Callable[[PullProgress], None] = lambda _: None,
        canceled: Callable[[], bool] = lambda: False,
    ) -> Path:
        """Fetch what is missing, verify every byte, record the commit and the digests on the first download.

        Weights that are complete need no network. Raises `Unreachable`, `MissingKey`, `MissingWeights`, `DiskFull`,
        `WeightsMismatch`, `Canceled`; a later call goes on where this one stopped.
        """
        weights = _weights_of(spec)
        if weights.source == "embedded":
            return self.locate(spec)
        with self._alone(spec):
            recorded = self._record_for(spec, weights)
            wanted = recorded or self._ask_hub(weights)
            verified = self._bring(spec, wanted, progress, canceled)
            if recorded is None:
                _write_json(self._record_path(spec), verified.as_json())
        return self._hub.snapshot_folder(wanted.repository, wanted.commit)

    def _ask_hub(self, weights: Weights) -> WeightsRecord:
        listing = self._hub.list_files(weights)
        return WeightsRecord(repository=weights.repository, commit=listing.commit, files=listing.files)

    def _bring(
        self,
        spec: HasWeights,
        wanted: WeightsRecord,
        progress: Callable[[PullProgress], None],
        canceled: Callable[[], bool],
    ) -> WeightsRecord:
        """Make every wanted file be here and be right; return the record with all digests filled in."""
        folder = self._hub.snapshot_folder(wanted.repository, wanted.commit)
        expected = {path: _weights_of(spec).sha256.get(path) or file.sha256 for path, file in wanted.files.items()}
        present = {path: file for path, file in wanted.files.items() if (folder / path).is_file()}
        missing = {path: file for path, file in wanted.files.items() if path not in present}

        meter = _Meter("verifying", present, progress, canceled)
        for path in present:
            sha256 = hash_file(folder / path, meter.start(path))
            if sha256 != (expected[path] or sha256):
                raise _differs(spec, folder / path, sha256, str(expected[path]))
            expected[path] = sha256

        needed = sum(file.size_bytes for file in missing.values())
        self._hub.require_room(max(0, needed - self._hub.partial_bytes(wanted.repository)))
        meter = _Meter("downloading", missing, progress, canceled)
        for path in missing:
            on_bytes = meter.start(path)
            expected[path] = self._hub.fetch(wanted.repository, wanted.commit, path, expected[path], on_bytes)

        self._remember({folder / path: str(sha256) for path, sha256 in expected.items()})
        files = {
            path: HubFile(size_bytes=(folder / path).stat().st_size, sha256=sha256) for path, sha256 in expected.items()
        }
        return WeightsRecord(repository=wanted.repository, commit=wanted.commit, files=files)

    def _record_for(self, spec: HasWeights, weights: Weights) -> WeightsRecord | None:
        """Return the record of these very weights; one of another repository or commit than the row's is of no use."""
        record = self._read_record(spec)
        if record is None or record.repository != weights.repository:
            return None
        return record if weights.revision in (None, record.commit) else None

    def _record_path(self, spec: HasWeights) -> Path:
        return self._folder / f"{spec.id}.json"

    def _read_record(self, spec: HasWeights) -> WeightsRecord | None:
        path = self._record_path(spec)
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            files = {name: HubFile(**file) for name, file in data["files"].items()}
            return WeightsRecord(repository=data["repository"], commit=data["commit"], files=files)
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise WeightsMismatch(
                "the record of the first download cannot be read",
                field=str(path),
                fix=f"delete it and run `studio models pull {spec.id}` to trust the weights on the hub anew",
            ) from error

    @contextlib.contextmanager
    def _alone(self, spec: HasWeights) -> Iterator[None]:
        """Hold the model's lock: two pulls at once would write the same partial file."""
        import filelock

        lock = filelock.FileLock(self._folder / f"{spec.id}.lock", timeout=0)
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock.acquire()
        except filelock.Timeout as error:
            raise EnvironmentFault(
                f"another process is pulling {spec.id}", field="model", fix="wait for it to finish, or stop it"
            ) from error
        except OSError as error:
            raise StoreFault(
                f"the record of the weights cannot be kept ({error.strerror or error})",
                field="STUDIO_HOME",
                got=self._folder,
                fix="set STUDIO_HOME to a folder this user can write",
            ) from error
        try:
            yield
        finally:
            lock.release()

    def _require_recorded(self, spec: HasWeights, folder: Path, found: Mapping[str, str]) -> None:
        weights = _weights_of(spec)
        record = None if weights.source == "embedded" else self._record_for(spec, weights)
        recorded = {} if record is None else {path: file.sha256 for path, file in record.files.items()}
        for path, expected in (recorded | weights.sha256).items():
            if expected is not None and found.get(path) != expected:
                raise _differs(spec, folder / path, str(found.get(path)), expected)

    def _paths(self, spec: HasWeights, folder: Path) -> list[str]:
        if _weights_of(spec).source == "hub" and (record := self._read_record(spec)) is not None:
            return list(record.files)
        files = (path for path in folder.rglob("*") if path.is_file())
        return [name for path in files if is_weights_file(name := path.relative_to(folder).as_posix())]

    def _hash_all(self, folder: Path, paths: Iterable[str]) -> dict[str, str]:
        known = self._read_digests()
        found: dict[str, str] = {}
        fresh: dict[Path, str] = {}
        for path in paths:
            sha256 = known.get(_fingerprint(folder / path))
            if sha256 is None:
                sha256 = fresh[folder / path] = hash_file(folder / path)
            found[path] = sha256
        if fresh:
            self._remember(fresh)
        return found

    def _read_digests(self) -> dict[str, str]:
        try:
            data = json.loads((self._folder / _DIGESTS).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}  # a cache: computing them again costs seconds
        return data if isinstance(data, dict) else {}

    def _remember(self, digests: Mapping[Path, str]) -> None:
        fresh = {_fingerprint(path): sha256 for path, sha256 in digests.items()}
        with contextlib.suppress(OSError):  # a cache again: a full or read-only disk costs time, not the run
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _write_json(self._folder / _DIGESTS, self._read_digests() | fresh)


class _Meter:
    """Counts the bytes of one stage over all its files, and stops the work when it is canceled."""

    def __init__(
        self,
        stage: Literal["downloading", "verifying"],
        files: Mapping[str, HubFile],
        progress: Callable[[PullProgress], None],
        canceled: Callable[[], bool],
    ) -> None:
        self._stage = stage
        self._total = sum(file.size_bytes for file in files.values())
        self._done = 0
        self._progress = progress
        self._canceled = canceled

    def start(self, path: str) -> Callable[[int], None]:
        """Return the function to call with each number of bytes done of this file."""

        def on_bytes(count: int) -> None:
            if self._canceled():
                raise Canceled
            self._done += count
            total = max(self._total, self._done)
            self._progress(PullProgress(stage=self._stage, file=path, done_bytes=self._done, total_bytes=total))

        return on_bytes


def _weights_of(spec: HasWeights) -> Weights:
    if spec.weights is None:
        raise MissingWeights(f"{spec.id} has no weights to load", field="model", got=spec.id)
    return spec.weights


def _embedded_folder(spec: HasWeights, weights: Weights) -> Path:
    try:
        folder = Path(str(importlib.resources.files("weights") / weights.repository))
    except ModuleNotFoundError:
        folder = Path("weights", weights.repository)
    if not (folder / "model_index.json").is_file():
        raise MissingWeights(
            f"the weights of {spec.id}, which ship with the studio, are not here",
            field="model",
            got=spec.id,
            fix="install the studio again",
        )
    return folder


def _missing(spec: HasWeights) -> MissingWeights:
    return MissingWeights(
        f"the weights of {spec.id} are not on this machine",
        field="model",
        got=spec.id,
        fix=f"run `studio models pull {spec.id}`",
    )


def _differs(spec: HasWeights, path: Path, got: str, expected: str) -> WeightsMismatch:
    return WeightsMismatch(
        f"the weights of {spec.id} are not those of the first download",
        field=str(path),
        got=got,
        allowed=expected,
        fix=f"delete this file and run `studio models pull {spec.id}`",
    )


def _fingerprint(path: Path) -> str:
    real = path.resolve()
    status = real.stat()
    return f"{real}:{status.st_size}:{status.st_mtime_ns}"


def _write_json(path: Path, data: Mapping[str, Any]) -> None:
    content = json.dumps(data, indent=2, sort_keys=True).encode()
    write_durably(path, lambda file: file.write(content))
