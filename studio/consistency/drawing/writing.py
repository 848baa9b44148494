"""Writes a report's three files: figures for programs, a picture, and a page that works anywhere and needs nothing."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studio.consistency.drawing.moments import Pictures, moments_of, thumbnails
from studio.consistency.drawing.sheet import sheet_of
from studio.disk import is_full, write_durably
from studio.errors import DiskFull, OutputRefused


@dataclass(frozen=True, kw_only=True)
class ReportFiles:
    """Where a report was written."""

    figures: Path
    picture: Path
    page: Path

    @property
    def paths(self) -> tuple[Path, Path, Path]:
        return self.figures, self.picture, self.page


def check_report_folder(folder: Path, *, overwrite: bool, home: Path | None = None) -> ReportFiles:
    """Say where a report would be written, before any work. The folder need not be there yet.

    home: the studio's own folder, into which nobody else writes.
    Raises `OutputRefused` where one is already and is not to be replaced, or where the folder is none or in `home`.
    """
    if home is not None and folder.resolve().is_relative_to(home.resolve()):
        raise OutputRefused("this is the studio's own folder", field="report", got=folder,
                            allowed="any folder outside of it")  # fmt: skip
    files = ReportFiles(figures=folder / "report.json", picture=folder / "report.png", page=folder / "report.html")
    if folder.exists() and not folder.is_dir():
        raise OutputRefused("this is no folder", field="report", got=folder, allowed="a folder, or a new name")
    there = [path for path in files.paths if path.exists()]
    if there and not overwrite:
        raise OutputRefused("there is a report already", field="report", got=there[0],
                            fix="choose another folder, or add --force")  # fmt: skip
    return files


def write_report(
    folder: Path, report: Mapping[str, Any], pictures: Pictures, *, name: str, overwrite: bool = False
) -> ReportFiles:
    """Write ``report.json``, ``report.png`` and ``report.html`` into a folder, which is made if need be.

    report: as `Report.as_json` writes it. pictures: yields the frames it is asked for. name: of the clip, as shown.
    Raises `OutputRefused` or `DiskFull`; and what reading the frames raises.
    """
    from studio.consistency.drawing.page import page_of
    from studio.consistency.drawing.picture import draw_sheet

    files = check_report_folder(folder, overwrite=overwrite)
    sheet, moments = sheet_of(report, name), moments_of(report)
    small = thumbnails(moments, pictures)
    drawn = io.BytesIO()
    draw_sheet(sheet, moments, small).save(drawn, "PNG", optimize=True)
    figures = json.dumps({"name": name, **report}, allow_nan=False, indent=1) + "\n"
    contents = (figures.encode(), drawn.getvalue(), page_of(sheet, moments, small).encode("utf-8", "replace"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, content in zip(files.paths, contents, strict=True):
            write_durably(path, lambda stream, content=content: stream.write(content))  # type: ignore[misc]
    except OSError as error:
        if is_full(error):
            raise DiskFull("no room left for the report", got=folder, fix="free some space") from error
        reason = error.strerror or error
        raise OutputRefused(f"nothing can be written there ({reason})", field="report", got=folder) from error
    return files
