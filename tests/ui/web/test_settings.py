"""The settings over HTTP: what each visitor is told, what admins change; no key or password ever comes back."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import keyring
import pytest

from studio.app import Studio
from studio.catalog.metrics import load_metrics
from studio.keyrings import KEYRING
from studio.library.asset import Asset
from studio.people.account import Role
from studio.request import GenerationRequest
from tests import keyring_backend
from tests.canary import assert_nowhere, forms_of
from tests.studio.hub_server import COMMIT, HubServer
from tests.ui.web.accounts import PASSWORD, Browsers, browsers
from tests.webpage import ServedPage

CANARY = "q7Zr-canary-0123456789-abcdefgh"
SETTINGS = "/studio/settings"
LOOKS = ("", "/keys", "/costs", "/models", "/pulls", "/storage", "/machine", "/certificates", "/doctor", "/defaults",
         "/about", "/people")  # fmt: skip
FOR_OTHERS = ("", "/costs", "/defaults", "/about")


@pytest.fixture(autouse=True)
def key_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file of this test's keyring; no variable holds a key."""
    monkeypatch.setenv("TEST_KEYRING_FILE", str(tmp_path / "keyring.json"))
    for name in ("FAL_KEY", "FAL_KEY_SECRET", "KLINGAI_ACCESS_KEY", "LTXV_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    before = keyring.get_keyring()
    use("JsonKeyring")
    yield tmp_path / "keyring.json"
    keyring.set_keyring(before)
    KEYRING._forget()


@pytest.fixture(scope="module")
def people(page_home: Studio) -> Iterator[Browsers]:
    with browsers(page_home) as found:
        yield found


def use(name: str) -> None:
    keyring.set_keyring(getattr(keyring_backend, name)())
    KEYRING._forget()


def get(client: httpx.Client, path: str = "") -> Any:
    answer = client.get(SETTINGS + path)
    assert answer.status_code == 200, answer.text
    return answer.json()


def post(client: httpx.Client, path: str, body: Any = None) -> Any:
    answer = client.post(SETTINGS + path, json={} if body is None else body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def refused(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    error: dict[str, Any] = answer.json()["error"]
    return error


def provider(told: dict[str, Any], name: str = "ltx") -> dict[str, Any]:
    return next(item for item in told["providers"] if item["provider"] == name)


def soon(is_so: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# -- who is shown what --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/keys", "/models", "/pulls", "/storage", "/machine", "/certificates", "/doctor", "/people"]
)
def test_only_an_admin_reads_what_is_the_studios_own(people: Browsers, path: str) -> None:
    for client in (people.alice, people.vera):
        assert refused(client.get(SETTINGS + path), 403)["code"] == "not_allowed"
    assert people.boss.get(SETTINGS + path).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/keys/ltx/first", {"key": CANARY}),
        ("DELETE", "/keys/ltx", None),
        ("POST", "/models/dino-vitb16/pull", {"licence": "Apache-2.0"}),
        ("POST", "/models/dino-vitb16/cancel", {}),
        ("POST", "/storage/free", {}),
        ("POST", "/certificates/stamps", {}),
        ("POST", "/doctor", {}),
        ("POST", "/people", {"name": "eve", "role": "admin", "password": PASSWORD}),
        ("POST", "/people/alice/role", {"role": "admin"}),
        ("POST", "/people/boss/password", {"password": PASSWORD}),
        ("POST", "/people/boss/close", {}),
    ],
)
def test_only_an_admin_changes_anything(
    people: Browsers, key_file: Path, method: str, path: str, body: dict[str, str] | None
) -> None:
    before = people.studio.people.accounts()
    for client in (people.alice, people.vera):
        assert refused(client.request(method, SETTINGS + path, json=body), 403)["code"] == "not_allowed"
    assert people.studio.people.accounts() == before
    assert not key_file.exists()
    assert get(people.boss, "/pulls") == {"pulls": []}


# -- keys ---------------------------------------------------------------------------------------------------------


def test_a_key_is_kept_and_removed_and_where_it_is_from_is_told(
    idle_site: ServedPage, key_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = idle_site.client
    assert provider(get(client, "/keys"))["halves"][0]["is_there"] is False
    told = post(client, "/keys/ltx/first", {"key": f"  {CANARY}\n"})
    assert provider(told)["halves"][0] | {"variables": []} == {
        "half": "first", "is_there": True, "from": "keyring", "variable": None, "variables": [],
    }  # fmt: skip
    assert CANARY in key_file.read_text()
    monkeypatch.setenv("LTXV_API_KEY", "another-key-of-this-test")
    half = provider(get(client, "/keys"))["halves"][0]
    assert (half["from"], half["variable"]) == ("environment", "LTXV_API_KEY")
    told = client.delete(f"{SETTINGS}/keys/ltx").json()
    assert told["notes"] == ["the environment variable LTXV_API_KEY still holds one"]
    assert CANARY not in key_file.read_text()
    refused(client.delete(f"{SETTINGS}/keys/ltx"), 422)


def test_both_halves_of_a_pair_are_kept(idle_site: ServedPage, key_file: Path) -> None:
    post(idle_site.client, "/keys/kling/first", {"key": "the-first-half"})
    told = post(idle_site.client, "/keys/kling/second", {"key": "the-second-half"})
    assert [half["from"] for half in provider(told, "kling")["halves"]] == ["keyring", "keyring"]
    assert len(json.loads(key_file.read_text())) == 2
    refused(idle_site.client.post(f"{SETTINGS}/keys/ltx/second", json={"key": "x"}), 422)


@pytest.mark.parametrize("name", ["LockedKeyring", "CrashingKeyring", "PlaintextKeyring", "ForgetfulKeyring"])
def test_without_a_keyring_the_variable_to_set_is_named(idle_site: ServedPage, name: str) -> None:
    use(name)
    if name != "ForgetfulKeyring":
        assert get(idle_site.client, "/keys")["keyring_fault"]
    error = refused(idle_site.client.post(f"{SETTINGS}/keys/ltx/first", json={"key": CANARY}), 503)
    assert "LTXV_API_KEY" in error["fix"]
    assert CANARY not in json.dumps(error)


@pytest.mark.parametrize(
    "body",
    [
        {"key": f"{CANARY} {CANARY}"},
        {"key": f"ä{CANARY}"},
        {"key": CANARY * 200},
        {"key": [CANARY]},
        {"kye": CANARY},
        {"key": {"key": CANARY}},
        [CANARY],
        CANARY,
    ],
)
def test_what_is_no_key_is_refused_and_not_repeated(idle_site: ServedPage, body: Any) -> None:
    answer = idle_site.client.post(f"{SETTINGS}/keys/ltx/first", json=body)
    refused(answer, 422)
    assert CANARY not in answer.text
    broken = idle_site.client.post(f"{SETTINGS}/keys/ltx/first", content=f'{{"key": "{CANARY}')
    refused(broken, 400)
    deep = idle_site.client.post(f"{SETTINGS}/keys/ltx/first", content="[" * 100_000)
    assert {broken.status_code, deep.status_code} == {400}
    assert CANARY not in broken.text
    assert CANARY not in idle_site.client.post(f"{SETTINGS}/keys/{CANARY}/first", json={"key": "x"}).text


def test_no_route_page_file_or_log_tells_a_key_or_a_password(
    people: Browsers, idle_site: ServedPage, key_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    secret = "a pass phrase canary 0123"
    said = [people.boss.post(f"{SETTINGS}/keys/ltx/first", json={"key": CANARY}).text]
    said.append(
        people.boss.post(f"{SETTINGS}/people", json={"name": "dora", "role": "viewer", "password": secret}).text
    )
    said.append(people.boss.post(f"{SETTINGS}/people/dora/password", json={"password": f"{secret}!"}).text)
    said.append(people.boss.post(f"{SETTINGS}/password", json={"current": secret, "password": f"{secret}?"}).text)
    people.boss.post(f"{SETTINGS}/doctor")
    soon(lambda: not get(people.boss, "/doctor")["is_running"])
    for client in (people.boss, idle_site.client):
        said += [client.get(SETTINGS + path).text for path in LOOKS]
        said += [client.get(path).text for path in ("/", "/config", "/studio/words.json", "/studio/jobs")]
    assert any('"key:ltx"' in text for text in said)
    assert CANARY in key_file.read_text()
    assert_nowhere(CANARY, people.studio.settings.home, caplog.text, *said)
    assert_nowhere(secret, people.studio.settings.home, caplog.text, *said)
    assert not any(CANARY[-4:].encode() in text.encode() for text in said)
    assert len(forms_of(CANARY)) > 1


# -- money --------------------------------------------------------------------------------------------------------


def test_what_was_spent_is_told_by_provider_and_model_for_creators_too(people: Browsers) -> None:
    told = get(people.alice, "/costs")
    assert [line["setting"] for line in told["budgets"]] == ["STUDIO_DAILY_BUDGET", "STUDIO_MONTHLY_BUDGET"]
    assert {span: list(groups) for span, groups in told["spans"].items()} == {
        "today": ["provider", "model"], "month": ["provider", "model"],
    }  # fmt: skip
    assert "STUDIO_POWER_WATTS" in told["break_even"]
    refused(people.vera.get(f"{SETTINGS}/costs"), 403)


# -- weights ------------------------------------------------------------------------------------------------------


def test_weights_are_downloaded_only_with_the_licence_that_was_shown(
    idle_site: ServedPage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = next(iter(load_metrics()))
    files = {"model.safetensors": b"w" * 5000, "config.json": b"{}", "pytorch_model.bin": b"a pickle"}
    files |= {name: b"{}" for name in row.weights.allow if "*" not in name and name not in files}
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    client, path = idle_site.client, f"/models/{row.id}/pull"
    with HubServer(row.weights.repository, files, commit=row.weights.revision or COMMIT) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        before = next(item for item in get(client, "/models")["models"] if item["id"] == row.id)
        assert (before["is_here"], before["disk_bytes"], before["kind"]) == (False, 0, "check")
        refused(client.post(SETTINGS + path, json={}), 422)
        refused(client.post(SETTINGS + path, json={"licence": "another"}), 409)
        refused(client.post(f"{SETTINGS}/models/nothing/pull", json={"licence": "x"}), 422)
        assert get(client, "/pulls") == {"pulls": []}
        post(client, path, {"licence": before["licence"]["id"]})
        soon(lambda: not get(client, "/pulls")["pulls"][0]["is_open"])
    told = get(client, "/pulls")["pulls"][0]
    assert (told["state"], told["error"], told["done_bytes"]) == ("done", None, told["total_bytes"])
    after = next(item for item in get(client, "/models")["models"] if item["id"] == row.id)
    assert after["is_here"] is True
    assert after["disk_bytes"] >= 5000


def test_a_download_that_fails_says_why_and_what_to_do(idle_site: ServedPage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    row = list(load_metrics())[1]
    post(idle_site.client, f"/models/{row.id}/pull", {"licence": row.licence.id})
    soon(lambda: not get(idle_site.client, "/pulls")["pulls"][-1]["is_open"])
    told = get(idle_site.client, "/pulls")["pulls"][-1]
    assert (told["model"], told["state"]) == (row.id, "failed")
    assert told["error"]["message"]
    assert told["error"]["fix"]


# -- room on the disk ---------------------------------------------------------------------------------------------


def test_what_no_job_needs_is_told_and_freed_and_a_clip_in_the_bin_is_counted(idle_site: ServedPage) -> None:
    studio = idle_site.studio
    asset: Asset = studio.generate(GenerationRequest(model="scripted-moving", seed=1, prompt="a square")).asset
    studio.curation.bin([asset.id])
    left = studio.settings.quarantine_folder / "20200101-000000-00000000"
    left.mkdir(parents=True)
    (left / "frames.npy").write_bytes(b"x" * 4000)
    past = 1_600_000_000
    os.utime(left, (past, past))
    told = get(idle_site.client, "/storage")
    assert told["kinds"]["library"] >= asset.size_bytes > 0
    assert told["bin"] == {"number": 1, "size_bytes": asset.size_bytes}
    assert told["waste"]["size_bytes"] >= 4000
    assert left.exists()
    assert post(idle_site.client, "/storage/free")["size_bytes"] >= 4000
    assert not left.exists()
    assert get(idle_site.client, "/storage")["waste"]["number"] == 0
    assert asset.path.exists()


# -- doctor, machine, certificates --------------------------------------------------------------------------------


def test_machine_and_certificates_are_told(idle_site: ServedPage) -> None:
    machine = get(idle_site.client, "/machine")
    assert machine["ram_bytes"] > machine["ram_free_bytes"] > 0
    assert machine["limits"]["device"] == "auto"
    told = get(idle_site.client, "/certificates")
    assert told["identity"]["fingerprint"] == idle_site.studio.identity.show().fingerprint
    assert told["has_watermark_key"] is True
    assert {item["slot"] for item in told["trust"]} >= {"c2pa", "tsa"}
    assert told["waiting_stamps"] == []
    assert refused(idle_site.client.post(f"{SETTINGS}/certificates/stamps"), 503)["fix"]


# -- what is in force ---------------------------------------------------------------------------------------------


def test_who_is_no_admin_learns_nothing_of_folders(people: Browsers) -> None:
    told = people.vera.get(f"{SETTINGS}/defaults").text + people.vera.get(f"{SETTINGS}/about").text
    assert str(people.studio.settings.home) not in told
    assert {item["name"] for item in json.loads(people.vera.get(f"{SETTINGS}/defaults").text)["settings"]} == {
        "prompt_policy", "training_use", "visible_label", "on_failed_check",
    }  # fmt: skip


# -- people -------------------------------------------------------------------------------------------------------


def test_an_admin_adds_closes_and_opens_accounts(people: Browsers) -> None:
    accounts = people.studio.people
    told = post(people.boss, "/people", {"name": "carl", "role": "viewer", "password": "tulip engine polka"})
    assert next(item for item in told["people"] if item["name"] == "carl")["role"] == "viewer"
    assert [item["name"] for item in told["people"] if item["is_mine"]] == ["boss"]
    post(people.boss, "/people/carl/role", {"role": "creator"})
    post(people.boss, "/people/carl/close")
    assert accounts.login("carl", "tulip engine polka") is None
    post(people.boss, "/people/carl/open")
    post(people.boss, "/people/carl/password", {"password": "another fine phrase"})
    assert accounts.login("carl", "another fine phrase") is not None
    assert accounts.account("carl").role is Role.CREATOR
    short = refused(people.boss.post(f"{SETTINGS}/people/carl/password", json={"password": "short-42"}), 422)
    assert "short-42" not in json.dumps(short)
    refused(people.boss.post(f"{SETTINGS}/people/boss/close", json={}), 422)
    refused(people.boss.post(f"{SETTINGS}/people/boss/role", json={"role": "viewer"}), 422)


def test_everybody_changes_their_own_password_with_the_old_one(people: Browsers) -> None:
    accounts = people.studio.people
    wrong = people.vera.post(f"{SETTINGS}/password", json={"current": "not it at all", "password": "a new fine phrase"})
    assert refused(wrong, 403)["code"] == "wrong_password"
    weak = people.vera.post(f"{SETTINGS}/password", json={"current": PASSWORD, "password": "short"})
    assert refused(weak, 422)["field"] == "password"
    assert people.vera.get(SETTINGS).status_code == 200
    assert post(people.vera, "/password", {"current": PASSWORD, "password": "a new fine phrase"}) == {
        "is_logged_out": True
    }
    assert people.vera.get(SETTINGS).status_code == 401
    assert accounts.login("vera", PASSWORD) is None
    token = accounts.login("vera", "a new fine phrase")
    assert token is not None
    people.vera.cookies.set("studio-visit", token)
    assert people.vera.get(SETTINGS).status_code == 200


def test_who_guesses_a_password_from_within_has_to_wait(people: Browsers) -> None:
    codes = [
        people.bob.post(f"{SETTINGS}/password", json={"current": f"guess {n}", "password": "x" * 12}).status_code
        for n in range(9)
    ]
    assert 429 in codes
    assert people.studio.people.account("bob").is_closed is False


def test_nobody_who_did_not_log_in_has_a_password(idle_site: ServedPage) -> None:
    refused(idle_site.client.post(f"{SETTINGS}/password", json={"current": "x", "password": "y"}), 409)
