"""Where a PostgreSQL database is: read from one URL, and told to people without its password."""

from __future__ import annotations

import getpass
from dataclasses import dataclass, field
from typing import Literal, get_args
from urllib.parse import parse_qsl, unquote, urlsplit

SCHEMES = ("postgres", "postgresql", "postgresql+pg8000")
DEFAULT_PORT = 5432

TlsMode = Literal["disable", "prefer", "require", "verify-ca", "verify-full"]


@dataclass(frozen=True, kw_only=True)
class PostgresAddress:
    """The address of a database and who asks for it.

    host: a name or an IP address, or the folder of the server's socket where it begins with a slash.
    tls: as libpq's ``sslmode``. root_certificate: PEM file of the authority that the server is checked against.
    """

    user: str
    password: str | None = field(repr=False)
    host: str
    port: int
    database: str
    tls: TlsMode = "prefer"
    root_certificate: str | None = None

    @classmethod
    def parse(cls, url: str) -> PostgresAddress:
        """Read ``postgresql://user:password@host:port/name``; ``?host=/folder`` names a socket's folder.

        Raises ValueError with a sentence that repeats nothing of the address: a password may stand anywhere in it.
        """
        if url.partition("://")[0] not in SCHEMES:
            raise ValueError("it must be a PostgreSQL address, postgresql://user:password@host/name")
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            parts, port = None, None
        if parts is None or parts.fragment:
            raise ValueError("characters such as / # : @ in a user name or password must be written as %2F %23 %3A %40")
        database = unquote(parts.path.removeprefix("/"))
        if not database or "/" in parts.path.removeprefix("/"):
            raise ValueError("it must end in /name, the name of the database")
        options = _options(parts.query)
        return cls(
            user=unquote(parts.username) if parts.username else getpass.getuser(),
            password=None if parts.password is None else unquote(parts.password),
            host=options.get("host") or parts.hostname or "localhost",
            port=_port(options["port"]) if "port" in options else port or DEFAULT_PORT,
            database=database,
            tls=_tls_mode(options.get("sslmode", "prefer")),
            root_certificate=options.get("sslrootcert"),
        )

    @property
    def socket_path(self) -> str | None:
        """The server's socket, or None where it is reached over the network."""
        return f"{self.host.rstrip('/')}/.s.PGSQL.{self.port}" if self.host.startswith("/") else None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"postgresql://{self.user}@{self.socket_path or f'{host}:{self.port}'}/{self.database}"


def _options(query: str) -> dict[str, str]:
    options = dict(parse_qsl(query))
    if not options.keys() <= {"host", "port", "sslmode", "sslrootcert"}:
        raise ValueError("after the question mark it may say host, port, sslmode and sslrootcert")
    return options


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 2**16):
        raise ValueError("its port is not a number from 1 to 65535")
    return int(text)


def _tls_mode(word: str) -> TlsMode:
    for mode in get_args(TlsMode):
        if word == mode:
            return mode  # type: ignore[no-any-return]
    raise ValueError(f"its sslmode must be one of {', '.join(get_args(TlsMode))}")
