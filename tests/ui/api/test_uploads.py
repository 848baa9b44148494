"""Files that come in: streamed, bounded, judged, and gone afterwards."""

from __future__ import annotations

import asyncio
import errno
import socket
import time
from pathlib import Path

import pytest
from fastapi import FastAPI
from filelock import FileLock

from studio.app import Studio
from studio.errors import DiskFull
from studio.request import GenerationRequest
from tests.ui.api.conftest import MODEL, Served, refusal, until
from ui.api import bodies, uploads
from ui.api.problems import Refusal
from ui.api.services import Services
from ui.api.slots import Slots
from ui.api.uploads import UploadFolder


@pytest.fixture
def clip(studio: Studio) -> Path:
    return studio.generate(GenerationRequest(model=MODEL, prompt="a square", seed=1)).asset.path


def files_in(served: Served) -> list[Path]:
    return [
        path
        for path in (served.studio.settings.home / "uploads").rglob("*")
        if path.suffix != ".lock" and path.is_file()
    ]


def part(name: str, filename: str | None, content: bytes) -> bytes:
    told = "" if filename is None else f'; filename="{filename}"'
    return f'--b\r\nContent-Disposition: form-data; name="{name}"{told}\r\n\r\n'.encode() + content + b"\r\n"


def send(served: Served, body: bytes, path: str = "/v1/videos", kind: str = "multipart/form-data; boundary=b"):
    return served.client.post(path, content=body, headers={"content-type": kind})


def test_a_sealed_clip_verifies_and_an_altered_one_does_not(served: Served, clip: Path) -> None:
    content = clip.read_bytes()
    report = served.client.post("/v1/verify", files={"file": ("clip.mp4", content)}).json()
    assert report["c2pa"]["state"] == "trusted"
    assert report["watermark"]["detected"] is True
    assert report["library"]["same_file"] is True
    assert "path" not in report
    assert str(served.studio.settings.home) not in str(report)
    altered = content[:-50] + bytes([content[-50] ^ 255]) + content[-49:]
    report = served.client.post("/v1/verify", files={"file": ("clip.mp4", altered)}, data={"search": "false"}).json()
    assert report["c2pa"]["state"] == "invalid"
    assert report["reason"]
    assert files_in(served) == []


def test_nonsense_is_reported_and_not_an_error(served: Served) -> None:
    report = served.client.post("/v1/verify", files={"file": ("a.mp4", b"nonsense")}).json()
    assert report["c2pa"]["state"] == "absent"


def test_a_clip_is_checked(served: Served, clip: Path) -> None:
    answer = served.client.post("/v1/check", files={"file": ("clip.mp4", clip.read_bytes())}, data={"profile": "gate"})
    assert answer.json()["checks"]
    refusal(served.client.post("/v1/check", files={"file": ("clip.mp4", b"nonsense")}), 422)
    error = refusal(served.client.post("/v1/check", files={"file": ("c", b"x")}, data={"profile": "best"}), 422)
    assert error["field"] == "profile"
    assert files_in(served) == []


@pytest.mark.parametrize(
    "name",
    [
        "../../../etc/passwd",
        "..\\..\\x.png",
        "/abs.png",
        "a\0b.png",
        "\u202egnp.exe",
        "x" * 300 + ".png",
        ".",
        "CON",
        "%2e%2e%2f",
    ],
)
def test_the_names_of_files_reach_nothing(served: Served, picture: bytes, name: str, tmp_path: Path) -> None:
    answer = send(served, part("model", None, MODEL.encode()) + part("input_reference", name, picture) + b"--b--\r\n")
    assert answer.status_code in (200, 400), answer.text
    assert files_in(served) == []
    assert {path.name for path in tmp_path.iterdir()} <= {"home", "rows", "picture.png"}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"--b--\r\n", 422),
        (part("model", None, b"x"), 400),
        (part("model", None, b"\xff") + b"--b--\r\n", 400),
        (part("model", None, b"x") * 2 + b"--b--\r\n", 422),
        (part("model", "a.png", b"x") + b"--b--\r\n", 422),
        (part("input_reference", None, b"x") + b"--b--\r\n", 422),
        (part("other", None, b"x") + part("model", None, MODEL.encode()) + b"--b--\r\n", 422),
        (b"--b\r\n\r\nx\r\n--b--\r\n", 400),
        (b"nonsense", 400),
        (b"".join(part(f"f{number}", None, b"x") for number in range(60)) + b"--b--\r\n", 413),
        (part("prompt", None, b"x" * 2**17) + b"--b--\r\n", 413),
        (b"--b\r\nContent-Disposition: form-data; name=" + b"x" * 9000 + b"\r\n\r\nx\r\n--b--\r\n", 400),
        (b"--b\r\n" + b"X-Y: z\r\n" * 30 + b"\r\nx\r\n--b--\r\n", 400),
    ],
)
def test_forms_that_make_no_sense_are_refused(served: Served, body: bytes, status: int) -> None:
    refusal(send(served, body), status)
    assert files_in(served) == []


