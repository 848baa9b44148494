"""Draws the report on a video from anywhere, on a clip of the library, or on one that waits in quarantine."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from studio.consistency.drawing.moments import Pictures, pictures_of_file
from studio.consistency.drawing.writing import ReportFiles, check_report_folder, write_report
from studio.consistency.report import Report
from studio.errors import UnsupportedValue
from studio.generator import RawClip
from studio.jobs.quarantine import Quarantine
from studio.library.asset import Asset
from studio.media import EncodedClip, Image

__all__ = ["check_report_folder", "report_on_asset", "report_on_file", "report_on_raw"]


def report_on_file(path: Path, report: Report, folder: Path, *, overwrite: bool = False) -> ReportFiles:
    """Draw what was just said about a file. Raises what `write_report` does."""
    pictures = pictures_of_file(path, report.num_frames, report.num_frames)
    return write_report(folder, report.as_json(), pictures, name=path.name, overwrite=overwrite)


def report_on_asset(asset: Asset, folder: Path, *, overwrite: bool = False) -> ReportFiles:
    """Draw what the gate found in the raw frames of a clip, with pictures from its sealed file.

    Raises `UnsupportedValue` for a picture or sound, which nothing checks, and what `write_report` does.
    """
    report = _checked(asset.report, asset.id)
    pictures = pictures_of_file(asset.path, asset.num_frames, report["num_frames"])
    return write_report(folder, report, pictures, name=asset.path.name, overwrite=overwrite)


def report_on_raw(quarantine: Quarantine, attempt: str, folder: Path, *, overwrite: bool = False) -> ReportFiles:
    """Draw why a clip waits. attempt: its name in quarantine, the job's id for the first.

    Raises `UnsupportedValue` for a clip that waits for another reason, and what `write_report` does.
    """
    report = _checked(quarantine.report(attempt), attempt)
    pictures = _pictures_of(quarantine.get(attempt).clip, report["num_frames"])
    return write_report(folder, report, pictures, name=f"{attempt} (not sealed)", overwrite=overwrite)


def _checked(report: dict[str, Any] | None, name: str) -> Mapping[str, Any]:
    if report is None or not report["checks"]:
        raise UnsupportedValue(
            "there is no report on this", field="report", got=name, allowed="a clip that was checked"
        )
    return report


def _pictures_of(clip: RawClip, num_frames: int) -> Pictures:
    if isinstance(clip, EncodedClip):
        return pictures_of_file(clip.path, num_frames, num_frames)
    frames = clip.frames

    def read(indices: Collection[int]) -> Iterator[tuple[int, Image]]:
        return ((index, frames[index]) for index in sorted(indices) if index < len(frames))

    return read
