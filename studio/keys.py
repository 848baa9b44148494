"""The keys of providers: from an environment variable or the system's keyring, never from a file of ours."""

from __future__ import annotations

import hmac
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NoReturn

from studio.catalog.loader import Catalog
from studio.catalog.remote import Remote
from studio.catalog.schema import Status
from studio.errors import EnvironmentFault, MissingKey, RequestError, StudioError, UnsupportedValue
from studio.keyrings import KEYRING, Keyring
from studio.redaction import HELD, MASK

MAX_KEY_CHARACTERS = 4096
FROM_KEYRING = "keyring"
_SHOWN_CHARACTERS = 4
_LONG_ENOUGH_TO_SHOW = 20
_INVISIBLE = "\ufeff\u200b"  # what pasting brings along at the ends, beside white space


class Key:
    """A secret that shows itself to nobody who does not ask. origin: the variable it comes from, or ``keyring``."""

    __slots__ = ("_secret", "origin")
    _secret: str
    origin: str

    def __init__(self, secret: str, origin: str = "") -> None:
        object.__setattr__(self, "_secret", secret)
        object.__setattr__(self, "origin", origin)
        HELD.add(secret)

    def reveal(self) -> str:
        """Return the secret, for the header that it goes into."""
        return self._secret

    def __repr__(self) -> str:
        return f"Key({self})"

    def __str__(self) -> str:
        """Return a mask, with the end of a key that is long enough for its end to tell nothing."""
        return MASK + (self._secret[-_SHOWN_CHARACTERS:] if len(self._secret) > _LONG_ENOUGH_TO_SHOW else "")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Key) and hmac.compare_digest(self._secret.encode(), other._secret.encode())

    def __hash__(self) -> int:
        return hash(self._secret)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("a key does not change")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError("a key does not change")

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key is not written anywhere")


@dataclass(frozen=True, kw_only=True)
class KeyFacts:
    """What may be told of a provider's key. source, secret_source: a variable, ``keyring``, or empty where none is.

    fault: why the key that is there will not do; empty if it will. variables, secret_variables: the first that is set
    counts.
    """

    provider: str
    name: str
    source: str
    secret_source: str
    variables: tuple[str, ...]
    secret_variables: tuple[str, ...]
    needs_key: bool
    key_url: str
    fault: str = ""


