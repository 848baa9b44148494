"""Nobody makes the page read a file that was not uploaded to it, whatever they tell gradio of a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.webpage import ServedPage
from ui.api.problems import Refusal
from ui.web.uploaded import UploadedOnly

SECRET = "the key of the watermark"


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file of this machine that is none of the page's business."""
    path = tmp_path / "secret.png"
    path.write_text(SECRET)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    room = tmp_path / "uploads"
    room.mkdir()
    (room / "picture.png").write_bytes(b"a picture")
    return room


def forged(path: object) -> list[Any]:
    """Return the ways to tell gradio of a file."""
    return [
        {"path": path, "meta": {"_type": "gradio.FileData"}},
        {"path": path, "meta": {}},
        {"path": path},
        {"path": path, "is_stream": True},
        {"orig_name": "x.png", "path": path},
        [{"deep": [{"path": path}]}],
    ]


def test_only_what_lies_in_the_upload_folder_is_let_through(folder: Path, secret: Path) -> None:
    only = UploadedOnly(lambda *_: None, folder=folder)  # type: ignore[arg-type]
    (folder / "link.png").symlink_to(secret)
    outside = [
        str(secret), "/etc/passwd", f"{folder}/../secret.png", "picture.png", f"{folder}/link.png",
        f"{folder}/gone.png", f"{folder}/\0x", None, 5, ["/etc/passwd"], "x" * 5000,
    ]  # fmt: skip
    for path in outside:
        for value in forged(path):
            with pytest.raises(Refusal) as refusal:
                only.check(json.dumps({"data": [value, "text"]}).encode())
            assert refusal.value.status == 422
            assert str(secret) not in json.dumps(refusal.value.as_json())
    only.check(json.dumps({"data": forged(f"{folder}/picture.png")}).encode())
    only.check(json.dumps({"data": [None, 1, "text", {"to": "create", "do": "again"}], "session_hash": "x"}).encode())


def test_what_is_no_json_is_refused(folder: Path) -> None:
    only = UploadedOnly(lambda *_: None, folder=folder)  # type: ignore[arg-type]
    for body in (b"", b"{", b"\xff\xfe", b"[" * 100_000, ("[" * 200 + "]" * 200).encode()):
        with pytest.raises(Refusal) as refusal:
            only.check(body)
        assert refusal.value.status == 400


@pytest.mark.parametrize("way", range(len(forged(""))))
def test_no_listener_of_the_page_reads_a_forged_file(idle_site: ServedPage, secret: Path, way: int) -> None:
    """Every listener that there is, by gradio's two ways to call one."""
    value = forged(str(secret))[way]
    uploads = idle_site.studio.settings.home / "uploads" / "page"
    for number in range(60):
        call = {"data": [value] * 40, "fn_index": number, "session_hash": "forger", "trigger_id": None}
        answers = [idle_site.client.post("/gradio_api/run/predict", json=call)]
        answers.append(idle_site.client.post("/gradio_api/queue/join", json=call))
        assert [answer.status_code for answer in answers] == [422, 422]
        assert all(SECRET not in answer.text and str(secret) not in answer.text for answer in answers)
    assert [path for path in uploads.rglob("*") if path.is_file() and SECRET in path.read_text(errors="replace")] == []


def test_an_uploaded_picture_is_let_through_and_lies_in_the_home(idle_site: ServedPage) -> None:
    answer = idle_site.client.post("/gradio_api/upload", files={"files": ("picture.png", b"not much of one")})
    (path,) = answer.json()
    home = idle_site.studio.settings.home
    assert Path(path).resolve().is_relative_to((home / "uploads" / "page").resolve())
    assert (home / "uploads" / "page").stat().st_mode & 0o777 == 0o700
    file = {"path": path, "meta": {"_type": "gradio.FileData"}, "orig_name": "picture.png"}
    call = {"data": [file], "fn_index": 9999, "session_hash": "somebody"}
    assert idle_site.client.post("/gradio_api/run/predict", json=call).status_code != 422
