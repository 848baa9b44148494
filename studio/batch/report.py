"""Writes what became of a batch: one file for programs, and a contact sheet for people."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from studio.batch.contact_sheet_style import GENERATOR
from studio.batch.entry import BatchFile
from studio.batch.outcome import AssetFacts, EntryOutcome, Totals
from studio.disk import is_full, write_durably
from studio.errors import DiskFull, OutputRefused, StudioError

FORMAT = "local-video-studio/batch-report"
VERSION = 1
_HEAD_BYTES = 4096
_PAGE = re.compile(r"page-\d+\.html", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class ReportFiles:
    """Where a report was written. figures: JSON lines. page: the contact sheet. totals: what the first line says."""

    figures: Path
    page: Path
    totals: Totals


def default_report_folder(path: Path) -> Path:
    """Return where the report of a batch file goes unless somebody wants it elsewhere: beside it."""
    return path.with_name(f"{path.name}.report")


def check_report_folder(folder: Path, *, home: Path | None = None) -> Path:
    """Refuse, before any work, a folder into which no report may go. Returns its absolute path.

    Only a new or empty folder will do, or one with a report in it, whose two files are replaced and nothing else.
    home: the studio's own folder, into which nobody else writes. Raises `OutputRefused`.
    """
    try:
        folder = folder.expanduser().absolute()
        _check(folder, home)
    except (OSError, RuntimeError, ValueError) as error:  # RuntimeError: the home of an unknown user
        reason = getattr(error, "strerror", None) or error
        raise OutputRefused(f"no report can go there ({reason})", field="report", got=folder) from error
    return folder


def write_batch_report(
    batch: BatchFile, outcomes: Iterable[EntryOutcome], folder: Path | None = None, *, home: Path | None = None
) -> ReportFiles:
    """Write ``report.jsonl`` and ``index.html``; a report that was there before is replaced, each file at once.

    Large batches get further pages, ``page-2.html`` and so on.

    Only clips that are there and unchanged since they were sealed are shown; of others the report says what happened.
    Raises `OutputRefused` or `DiskFull`.
    """
    from studio.batch.contact_sheet import Sheet

    folder = check_report_folder(folder or default_report_folder(batch.path), home=home)
    told = [_with_file_checked(item) for item in sorted(outcomes, key=lambda item: item.number)]
    totals, written_at = Totals.of(told), datetime.now(UTC)
    sheet = Sheet(outcomes=told, totals=totals, title=batch.path.name, folder=folder, near=batch.path.parent,
                  written_at=written_at)  # fmt: skip
    files = ReportFiles(figures=folder / "report.jsonl", page=folder / "index.html", totals=totals)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # First, as it marks the folder as that of a report, should the writing be cut short.
        write_durably(files.figures, _writer(_lines(batch, told, totals, written_at)))
        for index, name in enumerate(sheet.names):
            write_durably(folder / name, _writer(sheet.page(index)))
        for stale in _pages_in(folder):
            if stale.name not in sheet.names:
                stale.unlink()
    except OSError as error:
        if is_full(error):
            raise DiskFull("no room left for the report", got=folder, fix="free some space") from error
        reason = error.strerror or error
        raise OutputRefused(f"nothing can be written there ({reason})", field="report", got=folder) from error
    return files


def _check(folder: Path, home: Path | None) -> None:
    if home is not None and folder.resolve().is_relative_to(home.resolve()):
        raise OutputRefused("this is inside the studio's own folder", field="report", got=folder, fix="choose another")
    if not os.path.lexists(folder):
        _check_parent(next(parent for parent in folder.parents if os.path.lexists(parent)))
        return
    if not folder.is_dir():
        raise OutputRefused("this is no folder", field="report", got=folder, allowed="a folder, or a new name")
    if not any(folder.iterdir()):
        return
    is_report = _is_ours(folder / "report.jsonl", f'{{"format": "{FORMAT}"'.encode(), required=True)
    pages = (folder / "index.html", *_pages_in(folder))
    if not is_report or not all(_is_ours(page, GENERATOR.encode(), required=False) for page in pages):
        raise OutputRefused("this folder holds other things than a report of a batch", field="report", got=folder,
                            fix="choose another folder")  # fmt: skip


def _pages_in(folder: Path) -> list[Path]:
    """Return the further pages of a contact sheet."""
    return sorted(path for path in folder.iterdir() if _PAGE.fullmatch(path.name))


def _check_parent(parent: Path) -> None:
    """Refuse a folder that could not be made in the nearest one that is there."""
    if not parent.is_dir():
        raise OutputRefused("this is no folder", field="report", got=parent, allowed="a folder")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise OutputRefused("this folder may not be written", field="report", got=parent, fix="choose another folder")


def _is_ours(path: Path, mark: bytes, *, required: bool) -> bool:
    """Say whether a report wrote this file. required: it must be there."""
    if path.is_symlink() or (path.exists() and not path.is_file()):
        return False
    if not path.exists():
        return not required
    with open(path, "rb") as stream:
        return mark in stream.read(_HEAD_BYTES)


def _with_file_checked(outcome: EntryOutcome) -> EntryOutcome:
    """Return an outcome whose file may be shown, or one that says why it may not."""
    asset = outcome.asset
    if asset is None:
        return outcome
    fault = _fault_of(asset.path, asset.sha256)
    original = _original_of(asset) if fault else None
    if original is not None:
        return replace(outcome, asset=replace(asset, path=original))
    return replace(outcome, asset=None, error=f"{_once(outcome)}{fault}") if fault else outcome


def _original_of(asset: AssetFacts) -> Path | None:
    """Return the library's own file if it is there and unchanged."""
    try:
        path = None if asset.original is None else asset.original()
    except (StudioError, OSError):
        return None
    return None if path is None or _fault_of(path, asset.sha256) else path


def _fault_of(path: Path, sha256: str) -> str:
    """Say in a sentence why a file may not be shown; empty where it is the sealed one."""
    from studio.library.asset import file_sha256

    try:
        is_same = file_sha256(path) == sha256
    except OSError:
        return "Its file is not there any more."
    return "" if is_same else "Its file was changed after it was sealed."


def _once(outcome: EntryOutcome) -> str:
    return f"{outcome.error} " if outcome.error else ""


def _lines(
    batch: BatchFile, outcomes: Sequence[EntryOutcome], totals: Totals, written_at: datetime
) -> Iterator[str]:  # fmt: skip
    header: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "batch": str(batch.path),
        "digest": batch.digest,
        "written_at": written_at.isoformat(timespec="seconds"),
        "totals": totals.as_json(),
    }
    for item in (header, *(outcome.as_json() for outcome in outcomes)):
        yield json.dumps(item) + "\n"


def _writer(parts: Iterable[str]) -> Callable[[BinaryIO], object]:
    def write(stream: BinaryIO) -> None:
        for part in parts:
            stream.write(part.encode("utf-8", "replace"))

    return write
