"""Takes out of a text what must not be kept or shown: keys, pictures in data URIs, addresses that are keys themselves.

Every pattern gives up nothing that it has matched (possessive quantifiers), and none begins inside what another search
could begin with, so that the time grows with the length of the text and no faster.
"""

from __future__ import annotations

import base64
import importlib.resources
import logging
import os
import re
import threading
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any
from urllib.parse import quote

MASK = "***"
MIN_SECRET_CHARACTERS = 6  # shorter ones protect nothing, and are parts of ordinary words

_OWN_VARIABLES = ("STUDIO_API_TOKEN", "HF_TOKEN")
_HINTS = ("KEY", "SECRET", "TOKEN")

# A mime type and a comma must follow, or what has no mime type must say that it is base64. Lines may be wrapped.
_DATA_URI = re.compile(
    r"(?<![A-Za-z])data:(?:[\w.+-]++\\?/[\w.+-]++)?+(?:;[\w=.\"+-]++)*+,(?:[A-Za-z0-9+/=_%\\-]{40,}+\r?\n)*+[A-Za-z0-9+/=_%\\-]*+"
)
_LONG_BASE64 = re.compile(r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{256,}+={0,2}+")
_WRAPPED_BASE64 = re.compile(r"(?<![A-Za-z0-9+/_-])(?:[A-Za-z0-9+/_-]{60,}+(?:\r?\n|\\n)){3,}+[A-Za-z0-9+/_-]*+={0,2}+")
_ADDRESS = re.compile(r":(?://|\\/\\/)[^\s\"'<>]*+")
_PARAMETER = re.compile(
    r"([?&;](?:x-amz-[a-z-]++|x-goog-[a-z-]++|signature|sig|policy|key-pair-id|key|token|[a-z_-]*(?:api_?key|_token))=)"
    r"[^\s\"'<>&]++",
    re.IGNORECASE,
)
# The forms that providers give their keys. Ordinary words are let through: a key has digits in it.
_KEY_FORM = re.compile(
    r"(?:(?<![A-Za-z0-9_-])|(?<=\\[nrt]))(?:"
    r"sk-[A-Za-z0-9_-]{16,}+|key_[A-Za-z0-9]{24,}+|AIza[A-Za-z0-9_-]{30,}+|AQ\.[A-Za-z0-9_-]{30,}+|r8_[A-Za-z0-9]{24,}+"
    r"|hf_[A-Za-z0-9]{24,}+|luma-[A-Za-z0-9-]{24,}+|ltxv_[A-Za-z0-9_-]{16,}+|AKIA[A-Z0-9]{16}+|ya29\.[A-Za-z0-9_-]{20,}+"
    r"|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}:[0-9a-f]{32,}+"
    r"|eyJ[A-Za-z0-9_-]{8,}+\.[A-Za-z0-9_-]{8,}+\.[A-Za-z0-9_-]*+)"
)
_SCHEME = re.compile(r"\b(Bearer|BEARER|bearer|Key|Basic|Token)(\s++)(?![/.~])([A-Za-z0-9._~+/:=-]{16,}+)")
_NAMES = (
    r"authorization|x-goog-api-key|api[-_]?key|access[-_]?(?:key|token)|refresh[-_]?token|session[-_]?token"
    r"|secret[-_]?access[-_]?key|secret[-_]?key|client[-_]?secret|api[-_]?secret|api[-_]?token|password|signature"
)
_NAMED = re.compile(
    rf"((?:{_NAMES})\\?[\"']?\s{{0,8}}[:=,]\s{{0,8}}b?(?:(?:Bearer|Basic|Key|Token)\s)?)"
    r"(?:(\\?[\"'])((?:Bearer |Basic |Key |Token )?+)([^\s\"'\\]{6,}+)|(?!\*\*\*)([^\s\"'\\,;{}\[\]()<>]{8,}+))",
    re.IGNORECASE,
)
_NAME = re.compile(rf"(?:^|[-_])(?:{_NAMES}|secret)$", re.IGNORECASE)
_VARIABLE = re.compile(r"[A-Z][A-Z0-9]*+(?:_[A-Z0-9]++)++")


class HeldSecrets:
    """What this process has held as a secret, so that whatever a library says about it later is masked."""

    def __init__(self) -> None:
        self._words: frozenset[str] = frozenset()
        self._lock = threading.Lock()

    def add(self, secret: str) -> None:
        """Remember a secret for as long as the process lives."""
        if secret not in self._words:
            with self._lock:
                self._words |= {secret}

    def __iter__(self) -> Iterator[str]:
        return iter(self._words)


# One for the process, because a log filter must know of a key wherever it was found.
HELD = HeldSecrets()


def known_secrets(environ: Mapping[str, str]) -> frozenset[str]:
    """Return the values of all variables that hold a key of a provider of the catalog, or a token of the studio's."""
    if not any(hint in name for name in environ for hint in _HINTS):
        return frozenset()
    found = (environ.get(name, "").strip() for name in (*_OWN_VARIABLES, *_key_variables()))
    return frozenset(value for value in found if len(value) >= MIN_SECRET_CHARACTERS)


@cache
def _key_variables() -> tuple[str, ...]:
    """Return the names in the rows as they are written: to validate them would take as long as to start the studio."""
    names: set[str] = set()
    for file in (importlib.resources.files("studio.catalog") / "models").iterdir():
        if not file.name.endswith(".toml"):
            continue
        try:
            rows = tomllib.loads(file.read_text(encoding="utf-8")).get("models", [])
            for remote in (row["remote"] for row in rows if "remote" in row):
                names.update((*remote.get("key_variables", ()), *remote.get("secret_variables", ())))
        except (OSError, ValueError, TypeError, AttributeError):  # whoever reads the catalog says what is wrong with it
            continue
    return tuple(sorted(names))


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """Return a text that may be logged and kept. What is masked once stays as it is.

    secrets: words that are known to be secret, whatever they look like; the keys that this process has held, and those
    in the environment, are known anyway. Words of fewer than `MIN_SECRET_CHARACTERS` are left alone.
    """
    text = _without_words(text, {*secrets, *HELD, *known_secrets(os.environ)})
    if "data:" in text:
        text = _DATA_URI.sub("data:" + MASK, text)
    if len(text) >= 180:
        text = _WRAPPED_BASE64.sub(MASK, _LONG_BASE64.sub(MASK, text))
    if "://" in text or ":\\/" in text:
        text = _ADDRESS.sub(_masked_address, text)
    if "=" in text:
        text = _PARAMETER.sub(rf"\1{MASK}", text)
    text = _KEY_FORM.sub(_masked_key, text)
    text = _SCHEME.sub(_masked_scheme, text)
    return _NAMED.sub(_masked_value, text)


def redacted(data: Any) -> Any:
    """Return a JSON value with every text in it redacted, and with what stands under a telling name masked."""
    match data:
        case str():
            return redact(data)
        case Mapping():
            return {name: _redacted_member(name, value) for name, value in data.items()}
        case list() | tuple():
            return [redacted(value) for value in data]
    return data


def _redacted_member(name: Any, value: Any) -> Any:
    if isinstance(name, str) and isinstance(value, str) and _NAME.search(name) and _is_value(value):
        return MASK
    return redacted(value)


class RedactingFilter(logging.Filter):
    """Masks what a record says, whichever library logged it. Its traceback is the formatter's: see below."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep every record."""
        try:
            record.msg, record.args = redact(record.getMessage()), None
        except Exception:  # arguments that do not fit; logging would print them in its complaint about that
            record.msg, record.args = f"{record.name} logged what cannot be put into words", None
        if record.exc_text:
            record.exc_text = redact(record.exc_text)
        return True


class RedactingFormatter(logging.Formatter):
    """Masks what it has formatted, tracebacks too."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line that may be written."""
        return redact(super().format(record))


def _without_words(text: str, words: Iterable[str]) -> str:
    fit = (word for word in words if len(word) >= MIN_SECRET_CHARACTERS)
    for word in sorted(fit, key=len, reverse=True):
        for form in _forms(word):
            text = text.replace(form, MASK)
        if word.lower() in (folded := text.lower()) and len(folded) == len(text):  # as host names are written
            text = re.sub(re.escape(word), MASK, text, flags=re.IGNORECASE)
    return text


@cache
def _forms(word: str) -> tuple[str, ...]:
    """Return a secret as it stands in a text, in an address, and alone in base64."""
    plain = base64.b64encode(word.encode()).decode()
    return tuple(dict.fromkeys((word, quote(word, safe=""), plain, plain.rstrip("="))))


def _masked_address(found: re.Match[str]) -> str:
    """Mask what lets anybody in who has the address: what follows the question mark, and a name with a password."""
    address = found.group()
    rest = address.rstrip("\\.,;:!)]}")  # what belongs to the sentence around it
    tail = address[len(rest) :]
    mark = "://" if rest.startswith("://") else ":\\/\\/"
    rest = rest.removeprefix(mark)
    rest, question, query = rest.partition("?")
    rest, hash_sign, fragment = rest.partition("#")
    end = min((place for place in (rest.find("/"), rest.find("\\")) if place >= 0), default=len(rest))
    host, path = rest[:end], rest[end:]
    if "@" in host:
        host = f"{MASK}@{host.rpartition('@')[2]}"
    if "=" in fragment:
        fragment = MASK
    return f"{mark}{host}{path}{hash_sign}{fragment}{f'?{MASK}' if question and query else question}{tail}"


def _masked_key(found: re.Match[str]) -> str:
    word = found.group()
    return MASK if any(character.isdigit() for character in word[3:]) else word


def _masked_scheme(found: re.Match[str]) -> str:
    scheme, space, value = found.groups()
    return f"{scheme}{space}{MASK}" if any(character.isdigit() for character in value) else found.group()


def _masked_value(found: re.Match[str]) -> str:
    name, mark, scheme, quoted, bare = found.groups()
    if quoted is not None:
        return f"{name}{mark}{scheme}{MASK}" if _is_value(quoted) else found.group()
    is_secret = any(character.isdigit() for character in bare) and not _VARIABLE.fullmatch(bare)
    return f"{name}{MASK}" if is_secret else found.group()


def _is_value(text: str) -> bool:
    """Say whether it may be a secret: not if it is short, masked, or the name of a variable that holds one."""
    return len(text) >= MIN_SECRET_CHARACTERS and MASK not in text and not _VARIABLE.fullmatch(text)
