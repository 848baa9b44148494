"""What gradio takes in: there is room for it, a full disk is told as what it is, and nothing is left of half a file."""

from __future__ import annotations

import errno
import os
import socket
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

from studio.errors import DiskFull
from tests.ui.api.conftest import until
from tests.ui.web.conftest import ServedPage
from tests.ui.web.doorstep import refusal
from tests.ui.web.test_slow_bodies import FILE, FORM, begin
from ui.web import uploading
from ui.web.uploading import Uploads, remove_halves

# Gradio forgets to close the file of an upload that breaks off.
pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.usefixtures("forgotten_files"),
]
PICTURE = {"files": ("a.png", b"\x89PNG" + b"z" * 300_000)}


def halves(site: ServedPage) -> list[Path]:
    return list((site.studio.settings.home / "uploads" / "page").glob("tmp*"))


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is full as soon as gradio writes to it."""
    real = tempfile.NamedTemporaryFile

    def opened(*arguments: Any, **options: Any) -> Any:
        file = real(*arguments, **options)

        def write(_data: bytes) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        file.write = write
        return file

    monkeypatch.setattr("gradio.route_utils.NamedTemporaryFile", opened)


def test_a_disk_that_becomes_full_is_told_and_nothing_is_left(idle_site: ServedPage, full: None) -> None:
    error = refusal(idle_site.client.post("/gradio_api/upload", files=PICTURE), 507)
    assert error["code"] == "disk_full"
    assert "MiB free in STUDIO_HOME" in error["got"]
    assert "free some space" in error["fix"]
    until(lambda: not halves(idle_site))


def test_it_is_asked_for_room_before_anything_is_taken_in(
    idle_site: ServedPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def require(folder: Path, size_bytes: int, *, what: str) -> None:
        asked.append(size_bytes)
        raise DiskFull(f"there is no room for {what}", got=f"0 MiB free in {folder}", fix="free some space")

    monkeypatch.setattr(uploading, "require_room", require)
    error = refusal(idle_site.client.post("/gradio_api/upload", files=PICTURE), 507)
    assert (error["message"], error["got"]) == (
        "there is no room for the upload",
        "0 MiB free in STUDIO_HOME/uploads/page",
    )
    assert asked[0] > 300_000
    assert not halves(idle_site)


def test_of_an_upload_that_breaks_off_nothing_is_left_and_others_go_on(idle_site: ServedPage) -> None:
    body = FILE + b"x" * 200_000
    end = b"\r\n--b--\r\n"
    with begin(idle_site.url, "/gradio_api/upload", FORM, len(body + end), body) as other:
        until(lambda: len(halves(idle_site)) == 1)
        with begin(idle_site.url, "/gradio_api/upload", FORM, 10**6, body):
            until(lambda: len(halves(idle_site)) == 2)
        assert idle_site.client.get("/studio/jobs").status_code == 200
        time.sleep(0.3)
        assert halves(idle_site)
        other.sendall(end)
        assert other.recv(12) == b"HTTP/1.1 200"
        other.shutdown(socket.SHUT_WR)
    until(lambda: not halves(idle_site))


def test_what_a_killed_server_left_goes_when_another_starts(tmp_path: Path) -> None:
    folder = tmp_path / "page"
    folder.mkdir()
    old, new, whole = folder / "tmpabc", folder / "tmpdef", folder / "picture.png"
    for path in (old, new, whole):
        path.write_bytes(b"x")
    (folder / "tmpfolder").mkdir()
    for path in (old, whole, folder / "tmpfolder"):
        os.utime(path, (1, 1))
    Uploads(lambda *_: None, folder=folder)  # type: ignore[arg-type]
    assert sorted(path.name for path in folder.iterdir()) == ["picture.png", "tmpdef", "tmpfolder"]
    remove_halves(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["picture.png", "tmpfolder"]
