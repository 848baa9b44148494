"""What a job has reached so far, kept on disk so that a retry goes on from there."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, BinaryIO

from studio import __version__
from studio.disk import is_full, write_durably
from studio.errors import DiskFull, StoreFault

_log = logging.getLogger(__name__)

_SUFFIX = ".checkpoint"
_STAGE = re.compile(r"[a-z0-9-]{1,40}", re.ASCII)
# Another version of one of these may give other bits for the same request.
_LIBRARIES = ("torch", "diffusers", "transformers", "accelerate")


def checkpoint_key(
    request: Mapping[str, Any],
    *,
    weights_sha256: str | None,
    device: str,
    settings: Mapping[str, Any] | None = None,
) -> str:
    """Return what a checkpoint is good for, as a hex digest: two runs with the same key pass through the same bits.

    request: as `ResolvedRequest.as_json` gives it; its warnings and the paths of its pictures do not count.
    weights_sha256: of the model. device: such as ``cpu`` or ``cuda:1``; which one of its kind does not count.
    settings: of the model's row. The versions of this program and of the libraries that compute count as well.
    """
    wanted = {name: value for name, value in request.items() if name not in ("warnings", "conditionings")}
    pictures = [[item["role"], item["sha256"]] for item in request.get("conditionings", ())]
    facts = {
        "request": wanted,
        "conditionings": pictures,
        "weights": weights_sha256,
        "device": device.partition(":")[0],
        "settings": dict(settings or {}),
        "studio": __version__,
        "libraries": {name: _version(name) for name in _LIBRARIES},
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()


class Checkpoints:
    """The stages that one attempt of one job has finished, a file for each, whole or not there at all.

    folder: the attempt's own; it is there already. key: see `checkpoint_key`.
    A file is one line of JSON (stage, key, sha256 and size of the content), then the content.
    Only the process that holds the job may keep or clear.
    """

    def __init__(self, folder: Path, key: str) -> None:
        self._folder = folder
        self._key = key

    def keep(self, stage: str, content: bytes) -> None:
        """Make the result of a stage last through a power cut; it replaces an earlier one of the same stage.

        stage: of lower-case letters, digits and hyphens, 1 to 40 of them; anything else is a ValueError.
        Raises `DiskFull` or `StoreFault`; what was kept before is then still there.
        """
        path = self._path(stage)
        header = {"stage": stage, "key": self._key, "sha256": _sha256(content), "size": len(content)}

        def write(stream: BinaryIO) -> None:
            stream.write(json.dumps(header).encode() + b"\n")
            stream.write(content)

        try:
            write_durably(path, write)
        except OSError as error:
            fault = DiskFull if is_full(error) else StoreFault
            raise fault(
                f"the stage {stage} of a job cannot be kept ({error.strerror or error})",
                got=self._folder,
                fix="free some space, or set STUDIO_HOME to another disk",
            ) from error
        self._sweep(path)

    def kept(self, stage: str) -> bytes | None:
        """Return what was kept of a stage; None if there is nothing, or nothing made under this key.

        A file that is damaged is deleted and counts as not there. An unfit `stage` is a ValueError.
        """
        path = self._path(stage)
        try:
            stored = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            _log.warning("the stage %s in %s cannot be read: %s", stage, path.parent, error)
            return None
        line, _, content = stored.partition(b"\n")
        header = _header(line)
        if header.get("stage") != stage or header.get("sha256") != _sha256(content):
            _log.warning("the stage %s in %s is damaged and is made again", stage, path.parent)
            with suppress(OSError):
                path.unlink()
            return None
        if header.get("key") != self._key:
            _log.info("the stage %s in %s was made for another run and is not used", stage, path.parent)
            return None
        return content

    def clear(self) -> None:
        """Delete all stages, and what a killed process left of one."""
        for path in self._files():
            with suppress(OSError):
                path.unlink()

    def size_bytes(self) -> int:
        """Return how much room all stages take on the disk, whatever they were made for."""
        total = 0
        for path in self._files():
            with suppress(OSError):
                total += path.stat().st_size
        return total

    def _path(self, stage: str) -> Path:
        if not _STAGE.fullmatch(stage):
            raise ValueError(f"a stage is named with 1 to 40 of a-z, 0-9 and '-', got {stage!r}")
        return self._folder / f"{stage}{_SUFFIX}"

    def _files(self) -> Iterator[Path]:
        yield from self._folder.glob(f"*{_SUFFIX}")
        yield from self._folder.glob(f".*{_SUFFIX}.*.part")

    def _sweep(self, path: Path) -> None:
        """Delete what processes that were killed while they wrote this stage left of it."""
        for left in self._folder.glob(f".{path.name}.*.part"):
            if left.name != f".{path.name}.{os.getpid()}.part":
                with suppress(OSError):
                    left.unlink()


def _header(line: bytes) -> dict[str, Any]:
    try:
        header = json.loads(line)
    except ValueError:
        return {}
    return header if isinstance(header, dict) else {}


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _version(library: str) -> str | None:
    try:
        return version(library)
    except PackageNotFoundError:
        return None
