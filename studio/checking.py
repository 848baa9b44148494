"""The service behind `studio check`: any number of videos, each checked for itself."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from studio.config import Settings
from studio.consistency.learned import find_learned_checks, identity_not_assessed
from studio.consistency.live import HEARTBEAT_SECONDS, Emit, LiveWatch
from studio.consistency.report import Report
from studio.consistency.runner import FileProgress, available_checks, check_file
from studio.errors import StudioError, UnreadableMedia
from studio.media import open_live, sniff_mime_type
from studio.media.containers import CONTAINERS, VIDEO_FORMATS

Profile = Literal["gate", "deep"]
PROFILES: tuple[Profile, ...] = ("gate", "deep")


@dataclass(frozen=True, kw_only=True)
class CheckWish:
    """How videos are to be checked.

    profile: gate for the checks that every output passes through, deep for the learned ones on top, where their
    weights are here. input_image: the picture that the clip was made from. prompt: what was asked for.
    """

    profile: Profile = "gate"
    input_image: Path | None = None
    prompt: str | None = None


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What came of one video: a report, or the reason why there is none."""

    path: Path
    report: Report | None = None
    error: StudioError | None = None


@dataclass(frozen=True, kw_only=True)
class CheckingProgress:
    """How far one of several videos is. done, total: frames; total is None where the file says nothing."""

    path: Path
    done: int
    total: int | None


Watch = Callable[[CheckingProgress], None]


def check_one(
    path: Path, settings: Settings, wish: CheckWish | None = None, watch: Watch = lambda _progress: None
) -> Report:
    """Check one video. Raises `UnreadableMedia` for a file in which nothing can be decoded."""
    wish = wish or CheckWish()
    learned = find_learned_checks(settings) if wish.profile == "deep" else None
    report = check_file(
        path,
        (*available_checks(), *(learned.ready if learned else ())),
        input_image=wish.input_image,
        prompt=wish.prompt,
        watch=lambda progress: watch(_of(path, progress)),
    )
    ran = [check.id for check in report.checks]
    missing = (*identity_not_assessed(settings, ran), *(learned.not_assessed if learned else ()))
    return replace(report, profile=wish.profile, not_assessed=missing)


def check_many(
    paths: Sequence[Path],
    settings: Settings,
    wish: CheckWish | None = None,
    *,
    jobs: int | None = None,
    watch: Watch = lambda _progress: None,
) -> Generator[Checked, None, None]:
    """Check several videos at the same time, each in a process of its own; yields each as it is finished.

    paths: files, or folders, which stand for the videos in them. jobs: how many at a time; as many as there are cores
    and files unless given. What goes wrong with one, be it that its decoder crashes, is told and stops none of the
    others. The processes end when the iterator is closed.
    """
    from studio.crew import Crew

    files: list[Path] = []
    for found in _expanded(paths):
        if isinstance(found, Checked):
            yield found
        else:
            files.append(found)
    if files:
        size = max(1, min(jobs or usable_cores(), len(files)))
        yield from Crew(settings, wish or CheckWish(), watch).work(files, size)


def watch_live(source: str, emit: Emit, *, heartbeat_seconds: float = HEARTBEAT_SECONDS) -> bool | None:
    """Check a stream as it arrives until it ends; returns the verdict on all of it, None where nothing came.

    source: a camera's number, an address such as rtsp://host/path, ``-`` for standard input, or a file, which is played
    at its own speed. emit: is given what `LiveWatch` tells. Raises what opening or reading the stream does.
    """
    stop = threading.Event()
    try:
        with open_live(source, stop) as stream:
            summary = LiveWatch(stream, available_checks(), emit).run(heartbeat_seconds)
            return None if summary["passed"] is None else bool(summary["passed"])
    finally:
        stop.set()


def usable_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _expanded(paths: Iterable[Path]) -> Iterator[Path | Checked]:
    """Yield files as they are and the videos of folders by name; what cannot be listed comes out as an error."""
    for path in paths:
        try:
            if not path.is_dir():
                yield path
                continue
            videos = [item for item in sorted(path.iterdir()) if item.is_file() and _is_video(item)]
        except OSError as error:
            reason = f"the folder cannot be listed ({error.strerror or error})"
            yield Checked(path=path, error=UnreadableMedia(reason, field="video", got=path, fix="check its rights"))
            continue
        yield from videos
        if not videos:
            nothing = UnreadableMedia("there is no video in this folder", field="video", got=path,
                                      allowed=VIDEO_FORMATS, fix="folders in it are not looked into")  # fmt: skip
            yield Checked(path=path, error=nothing)


def _is_video(path: Path) -> bool:
    try:
        mime_type = sniff_mime_type(path)
    except UnreadableMedia:
        return False
    return mime_type in CONTAINERS and not str(mime_type).startswith("audio/")


def _of(path: Path, progress: FileProgress) -> CheckingProgress:
    return CheckingProgress(path=path, done=progress.done, total=progress.total)
