"""Who may come in: the token, the name by which the server is called, and no page of a browser."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from urllib.parse import urlsplit

from pydantic import SecretStr

from ui.api.problems import Refusal

# Says no more than that the server lives, for those who watch over it.
OPEN_PATHS = frozenset({"/healthz"})
_TOKEN_FIX = "send it as `Authorization: Bearer TOKEN`; docs/rest.md says where it is"  # noqa: S105


def is_loopback(host: str) -> bool:
    """Say whether a server bound to this host can be reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True, kw_only=True)
class Access:
    """What a request must bring. token: every request must show it; None only on loopback.

    Without a token the caller proves by two things that it is a program on this machine, and not a page in a browser
    that a stranger wrote: the server was called by its loopback name (a page can let its own name point here: DNS
    rebinding), and no browser says that another site asks (every POST across sites carries its origin).
    """

    token: SecretStr | None = None

    def check(self, path: str, headers: Mapping[str, str]) -> None:
        """Raise the `Refusal` that a request deserves. headers: names in lower case."""
        if self.token is None:
            _require_loopback_name(headers.get("host", ""))
            _require_same_site(headers)
        elif path not in OPEN_PATHS:
            _require_token(self.token, headers.get("authorization", ""))


def _require_token(token: SecretStr, header: str) -> None:
    scheme, _, shown = header.partition(" ")
    # Digests are of one length whatever was shown, so that the time it takes tells nothing.
    expected = sha256(token.get_secret_value().encode()).digest()
    is_right = hmac.compare_digest(sha256(shown.strip().encode("utf-8", "replace")).digest(), expected)
    if scheme.lower() != "bearer" or not is_right:
        raise Refusal(
            401,
            "this token is not the right one" if header else "a token is needed",
            field="Authorization",
            fix=_TOKEN_FIX,
            headers={"www-authenticate": 'Bearer realm="studio"'},
        )


def _require_loopback_name(host: str) -> None:
    try:
        name = urlsplit(f"//{host}").hostname
    except ValueError:
        name = None
    if name is None or not is_loopback(name) or any(letter in host for letter in "/@?#\\ "):
        raise Refusal(
            403,
            "the server is called by a name that is not its own",
            field="Host",
            got=host,
            allowed="localhost, 127.0.0.1 or [::1]",
            fix="to serve others than this machine, use `studio serve --host` and its token",
        )


def _require_same_site(headers: Mapping[str, str]) -> None:
    site = headers.get("sec-fetch-site", "none")
    origin = headers.get("origin")
    is_own = origin is None or origin.lower() == f"http://{headers.get('host', '')}".lower()
    if not is_own or site not in ("none", "same-origin"):
        raise Refusal(
            403,
            "a page of another site asks",
            field="Origin",
            got=origin or site,
            allowed="programs, and pages of this server",
            fix="give the server a token (STUDIO_API_TOKEN) and let the program send it",
        )
