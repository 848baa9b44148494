"""A sealed file: checked, watermarked, signed and verified."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from datetime import datetime
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, ClassVar

from studio.library.tables import AssetRow
from studio.provenance.sidecar import SIDECAR_SUFFIX, SIDECAR_TYPES

if TYPE_CHECKING:
    from studio.library.shelf import Shelf

MOVING_PICTURES = ("image/gif", "image/webp")

_SEALED = object()
# The ending of the file that a provider sent, beside the sealed one; what kind it is stands in the row.
MASTER_SUFFIX = ".master"


@dataclass(frozen=True, kw_only=True, init=False)
class Asset:
    """One file of the library. It has no public constructor: only what left through the gate is one.

    parent_id, derivation: what it was made from and how, None for a clip that a model made.
    master: the file as a provider sent it, untouched: sha256, size_bytes, mime_type, provider,
    provider_job_id, attribution (words that must stand where the clip is shown); None for all others.
    name: of the file, relative to the library. sha256: of the file.
    frames_sha256: of the raw frames, before the mark; of the samples for sound.
    num_frames: 1 for a still picture, 0 for sound. frame_rate: frames per second, of the clip for a picture from it.
    watermark_id: 16 hex digits or fewer, None where the mark could not be read back.
    checks_passed: None where no check could tell, and for pictures and sound.
    ruling: what was decided about its checks, as `studio.consistency.policy.Ruling` writes it; None for derived files.
    """

    id: str
    job_id: str | None
    parent_id: str | None
    derivation: dict[str, Any] | None
    master: dict[str, Any] | None
    name: str
    mime_type: str
    sha256: str
    frames_sha256: str
    size_bytes: int
    width: int
    height: int
    num_frames: int
    frame_rate: Fraction
    model: str
    task: str
    prompt: str
    seed: int
    request: dict[str, Any]
    report: dict[str, Any]
    checks_passed: bool | None
    ruling: dict[str, Any] | None
    watermark_id: str | None
    generation_seconds: float
    created_at: datetime
    _shelf: ClassVar[Shelf]  # of the library, set for each; it says nothing of the file itself

    def __init__(self, seal: object, **fields: object) -> None:
        if seal is not _SEALED:
            raise TypeError("an Asset comes from the gate or the library, it is not made by hand")
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    @property
    def path(self) -> Path:
        """The file on this machine, absolute. From a library elsewhere it is fetched when it is asked for.

        Raises `ShareFault` where that cannot be reached, `VerificationFailed` for other bytes than were put there.
        """
        if self.mime_type in SIDECAR_TYPES:
            self._shelf.beside(self.name, SIDECAR_SUFFIX, self.sha256)  # who reads the file looks for it there
        return self._shelf.local(self.name, self.sha256)

    @property
    def is_there(self) -> bool:
        """Whether the library has the file. Raises `ShareFault` where nobody can tell now."""
        return self._shelf.has(self.name)

    @property
    def kind(self) -> str:
        """What the file is to people: video, animation, picture or sound."""
        return kind_of(self.mime_type, self.num_frames)

    @property
    def standing(self) -> str:
        """What is shown of its checks: passed, flagged, released or inconclusive; unchecked where none looked at it."""
        if self.ruling is not None:
            return str(self.ruling["standing"])
        if not self.report["checks"]:
            return "unchecked"
        return {True: "passed", False: "flagged", None: "inconclusive"}[self.checks_passed]

    @property
    def sidecar(self) -> Path | None:
        """Where the Content Credentials are kept that do not fit into the file; None where they are inside."""
        if self.mime_type not in SIDECAR_TYPES:
            return None
        return self._shelf.beside(self.name, SIDECAR_SUFFIX, self.sha256)

    @property
    def master_path(self) -> Path | None:
        """Where the file is that a provider sent, byte for byte; None where a model here made the clip."""
        if self.master is None:
            return None
        return self._shelf.beside(self.name, MASTER_SUFFIX, self.sha256)

    def delete_file(self) -> None:
        """Delete the file and what lies beside it. Raises OSError or `ShareFault`."""
        self._shelf.remove(self.name)
        if self.master is not None:
            self._shelf.remove(self._master_name)
        if self.mime_type in SIDECAR_TYPES:
            self._shelf.remove(self._sidecar_name)

    @property
    def _sidecar_name(self) -> str:
        return str(PurePosixPath(self.name).with_suffix(SIDECAR_SUFFIX))

    @property
    def _master_name(self) -> str:
        return str(PurePosixPath(self.name).with_suffix(MASTER_SUFFIX))

    def as_json(self) -> dict[str, Any]:
        """Return what front ends show."""
        return {
            "id": self.id,
            "kind": self.kind,
            "parent_id": self.parent_id,
            "path": self._shelf.shown(self.name),
            "sidecar": self._shelf.shown(self._sidecar_name) if self.mime_type in SIDECAR_TYPES else None,
            "sha256": self.sha256,
            "frames_sha256": self.frames_sha256,
            "width": self.width,
            "height": self.height,
            "num_frames": self.num_frames,
            "frame_rate": float(self.frame_rate),
            "seed": self.seed,
            "model": self.model,
            "task": self.task,
            "prompt": self.prompt,
            "mime_type": self.mime_type,
            "size_bytes": self.size_bytes,
            "checks_passed": self.checks_passed,
            "checks": self.standing,
            "ruling": self.ruling,
            "master": None if self.master is None else self.master | {"path": self._shelf.shown(self._master_name)},
            "watermark_id": self.watermark_id,
            "created_at": self.created_at.isoformat(),
        }


def kind_of(mime_type: str, num_frames: int) -> str:
    """Return what a file is to people: video, animation, picture or sound."""
    if mime_type.startswith("audio/"):
        return "sound"
    if mime_type.startswith("image/"):
        return "animation" if mime_type in MOVING_PICTURES and num_frames > 1 else "picture"
    return "video"


def file_sha256(path: Path) -> str:
    """Return the hex SHA-256 of a file's bytes. Raises OSError."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def asset_of_row(row: AssetRow, shelf: Shelf) -> Asset:
    """Return the asset a database row describes. shelf: the library's."""
    names = {item.name for item in fields(Asset)} - {"name", "seed", "frame_rate"}
    return Asset(
        _SEALED,
        _shelf=shelf,
        name=row.path,
        seed=int(row.seed),
        frame_rate=Fraction(row.frame_rate),
        **{name: getattr(row, name) for name in names},
    )
