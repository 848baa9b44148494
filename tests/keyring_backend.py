"""Keyrings for tests, chosen by PYTHON_KEYRING_BACKEND as a person would choose one."""

from __future__ import annotations

import json
import os
from pathlib import Path

from keyring.backend import KeyringBackend
from keyring.errors import KeyringLocked, PasswordDeleteError


class JsonKeyring(KeyringBackend):
    """Keeps what it is given in the file that TEST_KEYRING_FILE names."""

    priority = 1.0  # type: ignore[assignment]

    def get_password(self, service: str, username: str) -> str | None:
        return self._content().get(f"{service}/{username}")

    def set_password(self, service: str, username: str, password: str) -> None:
        self._file.write_text(json.dumps(self._content() | {f"{service}/{username}": password}))

    def delete_password(self, service: str, username: str) -> None:
        content = self._content()
        if content.pop(f"{service}/{username}", None) is None:
            raise PasswordDeleteError("not found")
        self._file.write_text(json.dumps(content))

    @property
    def _file(self) -> Path:
        return Path(os.environ["TEST_KEYRING_FILE"])

    def _content(self) -> dict[str, str]:
        content: dict[str, str] = json.loads(self._file.read_text()) if self._file.exists() else {}
        return content


class PlaintextKeyring(JsonKeyring):
    """Has the name of the one of keyrings.alt that writes a plain file."""


class LockedKeyring(JsonKeyring):
    """Is never opened, and says more in its error than it should."""

    def get_password(self, service: str, username: str) -> str | None:
        raise KeyringLocked("the collection is locked")

    def set_password(self, service: str, username: str, password: str) -> None:
        raise KeyringLocked(f"cannot store {password}")


class CrashingKeyring(JsonKeyring):
    """Ends as a message bus without a daemon does: with an error that is none of keyring's."""

    def get_password(self, service: str, username: str) -> str | None:
        raise ConnectionRefusedError("no message bus")

    set_password = None  # type: ignore[assignment]


class ForgetfulKeyring(JsonKeyring):
    """Takes everything and keeps nothing, as the null keyring does."""

    def set_password(self, service: str, username: str, password: str) -> None:
        return