class KeyChain:
    """The keys of some providers. An environment variable comes before the keyring.

    remotes: of catalog rows, for what is asked by a provider's name; rows of one provider share what is in the keyring.
    """

    def __init__(
        self, remotes: Iterable[Remote] = (), *, environ: Mapping[str, str] = os.environ, keyring: Keyring = KEYRING
    ) -> None:
        self._remotes: dict[str, list[Remote]] = {}
        for remote in remotes:
            self._remotes.setdefault(remote.provider, []).append(remote)
        self._environ = environ
        self._keyring = keyring

    @classmethod
    def of_catalog(cls, catalog: Catalog, *, environ: Mapping[str, str] = os.environ) -> KeyChain:
        """Return the keys of all providers that still serve a model."""
        living = (spec.remote for spec in catalog if spec.remote is not None and spec.status is not Status.RETIRED)
        return cls(living, environ=environ)

    @property
    def providers(self) -> list[str]:
        """Short names, in alphabetical order."""
        return sorted(self._remotes)

    def require(self, provider: str) -> None:
        """Raise `UnsupportedValue`, which names those there are, for a provider that is not one of them."""
        self._merged(provider)

    # -- reading ------------------------------------------------------------------------------------------------

    def find(self, remote: Remote) -> Key | None:
        """Return the key of a row's provider, None where there is none.

        Raises `EnvironmentFault` for one that cannot be sent.
        """
        return self._find(remote.key_variables, remote.provider)

    def find_secret(self, remote: Remote) -> Key | None:
        """Return the second half of a pair of keys, None where there is none or the provider has no pairs."""
        return self._find(remote.secret_variables, _second(remote.provider)) if remote.secret_variables else None

    def where(self, remote: Remote) -> str:
        """Return which variable holds the key, ``keyring`` where that does, or an empty text."""
        return self._where(remote.key_variables, remote.provider)

    def missing(self, remote: Remote) -> str:
        """Return one sentence on what keeps a row from having its key, or an empty text."""
        try:
            found = self.find(remote)
        except StudioError as error:
            return error.sentence()
        return missing_key(remote).sentence() if found is None and remote.needs_key else ""

    def facts(self) -> list[KeyFacts]:
        """Return what may be told of every provider's key, without the network."""
        return [self._facts(self._merged(provider)) for provider in self.providers]

    def _facts(self, remote: Remote) -> KeyFacts:
        fault = ""
        try:
            self.find(remote)
            self.find_secret(remote)
        except StudioError as error:
            fault = error.sentence()
        second = self._where(remote.secret_variables, _second(remote.provider)) if remote.secret_variables else ""
        return KeyFacts(
            provider=remote.provider,
            name=remote.provider_name,
            source=self.where(remote),
            secret_source=second,
            variables=remote.key_variables,
            secret_variables=remote.secret_variables,
            needs_key=remote.needs_key,
            key_url=remote.key_url,
            fault=fault,
        )

    def _find(self, variables: Iterable[str], user: str) -> Key | None:
        origin = self._where(variables, user)
        if not origin:
            return None
        text = self._keyring.read(user) if origin == FROM_KEYRING else self._environ[origin]
        return Key(_checked(text or "", origin, "set it anew"), origin)

    def _where(self, variables: Iterable[str], user: str) -> str:
        held = next((name for name in variables if self._environ.get(name, "").strip()), "")
        return held or (FROM_KEYRING if self._keyring.read(user) else "")

    # -- writing ------------------------------------------------------------------------------------------------

    def set(self, provider: str, text: str, *, is_second: bool = False) -> list[str]:
        """Put a key into the keyring, in the place of one that is there. is_second: the second half of a pair.

        Returns notes for people. Raises `UnsupportedValue` for a provider or a key that will not do, and
        `EnvironmentFault`, which names the variable to be set instead, where there is no keyring.
        """
        remote = self._merged(provider)
        variables = remote.secret_variables if is_second else remote.key_variables
        if not variables:
            what = "no second half of a key" if is_second else "no key"
            raise UnsupportedValue(f"{remote.provider_name} has {what}", field="secret" if is_second else "provider")
        try:
            secret = _checked(text, "key", "paste the key alone, as the provider shows it")
        except EnvironmentFault as fault:  # here it is what somebody asks for
            raise RequestError(fault.message, field="key", allowed=fault.allowed, fix=fault.fix) from None
        HELD.add(secret)
        self._keyring.write(_second(provider) if is_second else provider, secret, instead=variables[0])
        notes = ["the white space around the key was left out"] if secret != text.rstrip("\r\n") else []
        user = _second(provider) if is_second else provider
        if (origin := self._where(variables, user)) != FROM_KEYRING:
            notes.append(f"the environment variable {origin} is set, and comes before what was stored now")
        return notes

    def remove(self, provider: str) -> list[str]:
        """Take a provider's key out of the keyring, both halves of a pair. Returns notes for people.

        Raises `UnsupportedValue` for an unknown provider, `RequestError` where the keyring has none.
        """
        remote = self._merged(provider)
        users = [user for user in (provider, _second(provider)) if self._keyring.read(user) is not None]
        if not users:
            why = f" ({self._keyring.fault})" if self._keyring.fault else ""
            fix = f"unset {origin}" if (origin := self.where(remote)) else None
            raise RequestError(f"the keyring has no key of this provider{why}", field="provider", got=provider, fix=fix)
        for user in users:
            self._keyring.delete(user)
        origin = self.where(remote)
        return [f"the environment variable {origin} still holds one"] if origin else []

    def _merged(self, provider: str) -> Remote:
        """Return a row that names the variables of all rows of a provider."""
        rows = self._remotes.get(provider)
        if rows is None:
            # What is no name of a provider may be a key that was put into the wrong place.
            got = provider if len(provider) <= _LONG_ENOUGH_TO_SHOW and provider.isalpha() else None
            allowed = ", ".join(self.providers) or "none: no row of the catalog names a provider"
            raise UnsupportedValue("no such provider", field="provider", got=got, allowed=allowed)
        names = {
            field: tuple(dict.fromkeys(name for row in rows for name in getattr(row, field)))
            for field in ("key_variables", "secret_variables")
        }
        needs_key = any(row.needs_key for row in rows)
        key_url = next((row.key_url for row in rows if row.key_url), "")
        return rows[0].model_copy(update={**names, "needs_key": needs_key, "key_url": key_url})


def missing_key(remote: Remote, *, is_second: bool = False) -> MissingKey:
    """Return the error of a provider without a key. is_second: it is the second half of a pair that is missing."""
    variables = remote.secret_variables if is_second else remote.key_variables
    ways = [f"set {' or '.join(variables)}"] if variables else []
    ways.append(f"run `studio keys set {remote.provider}{' --secret' if is_second else ''}`")
    page = f"; {remote.key_url} is where one gets a key" if remote.key_url else ""
    half = "the second half of its key" if is_second else "a key"
    return MissingKey(f"{remote.provider_name} needs {half}, and there is none", fix=", or ".join(ways) + page)


def _checked(text: str, field: str, fix: str) -> str:
    """Return a key that can be sent in a header, without white space around it. Its text is in no error."""
    secret = text.strip().strip(_INVISIBLE).strip()
    if not secret:
        problem = "the key is empty"
    elif len(secret) > MAX_KEY_CHARACTERS:
        problem = f"the key is longer than any ({len(secret)} characters)"
    elif any(character.isspace() for character in secret):
        problem = "there is white space within the key"
    elif not all("!" <= character <= "~" for character in secret):
        problem = "the key holds characters that cannot be sent"
    else:
        return secret
    allowed = f"up to {MAX_KEY_CHARACTERS} letters, digits and signs of ASCII, without white space"
    raise EnvironmentFault(problem, field=field, allowed=allowed, fix=fix)


def _second(provider: str) -> str:
    return f"{provider}:secret"
