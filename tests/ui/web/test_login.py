"""Logging in to the page: the form, the cookie, waits, and where one is sent afterwards."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest

from studio.people.account import Role
from studio.people.people import People
from studio.people.throttle import Throttle
from tests.ui.web.doorstep import PASSWORD, Doorstep, doorstep, refusal
from ui.web.entrance.login import safe_next


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doorstep]:
    with doorstep(tmp_path_factory.mktemp("login"), needs_login=True) as step:
        yield step


@pytest.fixture
def step(served: Doorstep) -> Doorstep:
    """A server at which nobody has failed to log in yet."""
    served.people._throttle = Throttle(lambda: served.seconds[0])
    return served


def log_in(step: Doorstep, name: str = "anna", password: str = PASSWORD, **fields: str) -> httpx.Response:
    form = {"name": name, "password": password, **fields}
    return httpx.post(f"{step.url}/login", data=form, headers=step.own, timeout=30)


def test_without_a_login_the_page_sends_to_the_form_and_all_else_is_refused(step: Doorstep) -> None:
    assert httpx.get(f"{step.url}/").headers["location"] == "/login"
    assert httpx.get(f"{step.url}/?tab=queue&x=1").headers["location"] == "/login?next=%2F%3Ftab%3Dqueue%26x%3D1"
    for path in ("/studio/jobs", "/config", "/theme.css", "/assets/a.js", "/gradio_api/file=/tmp/x", "/nothing"):
        refusal(httpx.get(step.url + path), 401)
    for path in ("/studio/thing", "/gradio_api/run/predict", "/gradio_api/upload", "/"):
        refusal(httpx.post(step.url + path, headers=step.own), 401)


@pytest.mark.parametrize("cookie", ["", "x", "a" * 5000, '"; DROP TABLE visits'])
def test_a_cookie_that_was_never_given_opens_nothing(step: Doorstep, cookie: str) -> None:
    answer = httpx.get(f"{step.url}/studio/who", headers={"cookie": f"studio-visit={cookie}"})
    refusal(answer, 401)


def test_three_things_are_open_to_all(step: Doorstep) -> None:
    assert httpx.get(f"{step.url}/healthz").json() == {"status": "ok"}
    assert httpx.get(f"{step.url}/login").status_code == 200
    assert httpx.get(f"{step.url}/login.css").headers["content-type"].startswith("text/css")


def test_from_the_form_to_the_page_and_out_again(step: Doorstep) -> None:
    with httpx.Client(base_url=step.url, headers=step.own, timeout=30) as client:
        answer = client.post("/login", data={"name": "anna", "password": PASSWORD})
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        assert client.get("/studio/who").json()["name"] == "anna"
        assert client.get("/login", follow_redirects=False).headers["location"] == "/"
        token = client.cookies["studio-visit"]
        out = client.post("/logout")
        assert (out.status_code, out.headers["location"]) == (303, "/login")
        assert "studio-visit" not in client.cookies
    assert step.people.visitor(token) is None
    refusal(httpx.get(f"{step.url}/studio/who", cookies={"studio-visit": token}), 401)


def test_a_viewer_may_log_out(step: Doorstep) -> None:
    with httpx.Client(base_url=step.url, headers=step.own, timeout=30) as client:
        client.post("/login", data={"name": "guest", "password": PASSWORD})
        assert client.post("/logout").status_code == 303
        refusal(client.get("/studio/who"), 401)


def test_a_second_login_in_the_same_browser_ends_the_first(step: Doorstep) -> None:
    with httpx.Client(base_url=step.url, headers=step.own, timeout=30) as client:
        client.post("/login", data={"name": "anna", "password": PASSWORD})
        first = client.cookies["studio-visit"]
        client.post("/login", data={"name": "boss", "password": PASSWORD})
        assert client.get("/studio/who").json()["name"] == "boss"
    assert step.people.visitor(first) is None


def test_the_cookie_is_kept_from_scripts_and_other_sites(step: Doorstep) -> None:
    parts = {part.strip().lower() for part in log_in(step).headers["set-cookie"].split(";")[1:]}
    assert parts == {"httponly", "max-age=1209600", "path=/", "samesite=strict"}


def test_over_https_the_cookie_never_travels_without(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A proxy speaks TLS: the page is called by its name there, and a login is needed however the server listens."""
    with doorstep(tmp_path_factory.mktemp("https"), needs_login=False, is_https=True) as step:
        assert httpx.get(f"{step.url}/").headers["location"] == "/login"
        headers = {"host": "studio.example", "origin": "https://studio.example", "x-forwarded-for": "192.0.2.9"}
        form = {"name": "anna", "password": PASSWORD}
        answer = httpx.post(f"{step.url}/login", data=form, headers=headers, timeout=30)
        name, _, rest = answer.headers["set-cookie"].partition("=")
        assert name == "__Host-studio-visit"
        assert {"secure", "httponly", "path=/"} <= {part.strip().lower() for part in rest.split(";")}
        token = rest.partition(";")[0]
        own = httpx.get(f"{step.url}/studio/who", headers={**headers, "cookie": f"{name}={token}"})
        assert own.json()["name"] == "anna"
        plain = {**headers, "origin": "http://studio.example", "cookie": f"{name}={token}"}
        refusal(httpx.post(f"{step.url}/studio/thing", headers=plain), 403)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "https://{own}"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "http://{own}", "sec-fetch-site": "cross-site"},
    ],
    ids=str,
)
def test_no_other_page_logs_anybody_in_out_or_changes_anything(step: Doorstep, headers: dict[str, str]) -> None:
    own = step.url.removeprefix("http://")
    headers = {name: value.format(own=own) for name, value in headers.items()}
    form = {"name": "anna", "password": PASSWORD}
    answer = httpx.post(f"{step.url}/login", data=form, headers=headers)
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers
    assert "did not come from this page" in answer.text
    cookies = {"studio-visit": step.token(Role.CREATOR)}
    for path in ("/logout", "/studio/thing", "/gradio_api/run/predict"):
        refusal(httpx.post(step.url + path, headers=headers, cookies=cookies), 403)
    assert step.people.visitor(step.token(Role.CREATOR)) is not None