@pytest.mark.parametrize(
    "kind", ["multipart/form-data", "multipart/form-data; boundary=", "multipart/mixed; boundary=b"]
)
def test_a_form_states_how_it_is_divided(served: Served, kind: str) -> None:
    body = part("model", None, MODEL.encode()) + b"--b--\r\n"
    refusal(send(served, body, kind=kind), 415 if "mixed" in kind else 400)
    refusal(served.client.post("/v1/verify", json={}), 415)
    refusal(served.client.post("/v1/verify", files={"other": ("a", b"x")}), 422)
    refusal(send(served, part("search", None, b"true") + b"--b--\r\n", "/v1/verify"), 422)


def test_a_picture_that_is_none_is_refused_by_its_part_and_not_by_its_path(served: Served) -> None:
    answer = served.client.post(
        "/v1/videos", data={"model": MODEL}, files={"input_reference": ("cat.png", b"nonsense")}
    )
    error = refusal(answer, 422)
    assert (error["field"], error["got"]) == ("input_reference", "cat.png")


def test_more_than_is_allowed_is_cut_off(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ui.api.receiving.MAX_PICTURE_BYTES", 2**20)
    stated = served.client.post("/v1/videos", data={"model": MODEL}, files={"input_reference": ("a.png", bytes(2**21))})
    refusal(stated, 413)

    def endless():
        yield part("input_reference", "a.png", b"").removesuffix(b"\r\n")
        for _ in range(32):
            yield bytes(2**16)

    unstated = served.client.post(
        "/v1/videos", content=endless(), headers={"content-type": "multipart/form-data; boundary=b"}
    )
    refusal(unstated, 413)
    assert files_in(served) == []


def test_a_full_disk_is_told_before_the_file_is_there(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_arguments: object, **_more: object) -> None:
        raise DiskFull("there is no room for the upload", got=f"0 MiB free in {served.studio.settings.home}")

    monkeypatch.setattr(uploads, "require_room", full)
    error = refusal(served.client.post("/v1/verify", files={"file": ("a.mp4", b"x" * 1000)}), 507)
    assert str(served.studio.settings.home) not in str(error)


def test_a_client_that_goes_away_in_the_middle_leaves_nothing(served: Served) -> None:
    with socket.create_connection(("127.0.0.1", served.port)) as raw:
        head = b"POST /v1/verify HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\n"
        raw.sendall(head + b"Content-Length: 99999999\r\n\r\n" + part("file", "a.mp4", bytes(3 * 2**20)))
        until(lambda: files_in(served))
    until(lambda: not files_in(served))
    assert served.client.get("/v1/jobs").status_code == 200


def test_a_client_that_stops_sending_is_let_go(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "SECONDS_BETWEEN_CHUNKS", 0.2)
    with socket.create_connection(("127.0.0.1", served.port)) as raw:
        raw.sendall(b"POST /v1/videos HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n")
        raw.sendall(b"Content-Length: 100\r\n\r\n{")
        assert raw.recv(1000).startswith(b"HTTP/1.1 408")


def left_by_a_killed_server(root: Path) -> None:
    (root / "dead" / "request").mkdir(parents=True)
    (root / "dead" / "request" / "a.mp4").write_bytes(b"x")
    (root / "dead.lock").touch()


def test_what_a_killed_server_left_is_gone_as_soon_as_another_starts(studio: Studio) -> None:
    root = studio.settings.home / "uploads"
    left_by_a_killed_server(root)

    async def live() -> list[Path]:
        async with Services.of(studio).lifespan(FastAPI()):
            return list(root.iterdir())

    assert asyncio.run(live()) == []


def test_a_server_starts_where_leftovers_cannot_be_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    left_by_a_killed_server(tmp_path)
    monkeypatch.setattr(FileLock, "acquire", refuse)
    UploadFolder(tmp_path).sweep()
    assert (tmp_path / "dead").is_dir()


def test_a_living_server_keeps_its_uploads(tmp_path: Path) -> None:
    root = tmp_path / "uploads"

    async def both() -> None:
        first, second = UploadFolder(root), UploadFolder(root)
        async with first.room() as one:
            (one / "a").touch()
            async with second.room() as two:
                second.sweep()
                assert (one / "a").exists()
                assert one != two
            assert not two.exists()
        first.close()
        second.close()

    asyncio.run(both())
    assert list(root.iterdir()) == []


def test_so_many_at_a_time_and_the_others_wait_or_are_sent_away() -> None:
    at_once: list[int] = []

    async def crowd() -> list[object]:
        slots = Slots("inspections", 2, waiting=2, wait_seconds=5)
        inside = 0

        async def one() -> None:
            nonlocal inside
            async with slots.take():
                inside += 1
                at_once.append(inside)
                await asyncio.sleep(0.05)
                inside -= 1

        return await asyncio.gather(*(one() for _ in range(10)), return_exceptions=True)

    refused = [error for error in asyncio.run(crowd()) if isinstance(error, Refusal)]
    assert max(at_once) == 2
    assert len(at_once) == 4
    assert [error.status for error in refused] == [503] * 6
    assert all(error.headers["retry-after"] for error in refused)


def test_who_waits_too_long_for_a_place_is_sent_away() -> None:
    async def late() -> float:
        slots = Slots("inspections", 1, waiting=2, wait_seconds=0.1)
        began = time.monotonic()
        async with slots.take():
            with pytest.raises(Refusal):
                async with slots.take():
                    pass
        async with slots.take():
            return time.monotonic() - began

    assert asyncio.run(late()) < 2
