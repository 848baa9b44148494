"""The way to a PostgreSQL server: a connection, or a sentence that says why there is none."""

from __future__ import annotations

import socket
import ssl
import struct
from contextlib import suppress
from typing import Any

import pg8000.dbapi

from studio.errors import StoreFault
from studio.library.address import PostgresAddress

CONNECT_SECONDS = 10
_ANSWER_MARGIN_SECONDS = 30


class Line(pg8000.dbapi.Connection):  # type: ignore[misc]
    """The driver's connection, but a line that breaks is always told in the same way, and hanging up never fails."""

    def handle_messages(self, context: Any) -> None:
        try:
            super().handle_messages(context)
        except (OSError, struct.error, KeyError) as error:
            raise pg8000.dbapi.InterfaceError("network error") from error

    def close(self) -> None:
        with suppress(pg8000.dbapi.Error):
            super().close()


def connect(address: PostgresAddress, timeout_seconds: float) -> Line:
    """Return a connection to a database. timeout_seconds: how long a statement may take there.

    Raises `StoreFault`, or the driver's own error for what the server says.
    """
    stream = _reach(address)
    # Silence for longer than any statement may take means that nobody is there.
    stream.settimeout(timeout_seconds + _ANSWER_MARGIN_SECONDS)
    try:
        return Line(
            user=address.user,
            password=address.password or "",  # the driver breaks without one where one is asked for
            host=address.host,
            database=address.database,
            ssl_context=_tls(address),
            application_name="local-video-studio",
            sock=stream,
        )
    except pg8000.dbapi.InterfaceError as error:  # no password was given, or no TLS is spoken there
        stream.close()
        raise _refused(address, str(error)) from error
    except pg8000.dbapi.Error:
        stream.close()
        raise
    except Exception as error:  # a certificate that does not hold, or somebody who does not speak PostgreSQL
        stream.close()
        raise _unreachable(address, error) from error


def _reach(address: PostgresAddress) -> socket.socket:
    try:
        if address.socket_path is None:
            stream = socket.create_connection((address.host, address.port), CONNECT_SECONDS)
        else:
            stream = _open_socket_file(address.socket_path)
    except (OSError, UnicodeError) as error:
        raise _unreachable(address, error) from error
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return stream


def _open_socket_file(path: str) -> socket.socket:
    stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        stream.settimeout(CONNECT_SECONDS)
        stream.connect(path)
    except BaseException:
        stream.close()
        raise
    return stream


def _tls(address: PostgresAddress) -> ssl.SSLContext | bool | None:
    """Return pg8000's word for it: False never, None if the server offers it, True whoever the server is."""
    if address.tls == "disable" or address.socket_path is not None:
        return False
    if address.tls in ("prefer", "require"):
        return None if address.tls == "prefer" else True
    try:
        context = ssl.create_default_context(cafile=address.root_certificate)
    except OSError as error:
        raise _unreachable(address, error) from error
    context.check_hostname = address.tls == "verify-full"
    return context


def _unreachable(address: PostgresAddress, error: Exception) -> StoreFault:
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return StoreFault(
        f"the library's database does not answer ({reason})",
        got=address,
        fix="start PostgreSQL, or correct STUDIO_DATABASE_URL, or unset it to use SQLite",
    )


def _refused(address: PostgresAddress, text: str) -> StoreFault:
    return StoreFault(
        f"the library's database refuses us ({text})",
        got=address,
        fix="correct STUDIO_DATABASE_URL or the user's rights",
    )