def test_a_name_that_a_stranger_lets_point_here_finds_nobody_logged_in(step: Doorstep) -> None:
    """The browser has no cookie for that name; to guess a password from there is throttled like everywhere."""
    headers = {"host": "evil.example", "origin": "http://evil.example", "sec-fetch-site": "same-origin"}
    refusal(httpx.get(f"{step.url}/studio/who", headers=headers), 401)


# -- what does not fit ------------------------------------------------------------------------------------------------


def test_a_wrong_name_and_a_wrong_password_are_told_alike(step: Doorstep) -> None:
    step.people.add("closed", PASSWORD)
    step.people.close("closed")
    answers = [log_in(step, "anna", "a wrong password"), log_in(step, "nobody"), log_in(step, "closed")]
    step.people.remove("closed")
    assert {answer.status_code for answer in answers} == {403}
    texts = {re.sub(r'value="(anna|nobody|closed)"', "", answer.text) for answer in answers}
    assert len(texts) == 1
    assert "Name and password do not fit." in texts.pop()


def test_too_many_failures_make_wait_and_are_told(step: Doorstep) -> None:
    for index in range(5):
        assert log_in(step, f"name{index}").status_code == 403
    answer = log_in(step)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
    assert "Wait 1 s" in answer.text
    assert "set-cookie" not in answer.headers
    step.seconds[0] += 1
    assert log_in(step).status_code == 303


@pytest.mark.parametrize(
    ("content", "content_type", "status"),
    [
        (b"name=anna&name=boss&password=x", "application/x-www-form-urlencoded", 422),
        (b"name=anna", "application/json", 422),
        (b"\xff\xfe", "application/x-www-form-urlencoded", 422),
        (b"a=1&" * 50, "application/x-www-form-urlencoded", 422),
        (b"", "application/x-www-form-urlencoded", 403),
        (b"name=%ff&password=%ff", "application/x-www-form-urlencoded", 422),
        (b"name=a%00&password=" + b"x" * 5000, "application/x-www-form-urlencoded", 403),
        (b"x" * 20_000, "application/x-www-form-urlencoded", 413),
    ],
)
def test_a_form_that_cannot_be_read_is_told_so(step: Doorstep, content: bytes, content_type: str, status: int) -> None:
    headers = {**step.own, "content-type": content_type}
    answer = httpx.post(f"{step.url}/login", content=content, headers=headers, timeout=30)
    assert answer.status_code == status
    assert "set-cookie" not in answer.headers


def test_what_was_typed_is_escaped(step: Doorstep) -> None:
    answer = log_in(step, '"><script>x', "a wrong password", next='/"><script>y')
    assert "<script" not in answer.text
    assert "&quot;&gt;&lt;script&gt;x" in answer.text
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; style-src 'self'")


def test_the_form_names_its_fields_and_works_without_scripts(step: Doorstep) -> None:
    text = httpx.get(f"{step.url}/login").text
    assert "<script" not in text
    for name in ("name", "password"):
        assert f'<label for="{name}">' in text
    assert '<form method="post" action="/login">' in text
    assert 'lang="en"' in text
    assert "$" not in text


# -- where to afterwards ----------------------------------------------------------------------------------------------

ELSEWHERE = [
    "http://evil.example",
    "//evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "/\t/evil.example",
    "/%0d%0aset-cookie: a=b\r\n",
    "javascript:alert(1)",
    "evil.example",
    "/login",
    "/logout?x",
    "/ä",
    "",
    "/" + "x" * 600,
]


@pytest.mark.parametrize("path", ELSEWHERE)
def test_a_login_leads_to_no_other_site(step: Doorstep, path: str) -> None:
    assert safe_next(path) == "/"
    assert log_in(step, next=path).headers["location"] == "/"
    with step.client(Role.CREATOR) as client:
        assert client.get("/login", params={"next": path}).headers["location"] == "/"


@pytest.mark.parametrize("path", ["/", "/?tab=queue", "/studio/media/20261130-x", "/?q=a%20b#c"])
def test_a_login_leads_back_to_where_one_wanted_to_go(step: Doorstep, path: str) -> None:
    assert log_in(step, next=path).headers["location"] == path


def test_a_login_lasts_as_long_as_the_library_says(step: Doorstep) -> None:
    token = step.people.login("anna", PASSWORD)
    assert token is not None
    step.people.set_password("anna", PASSWORD)
    refusal(httpx.get(f"{step.url}/studio/who", cookies={"studio-visit": token}), 401)
    assert isinstance(step.people, People)
