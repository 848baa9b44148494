"""`studio identity`: what signs, whom the studio trusts, and missing time stamps, from the terminal."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from studio.config import Settings
from tests.studio.provenance.authorities import Authority, new_key, pem, time_authority
from tests.ui.conftest import Terminal

FACTS = {
    "fingerprint",
    "subject",
    "issuer",
    "valid_from",
    "valid_until",
    "days_left",
    "algorithm",
    "origin",
    "signer",
    "retired",
    "timestamp_url",
}


def test_show_tells_what_signs_and_no_secret(terminal: Terminal, settings: Settings) -> None:
    facts = terminal.json("identity", "show")["identity"]
    assert set(facts) == FACTS
    assert (facts["origin"], facts["signer"], facts["retired"]) == ("local", "key file", 0)
    assert facts["days_left"] > 365 * 14
    assert terminal.run("identity", "show") == 0
    assert facts["fingerprint"] in terminal.stdout
    assert "no authority is configured" in terminal.stdout
    key = (settings.identity_folder / "current" / "key.pem").read_text().splitlines()[1]
    assert key not in terminal.stdout


def test_rotate_asks_first(terminal: Terminal) -> None:
    before = terminal.json("identity", "show")["identity"]
    assert terminal.run("identity", "rotate") == 2
    assert "--yes" in terminal.stderr
    assert terminal.json("identity", "show")["identity"] == before
    after = terminal.json("identity", "rotate", "--yes")["identity"]
    assert after["fingerprint"] != before["fingerprint"]
    assert after["retired"] == 1


def test_import_takes_a_certificate_and_says_no_in_a_sentence(terminal: Terminal, tmp_path: Path) -> None:
    root, key = Authority(), new_key("ed25519")
    files = {
        "chain.pem": root.issue(key),
        "leaf.key": key,
        "root.pem": root.certificate,
        "other.key": new_key("ed25519"),
    }
    for name, item in files.items():
        (tmp_path / name).write_bytes(pem(item))
    chain = ("identity", "import", "--chain", "chain.pem")
    assert terminal.run(*chain, "--key", "other.key", "--root", "root.pem") == 2
    assert "the key does not belong to the certificate" in terminal.stderr
    assert terminal.run(*chain, "--key", "leaf.key") == 2
    assert "--root FILE" in terminal.stderr
    facts = terminal.json(*chain, "--key", "leaf.key", "--root", "root.pem")["identity"]
    assert (facts["algorithm"], facts["origin"]) == ("ed25519", "imported")


def test_trust_shows_updates_and_resets_the_lists(terminal: Terminal, tmp_path: Path) -> None:
    lists = {item["slot"]: item for item in terminal.json("identity", "trust")["lists"]}
    assert lists["c2pa"]["certificates"] > 20
    assert lists["tsa"]["dated"] == "2026-08-05"
    (tmp_path / "list.pem").write_bytes(pem(Authority().certificate))
    for slot in ("c2pa", "tsa", "signers", "clocks"):
        found = terminal.json("identity", "trust", "update", "list.pem", "--list", slot)["lists"]
        assert [item["certificates"] for item in found if item["slot"] == slot] == [1]
    assert terminal.run("identity", "trust") == 0
    assert "your own copy" in terminal.stdout
    found = terminal.json("identity", "trust", "update", "--reset", "--list", "c2pa")["lists"]
    assert [item for item in found if item["slot"] == "c2pa"] == [lists["c2pa"]]


@pytest.mark.parametrize(
    "arguments",
    [
        ("update",),
        ("update", "list.pem", "--reset"),
        ("update", "list.pem", "--list", "nobody"),
        ("update", "missing.pem"),
    ],
)
def test_an_update_that_makes_no_sense_is_refused(
    arguments: tuple[str, ...], terminal: Terminal, tmp_path: Path
) -> None:
    (tmp_path / "list.pem").write_bytes(pem(Authority().certificate))
    assert terminal.run("identity", "trust", *arguments) == 2
    assert terminal.stderr.count("\n") == 1


@pytest.mark.skipif(shutil.which("openssl") is None, reason="the test's authority needs openssl")
def test_time_stamps_are_listed_and_got_later(
    terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with time_authority(tmp_path / "authority") as authority:
        monkeypatch.setenv("STUDIO_TIMESTAMP_URL", authority.url)
        authority.mood = "is broken"
        asset = terminal.json("generate", "--model", "scripted-moving", "--seed", "1")["asset"]
        (waiting,) = terminal.json("identity", "timestamps", "list")["waiting"]
        assert waiting["asset_id"] == asset["id"]
        assert terminal.run("identity", "timestamps", "list") == 0
        assert "HTTP status 500" in terminal.stdout
        failed = terminal.json("identity", "timestamps", "retry", code=3)["failed"]
        assert failed[0]["error"]["fix"]
        authority.mood = "answers"
        (stamped,) = terminal.json("identity", "timestamps", "retry")["assets"]
        assert stamped["sha256"] != asset["sha256"]
        assert terminal.json("identity", "timestamps", "list")["waiting"] == []
        assert terminal.json("verify", asset["path"])["c2pa"]["time_stamp"]["present"] is True
        assert terminal.run("identity", "timestamps", "retry", "no-such-asset") == 2


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("STUDIO_TIMESTAMP_URL", "ftp://time.example", "http:// or https://"),
        ("STUDIO_TIMESTAMP_URL", "https://me:hunter2@time.example/", "leave it out"),
        ("STUDIO_SIGNER_TIMEOUT", "0", "greater than 0"),
        ("STUDIO_SIGNER", "nobody", "no installed package offers this signer"),
    ],
)
def test_a_setting_that_cannot_be_is_named_without_its_secrets(
    name: str, value: str, words: str, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    assert terminal.run("identity", "show") == 3
    assert name in terminal.stderr
    assert words in terminal.stderr
    assert "hunter2" not in terminal.stderr


def test_doctor_warns_half_a_year_before_the_certificate_expires(terminal: Terminal, tmp_path: Path) -> None:
    from datetime import timedelta

    root, key = Authority(), new_key()
    for name, item in (
        ("chain.pem", root.issue(key, until=timedelta(days=179))),
        ("leaf.key", key),
        ("root.pem", root.certificate),
    ):
        (tmp_path / name).write_bytes(pem(item))
    found = {item["id"]: item for item in terminal.json("doctor")["checks"]}["identity"]
    assert found["ok"] is True
    assert terminal.run("identity", "import", "--chain", "chain.pem", "--key", "leaf.key", "--root", "root.pem") == 0
    found = {item["id"]: item for item in terminal.json("doctor")["checks"]}["identity"]
    assert found["ok"] is None
    assert "import a renewed certificate" in found["fix"]
