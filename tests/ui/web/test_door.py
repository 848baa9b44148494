"""The door of the page: no stranger's site, no path that is not needed, no more than a role may, no more than fits."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from studio.config import Settings
from studio.errors import EnvironmentFault
from studio.library.store import Store
from studio.people.account import Role
from studio.people.people import People
from studio.people.visitor import NotAllowed
from tests.ui.api.conftest import until
from tests.ui.web.doorstep import PASSWORD, SECRET, Doorstep, doorstep, raw, refusal
from ui.web.entrance import door as doors
from ui.web.entrance.door import require_login_possible
from ui.web.visitor import visitor_of

EVIL = "http://evil.example"


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doorstep]:
    """As it is by default: on loopback, without a login."""
    with doorstep(tmp_path_factory.mktemp("local"), needs_login=False) as step:
        yield step


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doorstep]:
    """As it is beyond loopback: with a login."""
    with doorstep(tmp_path_factory.mktemp("guarded"), needs_login=True) as step:
        yield step


# -- on this machine, without a login ---------------------------------------------------------------------------------


def test_who_sits_at_this_machine_may_do_everything(local: Doorstep) -> None:
    with local.client() as client:
        told = client.post("/studio/thing").json()
    assert (told["name"], told["role"], told["is_local"]) == (None, "admin", True)


def test_a_program_on_this_machine_is_let_in(local: Doorstep) -> None:
    assert httpx.post(f"{local.url}/studio/thing").status_code == 200
    assert httpx.get(f"{local.url}/").status_code == 200


STRANGERS = [
    {"origin": EVIL},
    {"origin": "null"},
    {"origin": "http://127.0.0.1:1"},
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
]


@pytest.mark.parametrize("headers", STRANGERS, ids=str)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/studio/thing"),
        ("DELETE", "/studio/thing"),
        ("GET", "/studio/jobs"),
        ("POST", "/gradio_api/run/predict"),
        ("POST", "/gradio_api/queue/join"),
        ("POST", "/gradio_api/upload"),
        ("GET", "/gradio_api/queue/data"),
        ("GET", "/gradio_api/heartbeat/abc"),
        ("GET", "/config"),
    ],
)
@pytest.mark.parametrize("role", [None, Role.ADMIN], ids=["local", "guarded"])
def test_a_page_of_another_site_is_kept_out(
    local: Doorstep, guarded: Doorstep, role: Role | None, method: str, path: str, headers: dict[str, str]
) -> None:
    step = local if role is None else guarded
    cookies = {} if role is None else {"studio-visit": step.token(role)}
    answer = httpx.request(method, step.url + path, headers=headers, cookies=cookies)
    assert refusal(answer, 403)["message"] == "a page of another site asks"
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost@evil.example", "", "[", "0.0.0.0"]
)
@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/"), ("GET", "/studio/jobs"), ("POST", "/gradio_api/run/predict")]
)
def test_a_name_that_a_stranger_lets_point_here_is_refused(local: Doorstep, host: str, method: str, path: str) -> None:
    headers = {"host": host, "origin": f"http://{host}", "sec-fetch-site": "same-origin"}
    assert refusal(httpx.request(method, local.url + path, headers=headers), 403)["field"] == "Host"


@pytest.mark.parametrize("name", ["localhost", "[::1]", "127.0.0.9"])
def test_every_loopback_name_will_do(local: Doorstep, name: str) -> None:
    host = f"{name}:{local.url.rpartition(':')[2]}"
    answer = httpx.post(f"{local.url}/studio/thing", headers={"host": host, "origin": f"http://{host}"})
    assert answer.status_code == 200


def test_a_link_of_another_site_may_open_the_page_and_nothing_else(local: Doorstep) -> None:
    headers = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    assert httpx.get(f"{local.url}/?tab=queue", headers=headers).status_code == 200
    refusal(httpx.get(f"{local.url}/studio/media/x", headers=headers), 403)
    refusal(httpx.get(f"{local.url}/", headers={**headers, "sec-fetch-dest": "iframe"}), 403)
    refusal(httpx.get(f"{local.url}/", headers={**headers, "sec-fetch-mode": "no-cors"}), 403)


@pytest.mark.parametrize("name", ["x-forwarded-for", "forwarded", "x-forwarded-host", "x-real-ip", "via"])
def test_who_comes_through_a_proxy_is_not_taken_for_the_owner(local: Doorstep, name: str) -> None:
    assert "--login" in refusal(httpx.get(f"{local.url}/", headers={name: "192.0.2.1"}), 403)["fix"]


# -- paths ------------------------------------------------------------------------------------------------------------

NOT_THERE = [
    "/gradio_api/proxy=https://x.hf.space/",
    "/gradio_api/file=http://192.0.2.1/x",
    "/gradio_api/file=https:/x",
    "/gradio_api/file=/tmp/../etc/passwd",
    "/gradio_api/file/etc/passwd",
    "/gradio_api/runs",
    "/gradio_api/run-history/records",
    "/gradio_api/call/predict",
    "/gradio_api/call/v2/predict",
    "/gradio_api/api/predict",
    "/gradio_api/component_server",
    "/gradio_api/deep_link",
    "/gradio_api/mcp/sse",
    "/gradio_api/info",
    "/gradio_api/openapi.json",
    "/gradio_api/token",
    "/gradio_api/user",
    "/gradio_api/dev/reload",
    "/gradio_api/vibe-edit",
    "/gradio_api/process_recording",
    "/gradio_api/stream/a/b/1/playlist.m3u8",
    "/gradio_api/custom_component/a/client/component/x.js",
    "/monitoring",
    "/monitoring/summary",
    "/svelte/x.js",
    "/docs",
    "/openapi.json",
    "/v1/videos",
    "/static/../studio.db",
    "/static/%2e%2e/x",
    "/assets//etc/passwd",
    "/studio/../config",
    "/studio/a%5cb",
    "/studio",
    "/nothing",
]


@pytest.mark.parametrize("path", NOT_THERE)
def test_what_the_page_does_not_need_is_not_there(local: Doorstep, guarded: Doorstep, path: str) -> None:
    for step, cookie in ((local, {}), (guarded, {"cookie": f"studio-visit={guarded.token(Role.ADMIN)}"})):
        for method in ("GET", "POST"):
            status, content = raw(step, method, path, {**step.own, **cookie})
            assert status == 404
            assert b"there is no such path" in content


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/theme.css"),
        ("GET", "/assets/index-DphvyggB.js"),
        ("GET", "/static/fonts/IBMPlexMono/IBMPlexMono-Regular.woff2"),
        ("GET", "/gradio_api/file=/tmp/gradio/abc/Mein%20Bild%20%C3%A4.png"),
        ("GET", "/gradio_api/heartbeat/zckezxchh6b"),
        ("GET", "/gradio_api/queue/data?session_hash=x"),
        ("POST", "/gradio_api/queue/join?"),
        ("POST", "/gradio_api/run/predict"),
        ("POST", "/gradio_api/upload?upload_id=x"),
        ("GET", "/gradio_api/upload_progress?upload_id=x"),
        ("DELETE", "/studio/jobs/x"),
    ],
)
def test_what_the_page_needs_is_there(local: Doorstep, method: str, path: str) -> None:
    with local.client() as client:
        assert client.request(method, path).status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/"),
        ("GET", "/gradio_api/upload"),
        ("OPTIONS", "/studio/x"),
        ("TRACE", "/studio/x"),
        ("PUT", "/config"),
    ],
)
def test_a_method_that_there_is_not_is_refused(local: Doorstep, method: str, path: str) -> None:
    with local.client() as client:
        answer = client.request(method, path)
    assert refusal(answer, 405)["allowed"] == answer.headers["allow"]


# -- roles ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", list(Role))
def test_everybody_with_a_login_may_look(guarded: Doorstep, role: Role) -> None:
    with guarded.client(role) as client:
        told = client.get("/studio/who").json()
        assert (told["role"], told["is_local"]) == (role, False)
        assert client.get("/").status_code == 200
        for path in ("/gradio_api/run/predict", "/studio/inspect", "/studio/library/bundles"):
            assert client.post(path).status_code == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_a_viewer_may_change_nothing(guarded: Doorstep, method: str) -> None:
    for role, status in ((Role.VIEWER, 403), (Role.CREATOR, 200), (Role.ADMIN, 200)):
        with guarded.client(role) as client:
            assert client.request(method, "/studio/thing").status_code == status
    with guarded.client(Role.VIEWER) as client:
        assert refusal(client.post("/gradio_api/upload"), 403)["code"] == "not_allowed"


def test_another_role_and_a_closed_account_count_from_the_next_request_on(guarded: Doorstep) -> None:
    people = guarded.people
    people.add("dora", PASSWORD, Role.CREATOR)
    token = people.login("dora", PASSWORD)
    with httpx.Client(base_url=guarded.url, headers=guarded.own, cookies={"studio-visit": str(token)}) as client:
        assert client.post("/studio/thing").status_code == 200
        people.set_role("dora", Role.VIEWER)
        refusal(client.post("/studio/thing"), 403)
        people.close("dora")
        refusal(client.get("/studio/who"), 401)
    people.remove("dora")


def test_a_request_that_came_around_the_door_is_nobodys() -> None:
    class Wrapped:
        request = httpx.Request("GET", "http://127.0.0.1/")

    for asked in (Wrapped(), object(), None):
        with pytest.raises(NotAllowed):
            visitor_of(asked)


# -- how much ---------------------------------------------------------------------------------------------------------


def test_a_body_that_says_that_it_is_too_large_is_not_read(local: Doorstep) -> None:
    host, _, port = local.url.removeprefix("http://").partition(":")
    for path, size in (("/studio/thing", 2**20), ("/gradio_api/upload", 64 * 2**20), ("/studio/inspect", 2**32)):
        with socket.create_connection((host, int(port)), timeout=10) as line:
            line.sendall(f"POST {path} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: {size + 1}\r\n\r\n".encode())
            assert line.recv(100).startswith(b"HTTP/1.1 413 ")


def test_a_body_that_does_not_say_how_large_it_is_is_counted(local: Doorstep) -> None:
    def parts(count: int) -> Iterator[bytes]:
        for _ in range(count):
            yield b"x" * 65536

    with local.client() as client:
        assert client.post("/studio/thing", content=parts(16)).json()["size"] == 2**20
        assert client.post("/gradio_api/upload", content=parts(17)).json()["size"] == 17 * 65536
        refusal(client.post("/studio/thing", content=parts(17)), 413)


def test_limits_can_be_given(tmp_path_factory: pytest.TempPathFactory) -> None:
    limits = {"/studio/inspect": 100}
    with doorstep(tmp_path_factory.mktemp("limits"), needs_login=False, limits=limits) as step, step.client() as client:
        assert client.post("/studio/inspect", content=b"x" * 100).status_code == 200
        assert refusal(client.post("/studio/inspect/more", content=b"x" * 101), 413)["allowed"] == "up to 100 bytes"
        assert client.post("/studio/inspector", content=b"x" * 101).status_code == 200


# -- what browsers are told -------------------------------------------------------------------------------------------


def test_the_page_runs_its_own_scripts_and_no_others(local: Doorstep) -> None:
    with local.client() as client:
        first, second = client.get("/"), client.get("/")
    policy = dict(part.strip().split(" ", 1) for part in first.headers["content-security-policy"].split(";"))
    nonce = policy["script-src"].partition("'nonce-")[2].partition("'")[0]
    assert first.text.count(f'<script nonce="{nonce}"') == 2
    assert "the page" in first.text
    assert nonce not in second.text
    assert "etag" not in first.headers
    assert "unsafe-inline" not in policy["script-src"]
    assert (policy["default-src"], policy["connect-src"], policy["object-src"]) == ("'self'", "'self'", "'none'")
    assert (policy["frame-ancestors"], policy["form-action"], policy["base-uri"]) == ("'none'", "'self'", "'self'")
    assert first.headers["cache-control"] == "no-store"


def test_every_answer_has_the_headers_of_the_house(local: Doorstep, guarded: Doorstep) -> None:
    answers = [httpx.get(step.url + path) for step in (local, guarded) for path in ("/", "/studio/x", "/nothing")]
    answers += [
        httpx.get(f"{guarded.url}/login"),
        httpx.get(f"{guarded.url}/healthz"),
        httpx.get(f"{local.url}/studio/fail"),
    ]
    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert answer.headers["cross-origin-opener-policy"] == "same-origin"
        assert "camera=(self)" in answer.headers["permissions-policy"]
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert "://" not in answer.headers["content-security-policy"]
        assert "cache-control" in answer.headers


def test_a_route_has_its_own_content_policy_and_caching_but_lets_no_other_site_read(local: Doorstep) -> None:
    with local.client() as client:
        headers = client.get("/studio/page").headers
    assert (headers["content-security-policy"], headers["cache-control"]) == ("default-src 'none'", "max-age=5")
    assert "access-control-allow-origin" not in headers


def test_what_was_uploaded_can_do_nothing_when_it_is_opened_by_itself(local: Doorstep) -> None:
    with local.client() as client:
        policy = client.get("/gradio_api/file=/tmp/gradio/a/evil.svg").headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert policy.endswith("sandbox")


def test_gradios_own_files_are_kept_by_browsers(local: Doorstep) -> None:
    with local.client() as client:
        assert "immutable" in client.get("/assets/index-DphvyggB.js").headers["cache-control"]
        assert client.get("/studio/jobs").headers["cache-control"] == "private, no-cache"


# -- what goes wrong --------------------------------------------------------------------------------------------------


def test_an_unforeseen_error_is_told_without_its_words(local: Doorstep, caplog: pytest.LogCaptureFixture) -> None:
    for path in ("/studio/fail", "/studio/within/fail"):
        caplog.clear()
        with local.client() as client:
            answer = client.get(path)
        assert refusal(answer, 500)["message"].startswith("something unforeseen")
        assert SECRET not in answer.text + caplog.text
        until(lambda: "RuntimeError at doorstep.py" in caplog.text)


def test_an_error_of_the_studio_is_told_in_its_own_words_without_paths(local: Doorstep) -> None:
    with local.client() as client:
        answer = client.get("/studio/fault")
    assert refusal(answer, 503)["message"] == "the library cannot be used"
    assert "somebody" not in answer.text


def test_web_sockets_are_not_opened(local: Doorstep) -> None:
    headers = {**local.own, "upgrade": "websocket", "connection": "Upgrade", "sec-websocket-version": "13",
               "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ=="}  # fmt: skip
    assert httpx.get(f"{local.url}/gradio_api/queue/join", headers=headers).status_code in (403, 405)


def test_a_stream_ends_when_the_login_does(guarded: Doorstep, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doors, "RECHECK_SECONDS", 0.2)
    token = guarded.people.login("anna", PASSWORD)
    assert token is not None
    with (
        httpx.Client(base_url=guarded.url, headers=guarded.own, cookies={"studio-visit": token}, timeout=20) as client,
        client.stream("GET", "/studio/stream") as stream,
    ):
        parts = stream.iter_bytes()
        began = time.monotonic()
        while time.monotonic() - began < 1:
            assert next(parts)
        guarded.people.logout(token)
        for _ in parts:
            assert time.monotonic() - began < 15, "it goes on and on"


# -- before it starts -------------------------------------------------------------------------------------------------


def test_beyond_loopback_it_does_not_start_while_nobody_could_log_in(settings: Settings) -> None:
    with Store(settings) as store:
        people = People(store)
        told: list[Any] = []
        for _ in range(2):
            with pytest.raises(EnvironmentFault) as refused:
                require_login_possible(people, "0.0.0.0")
            told.append(refused.value.fix)
            people.add("anna", PASSWORD) if len(told) == 1 else None
            people.close("anna")
        assert told[0] == told[1] == "make one first: `studio users add NAME --role admin`"
        people.open("anna")
        require_login_possible(people, "0.0.0.0")
