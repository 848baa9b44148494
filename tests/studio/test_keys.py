"""Where keys come from, where they are kept, and that they show themselves to nobody."""

from __future__ import annotations

import copy
import json
import logging
import pickle
from pathlib import Path

import keyring
import pytest
from hypothesis import given
from hypothesis import strategies as st

from studio.errors import EnvironmentFault, MissingKey, RequestError, UnsupportedValue
from studio.keyrings import Keyring
from studio.keys import Key, KeyChain, missing_key
from studio.redaction import MASK, redact
from tests import keyring_backend
from tests.remote_rows import ACME, OWN, PAIRS, REMOTES

SECRET = "q7Zr-canary-0123456789-abcdefgh"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of the keyring of this test."""
    monkeypatch.setenv("TEST_KEYRING_FILE", str(tmp_path / "keyring.json"))
    use("JsonKeyring")
    return tmp_path / "keyring.json"


def use(name: str) -> None:
    keyring.set_keyring(getattr(keyring_backend, name)())


def chain(**environ: str) -> KeyChain:
    return KeyChain(REMOTES, environ=environ, keyring=Keyring())


# -- a key ----------------------------------------------------------------------------------------------------------


def test_a_key_shows_no_more_than_its_end() -> None:
    key = Key(SECRET, "ACME_API_KEY")
    assert key.reveal() == SECRET
    assert (str(key), repr(key), f"{key}") == ("***efgh", "Key(***efgh)", "***efgh")
    assert repr(Key("short-key")) == "Key(***)"
    assert json.dumps({"key": key}, default=str) == '{"key": "***efgh"}'
    assert not hasattr(key, "__dict__")


def test_a_key_does_not_change_and_is_not_written_anywhere() -> None:
    key = Key(SECRET)
    with pytest.raises(AttributeError):
        key.origin = "elsewhere"
    with pytest.raises(AttributeError):
        del key.origin
    for write in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError, match="not written"):
            write(key)


def test_keys_are_equal_by_what_they_hold() -> None:
    assert Key("one-and-the-same", "A") == Key("one-and-the-same", "B")
    assert len({Key("one-and-the-same"), Key("one-and-the-same"), Key("another-key")}) == 2
    assert Key("one-and-the-same") != "one-and-the-same"


def test_what_was_once_a_key_is_masked_wherever_it_turns_up() -> None:
    Key("plain words of a passphrase")
    assert redact("it said: plain words of a passphrase!") == f"it said: {MASK}!"


# -- finding --------------------------------------------------------------------------------------------------------


def test_the_environment_comes_before_the_keyring_in_the_order_of_the_row(file: Path) -> None:
    assert chain().find(ACME) is None
    chain().set("acme", "from-the-keyring")
    assert chain().find(ACME) == Key("from-the-keyring")
    both = chain(ACME_KEY="second-variable", ACME_API_KEY="first-variable")
    assert both.find(ACME) == Key("first-variable")
    assert both.where(ACME) == "ACME_API_KEY"
    later = chain(ACME_KEY=" second-variable\n", ACME_API_KEY=" ")
    found = later.find(ACME)
    assert found is not None
    assert (found.reveal(), found.origin) == ("second-variable", "ACME_KEY")
    assert chain().where(ACME) == "keyring"
    assert chain().where(PAIRS) == ""


def test_both_halves_of_a_pair_are_found(file: Path) -> None:
    keys = chain(PAIRS_ACCESS_KEY="access-half")
    assert keys.find(PAIRS) == Key("access-half")
    assert keys.find_secret(PAIRS) is None
    keys.set("pairs", "secret-half", is_second=True)
    assert keys.find_secret(PAIRS) == Key("secret-half")
    assert keys.find_secret(ACME) is None


@pytest.mark.parametrize(
    "text", ["with space", "line\nbreak", "bell\x07bell", "schlüssel-für-acme", "x" * 4097], ids=lambda text: text[:5]
)
def test_a_key_that_cannot_be_sent_is_refused_without_being_shown(file: Path, text: str) -> None:
    keys = chain(ACME_API_KEY=text)
    with pytest.raises(EnvironmentFault, match="ACME_API_KEY") as read:
        keys.find(ACME)
    with pytest.raises(RequestError) as written:
        chain().set("acme", text)
    for error in (read.value, written.value):
        assert text not in str(error) + json.dumps(error.as_json())
    assert keys.missing(ACME) == read.value.sentence()
    assert keys.facts()[0].fault == read.value.sentence()
    assert not file.exists()


@given(st.text(max_size=60))
def test_whatever_is_accepted_can_stand_in_a_header(text: str) -> None:
    try:
        found = chain(ACME_API_KEY=text).find(ACME)
    except EnvironmentFault:
        return
    if found is not None:
        assert found.reveal().isascii()
        assert found.reveal().isprintable()
        assert not set(found.reveal()) & set(" \t\r\n")


def test_a_missing_key_says_all_the_ways_to_give_one() -> None:
    error = missing_key(ACME)
    assert isinstance(error, MissingKey)
    assert "Acme needs a key" in error.sentence()
    assert "set ACME_API_KEY or ACME_KEY, or run `studio keys set acme`" in error.sentence()
    assert "https://acme.example/keys" in error.sentence()
    assert chain().missing(ACME) == error.sentence()
    assert "--secret" in missing_key(PAIRS, is_second=True).sentence()
    assert "PAIRS_SECRET_KEY" in missing_key(PAIRS, is_second=True).sentence()


def test_a_server_that_may_do_without_a_key_misses_none() -> None:
    assert chain().missing(OWN) == ""


# -- keeping --------------------------------------------------------------------------------------------------------


def test_a_key_is_kept_under_the_studios_name_until_it_is_removed(file: Path) -> None:
    keys = chain()
    assert keys.set("acme", SECRET + "\n") == []
    keys.set("pairs", "access-half")
    keys.set("pairs", "secret-half", is_second=True)
    assert json.loads(file.read_text()) == {
        "local-video-studio/acme": SECRET,
        "local-video-studio/pairs": "access-half",
        "local-video-studio/pairs:secret": "secret-half",
    }
    assert keys.remove("pairs") == []
    assert keys.find(PAIRS) is None
    assert keys.find_secret(PAIRS) is None
    assert keys.find(ACME) == Key(SECRET)
    keys.remove("acme")
    assert json.loads(file.read_text()) == {}
    with pytest.raises(RequestError, match="no key of this provider"):
        keys.remove("acme")


def test_notes_tell_what_was_left_out_and_what_comes_first(file: Path) -> None:
    assert chain().set("acme", f" \ufeff{SECRET} ") == ["the white space around the key was left out"]
    assert json.loads(file.read_text()) == {"local-video-studio/acme": SECRET}
    (note,) = chain(ACME_KEY="another-key").set("acme", SECRET)
    assert "ACME_KEY is set, and comes before" in note
    (note,) = chain(ACME_KEY="another-key").remove("acme")
    assert "ACME_KEY still holds one" in note


def test_an_unknown_provider_is_told_the_known_ones_and_a_misplaced_key_is_not_repeated() -> None:
    with pytest.raises(UnsupportedValue, match="got sora; allowed: acme, own, pairs"):
        chain().set("sora", SECRET)
    with pytest.raises(UnsupportedValue) as refused:
        chain().set(SECRET, "acme")
    assert SECRET not in str(refused.value)


def test_a_provider_without_pairs_takes_no_second_half(file: Path) -> None:
    with pytest.raises(UnsupportedValue, match="no second half"):
        chain().set("acme", SECRET, is_second=True)
    assert not file.exists()


@pytest.mark.parametrize(
    ("backend", "words"),
    [
        ("PlaintextKeyring", "keys are never in a file"),
        ("LockedKeyring", "it raised KeyringLocked"),
        ("CrashingKeyring", "it raised TypeError"),
        ("ForgetfulKeyring", "did not keep"),
    ],
)
def test_a_keyring_that_will_not_do_has_no_keys_and_names_the_variable_to_set(
    file: Path, backend: str, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    use(backend)
    keys = chain()
    assert keys.find(ACME) is None
    with caplog.at_level(logging.DEBUG), pytest.raises(EnvironmentFault, match=words) as refused:
        keys.set("acme", SECRET)
    assert "set the environment variable ACME_API_KEY instead" in str(refused.value)
    assert SECRET not in str(refused.value) + caplog.text
    assert refused.value.__cause__ is None
    assert not file.exists()


def test_a_chain_of_keyrings_is_used_without_its_plain_file(file: Path) -> None:
    from keyring.backends.chainer import ChainerBackend

    class Chain(ChainerBackend):
        backends = [keyring_backend.PlaintextKeyring()]  # type: ignore[assignment]  # noqa: RUF012

    keyring.set_keyring(Chain())
    with pytest.raises(EnvironmentFault, match="never in a file"):
        chain().set("acme", SECRET)
    Chain.backends = [keyring_backend.PlaintextKeyring(), keyring_backend.JsonKeyring()]
    chain().set("acme", SECRET)
    assert chain().find(ACME) == Key(SECRET)


def test_a_keyring_that_fails_is_not_asked_again_for_every_row(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use("LockedKeyring")
    asked: list[str] = []
    ring = Keyring()
    original = keyring_backend.LockedKeyring.get_password

    def count(self: keyring_backend.LockedKeyring, service: str, username: str) -> str | None:
        asked.append(username)
        return original(self, service, username)

    monkeypatch.setattr(keyring_backend.LockedKeyring, "get_password", count)
    keys = KeyChain(REMOTES, environ={}, keyring=ring)
    assert [item.source for item in keys.facts()] == ["", "", ""]
    assert len(asked) == 1
    assert ring.fault == "it raised KeyringLocked"
    use("JsonKeyring")
    keys.set("acme", SECRET)
    assert keys.find(ACME) == Key(SECRET)
