"""The operating system's keyring, which may be missing, locked, or a plain file that will not do."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from studio.errors import EnvironmentFault

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

SERVICE = "local-video-studio"
# A catalog has many rows of a provider, and a locked keyring may ask a person each time it is opened.
REMEMBERED_SECONDS = 30.0
_PLAIN_FILES = ("PlaintextKeyring",)


class Keyring:
    """Secrets by user name, under the service name ``local-video-studio``. Whatever a backend raises ends here."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._remembered: dict[str, str | None] = {}
        self._fault = ""
        self._asked_at = float("-inf")

    @property
    def fault(self) -> str:
        """Why the keyring could not be read when it was asked last, as a clause; empty if it could."""
        return self._fault

    def read(self, user: str) -> str | None:
        """Return a secret; None where there is none, or no keyring."""
        with self._lock:
            if time.monotonic() - self._asked_at > REMEMBERED_SECONDS:
                self._forget()
            if user not in self._remembered:
                self._remembered[user] = None if self._fault else self._ask(user)
            return self._remembered[user]

    def write(self, user: str, secret: str, *, instead: str) -> None:
        """Keep a secret. instead: variable to be named where that fails. Raises `EnvironmentFault`."""
        with self._lock:
            self._forget()
            try:
                backend = _backend()
                backend.set_password(SERVICE, user, secret)
                is_kept = backend.get_password(SERVICE, user) == secret
            except Exception as error:  # it belongs to the system, and raises what it likes
                raise _no_keyring(_clause(error), instead) from None
            if not is_kept:
                raise _no_keyring("it did not keep the key", instead)

    def delete(self, user: str) -> None:
        """Forget a secret. Raises `EnvironmentFault`."""
        with self._lock:
            self._forget()
            try:
                _backend().delete_password(SERVICE, user)
            except Exception as error:
                message = f"the system's keyring did not remove the key ({_clause(error)})"
                fix = f"remove {SERVICE} / {user} with the system's own program for keys"
                raise EnvironmentFault(message, field="keyring", fix=fix) from None

    def _ask(self, user: str) -> str | None:
        try:
            return _backend().get_password(SERVICE, user) or None
        except Exception as error:
            self._fault = _clause(error)
            return None

    def _forget(self) -> None:
        self._remembered.clear()
        self._fault = ""
        self._asked_at = time.monotonic()


KEYRING = Keyring()


class _Unusable(Exception):
    """There is nothing that could keep a key."""


def _backend() -> KeyringBackend:
    """Return what keeps secrets here. One that is a chain of others is asked for the first of them that will do."""
    import keyring
    from keyring.backends.chainer import ChainerBackend
    from keyring.backends.fail import Keyring as NoKeyring

    found = keyring.get_keyring()
    links = list(found.backends) if isinstance(found, ChainerBackend) else [found]
    fit = [link for link in links if not _is_plain_file(link)]
    if links and not fit:
        raise _Unusable("the one that is configured writes into a plain file, and keys are never in a file")
    if not fit or isinstance(fit[0], NoKeyring):
        raise _Unusable("this machine has none")
    return fit[0]


def _is_plain_file(backend: object) -> bool:
    return any(kind.__name__ in _PLAIN_FILES for kind in type(backend).__mro__)


def _clause(error: Exception) -> str:
    """Say what a backend raised. Its own words stay out: it had the key in its hands."""
    return str(error) if isinstance(error, _Unusable) else f"it raised {type(error).__name__}"


def _no_keyring(reason: str, instead: str) -> EnvironmentFault:
    return EnvironmentFault(
        f"the system's keyring cannot be used: {reason}",
        field="keyring",
        fix=f"set the environment variable {instead} instead",
    )
