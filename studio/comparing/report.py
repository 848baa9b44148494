"""Writes what there is to say of comparisons into one HTML file that needs nothing else: the sealed clips are in it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from studio.comparing.comparison import Comparison, Entry
from studio.comparing.ranking import Ranking
from studio.comparing.report_page import Clip, Page, Section
from studio.comparing.voting import Vote
from studio.delivery import deliver_written
from studio.errors import RequestError, StudioError, UnsupportedValue
from studio.library.asset import Asset

MAX_COMPARISONS = 50
# Browsers hold a page in memory whole, and the clips in it a second time while they play.
MAX_MEDIA_BYTES = 256 * 2**20


@dataclass(frozen=True, kw_only=True)
class Told:
    """One comparison with what people said of it. ranking: of its entries."""

    comparison: Comparison
    votes: Sequence[Vote]
    ranking: Ranking


@dataclass(frozen=True, kw_only=True)
class CompareReport:
    """A report that was written. clips: how many are in it. left_out: sentences about those that could not be."""

    path: Path
    sha256: str
    size_bytes: int
    comparisons: tuple[str, ...]
    clips: int
    left_out: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Return what front ends show."""
        lists = {"comparisons": list(self.comparisons), "left_out": list(self.left_out)}
        return {**self.__dict__, **lists, "path": str(self.path)}


def write_report(told: Sequence[Told], models: Ranking | None, path: Path, *, overwrite: bool = False) -> CompareReport:
    """Write the page. models: the ranking over all of the comparisons, None for a single one.

    Only clips that are there and unchanged since they were sealed are in it; of others it says what happened.
    Raises `OutputRefused`, `DiskFull`, or a `RequestError`; then the file is as it was.
    """
    if not 1 <= len(told) <= MAX_COMPARISONS:
        allowed = f"1 to {MAX_COMPARISONS}"
        raise UnsupportedValue("so many do not go into a report", field="comparison", got=len(told), allowed=allowed)
    _require_bearable([entry.asset for item in told for entry in item.comparison.entries if entry.asset is not None])
    contents = _Contents()
    sections = [_section(item, contents) for item in told]
    page = Page(sections=sections, models=models, written_at=datetime.now(UTC))
    digest, size_bytes = deliver_written(path, lambda stream: _write(stream, page.parts()), overwrite=overwrite)
    return CompareReport(
        path=path,
        sha256=digest,
        size_bytes=size_bytes,
        comparisons=tuple(item.comparison.id for item in told),
        clips=contents.clips,
        left_out=tuple(contents.left_out),
    )


@dataclass
class _Contents:
    """What was found while the page was written. clips: how many. left_out: sentences about the others."""

    clips: int = 0
    left_out: list[str] = field(default_factory=list)

    def clip_of(self, comparison_id: str, entry: Entry) -> Clip | str:
        """Read the clip of an entry, and take note of what came of it."""
        found = _clip_of(entry)
        if isinstance(found, Clip):
            self.clips += 1
        else:
            self.left_out.append(f"{comparison_id} entry {entry.number}: {found}")
        return found


def _section(told: Told, contents: _Contents) -> Section:
    comparison = told.comparison
    clip_of = partial(contents.clip_of, comparison.id)
    return Section(comparison=comparison, votes=told.votes, ranking=told.ranking, clip_of=clip_of)


def _clip_of(entry: Entry) -> Clip | str:
    """Return an entry's clip as it was sealed, or a sentence on why it cannot be shown."""
    asset = entry.asset
    if asset is None:
        return str((entry.error or {}).get("message") or f"it has no clip, it is {entry.state}")
    try:
        path = asset.path
        # One of another size need not be read to its end, which may be far away.
        content = path.read_bytes() if path.stat().st_size == asset.size_bytes else b""
    except (StudioError, OSError):
        return "its file is not there any more"
    if hashlib.sha256(content).hexdigest() != asset.sha256:
        return "its file was changed after it was sealed"
    return Clip(asset=asset, content=content)


def _require_bearable(assets: Sequence[Asset]) -> None:
    """Refuse what is too large before any of it is read."""
    size = sum(asset.size_bytes for asset in assets if _is_there(asset))
    if size > MAX_MEDIA_BYTES:
        raise RequestError(
            "the clips are too large for one page", field="comparison", got=f"{size / 2**20:.0f} MiB",
            allowed=f"up to {MAX_MEDIA_BYTES / 2**20:.0f} MiB", fix="write several reports",
        )  # fmt: skip


def _is_there(asset: Asset) -> bool:
    try:
        return asset.is_there
    except StudioError:  # nobody can tell now; it may be when its turn comes
        return True


def _write(stream: BinaryIO, parts: Iterator[str]) -> tuple[str, int]:
    """Write text; return its SHA-256 and its size in bytes."""
    digest, size_bytes = hashlib.sha256(), 0
    for part in parts:
        data = part.encode("utf-8", "replace")
        digest.update(data)
        size_bytes += len(data)
        stream.write(data)
    return digest.hexdigest(), size_bytes
