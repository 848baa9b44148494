"""Who may come in."""

from __future__ import annotations

import logging
import socket
import stat
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from studio.config import Settings
from studio.errors import EnvironmentFault
from tests.ui.api.conftest import MODEL, TOKEN, Served, refusal
from ui.api.access import is_loopback
from ui.api.token import TOKEN_FILE, find_token

BEARER = {"authorization": f"Bearer {TOKEN}"}


@pytest.mark.parametrize(
    "header", [None, "Bearer wrong", f"Basic {TOKEN}", "Bearer", TOKEN, f"Bearer {TOKEN}x", "Bearer \xff"]
)
def test_without_the_token_nobody_comes_in(guarded: Served, header: str | None) -> None:
    headers = {} if header is None else {"authorization": header.encode("latin-1")}
    for method, path in (("GET", "/v1/jobs"), ("POST", "/v1/videos"), ("GET", "/openapi.json"), ("GET", "/v1/events")):
        answer = guarded.client.request(method, path, headers=headers)
        refusal(answer, 401)
        assert answer.headers["www-authenticate"].startswith("Bearer")
    refusal(guarded.client.get("/not/a/path", headers=headers), 401)
    assert guarded.client.get("/healthz").status_code == 200


def test_with_the_token_a_program_comes_in_by_whatever_name(guarded: Served) -> None:
    assert guarded.client.get("/v1/jobs", headers=BEARER).status_code == 200
    assert guarded.client.get("/v1/jobs", headers={**BEARER, "host": "studio.example"}).status_code == 200
    assert guarded.client.get("/v1/jobs", headers={"authorization": f"bearer {TOKEN}"}).status_code == 200
    assert guarded.client.post("/v1/videos", json={"model": MODEL}, headers=BEARER).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["studio.example", "localhost.evil.example", "127.0.0.1.evil.example:80", "10.0.0.1", "", "localhost@evil", "[::1"],
)
def test_a_name_that_was_bent_to_this_machine_is_refused(served: Served, host: str) -> None:
    for path in ("/v1/jobs", "/healthz"):
        refusal(served.client.get(path, headers={"host": host}), 403)


@pytest.mark.parametrize("host", ["localhost", "localhost:9000", "127.0.0.1:1", "[::1]:8765", "LOCALHOST"])
def test_the_names_of_this_machine_are_good(served: Served, host: str) -> None:
    assert served.client.get("/v1/jobs", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://localhost:1"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_pages_of_other_sites_are_refused(served: Served, headers: dict[str, str]) -> None:
    refusal(served.client.get("/v1/jobs", headers=headers), 403)
    for kind in ("application/json", "text/plain", "multipart/form-data; boundary=x"):
        answer = served.client.post("/v1/videos", content=b"{}", headers={**headers, "content-type": kind})
        refusal(answer, 403)
        assert "access-control-allow-origin" not in answer.headers
    asked = {**headers, "access-control-request-method": "POST"}
    refusal(served.client.options("/v1/videos", headers=asked), 403)
    assert served.studio.desk.jobs() == []


def test_a_page_of_this_server_is_let_in(served: Served) -> None:
    headers = {"origin": served.url, "sec-fetch-site": "same-origin"}
    assert served.client.get("/v1/jobs", headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.7", False),
        ("studio.example", False),
        ("", False),
    ],
)
def test_beyond_loopback_is_everything_that_is_not_surely_this_machine(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


def test_a_token_is_made_once_and_kept_from_others(settings: Settings) -> None:
    assert find_token(settings, None, is_needed=False) is None
    made = find_token(settings, None, is_needed=True)
    assert made is not None
    assert made.is_new
    assert len(made.secret.get_secret_value()) >= 43
    assert made.secret.get_secret_value() not in repr(made)
    file = settings.home / TOKEN_FILE
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    again = find_token(settings, None, is_needed=True)
    assert again is not None
    assert (again.secret, again.is_new) == (made.secret, False)


def test_a_token_can_be_brought_along(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUDIO_API_TOKEN", TOKEN)
    brought = find_token(Settings(), None, is_needed=False)
    assert brought is not None
    assert brought.secret == SecretStr(TOKEN)
    assert TOKEN not in repr(Settings())
    (tmp_path / "token").write_text("another-token-of-some-length\n")
    from_file = find_token(Settings(), tmp_path / "token", is_needed=True)
    assert from_file is not None
    assert from_file.secret.get_secret_value() == "another-token-of-some-length"
    assert not (settings.home / TOKEN_FILE).exists()


@pytest.mark.parametrize("content", [b"", b"short", b"two words that are long enough", b"\xff" * 40, b"x" * 600])
def test_a_token_that_protects_nothing_is_refused(settings: Settings, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "token").write_bytes(content)
    with pytest.raises(EnvironmentFault) as caught:
        find_token(settings, tmp_path / "token", is_needed=True)
    assert "short" not in caught.value.sentence()
    with pytest.raises(EnvironmentFault):
        find_token(settings, tmp_path / "not-there", is_needed=True)


def test_the_log_of_visits_tells_nothing_that_others_typed(guarded: Served, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "studio.api.visits")
    caplog.set_level(logging.INFO)
    guarded.client.get("/v1/assets?text=private-words", headers=BEARER)
    guarded.client.get("/v1/jobs/private-words", headers=BEARER)
    guarded.client.get("/private-words", headers=BEARER)
    guarded.client.post("/v1/videos", json={"model": "private-words", "prompt": "private-words"}, headers=BEARER)
    own = [record.getMessage() for record in caplog.records if record.name.startswith(("studio", "uvicorn"))]
    assert any("GET /v1/jobs/{job_id} 404" in line for line in own)
    assert not any("private-words" in line or TOKEN in line for line in own)


def test_what_is_unforeseen_is_told_without_what_it_says(
    served: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise ZeroDivisionError("private-words")

    monkeypatch.setattr(served.studio.desk, "workers", fail)
    error = refusal(served.client.get("/v1/workers"), 500)
    assert "private-words" not in str(error) + caplog.text
    assert "ZeroDivisionError at test_access.py" in caplog.text


def test_headers_without_an_end_are_cut_off(served: Served) -> None:
    with socket.create_connection(("127.0.0.1", served.port)) as raw:
        raw.sendall(b"GET /v1/jobs HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 70_000)
        assert raw.recv(1000).startswith(b"HTTP/1.1 400")
    assert served.client.get("/healthz").status_code == 200


def test_nothing_but_the_home_folder_was_touched(served: Served, tmp_path: Path) -> None:
    served.create()
    assert {path.name for path in tmp_path.iterdir()} <= {"home", "rows"}


def test_a_client_that_speaks_no_http_harms_nobody(served: Served) -> None:
    with socket.create_connection(("127.0.0.1", served.port)) as raw:
        raw.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        raw.shutdown(socket.SHUT_WR)
        raw.recv(1000)
    assert httpx.get(f"{served.url}/healthz", trust_env=False).status_code == 200
