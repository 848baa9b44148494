"""Connections to public addresses alone: whatever a name resolves to is looked at before anything is sent there."""

from __future__ import annotations

import ipaddress
import os
import socket
import ssl
import typing
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

import httpcore
import httpx

from studio.errors import DownloadRefused

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
_6TO4 = ipaddress.ip_network("2002::/16")
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def trust() -> ssl.SSLContext:
    """Return whom connections trust: certifi's authorities, or those that the environment names; they are read once."""
    return _trust(os.environ.get("SSL_CERT_FILE", ""), os.environ.get("SSL_CERT_DIR", ""))


@cache
def _trust(_file: str, _folder: str) -> ssl.SSLContext:
    return httpx.create_ssl_context()


class PublicTransport(httpx.BaseTransport):
    """An httpx transport that never talks to this machine, its network, or a cloud's metadata service.

    The address that was looked at is the one that is connected to: a name that resolves to something else a moment
    later changes nothing (DNS rebinding). Raises `DownloadRefused` for an address that is not public.
    """

    def __init__(self) -> None:
        self._pool = httpcore.ConnectionPool(ssl_context=trust(), network_backend=_PublicBackend(), max_connections=4)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request; the response's stream is read by whoever asked."""
        asked = httpcore.Request(
            method=request.method,
            url=httpcore.URL(
                scheme=request.url.raw_scheme,
                host=request.url.raw_host,
                port=request.url.port,
                target=request.url.raw_path,
            ),
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
        with _as_httpx():
            response = self._pool.handle_request(asked)
        return httpx.Response(
            status_code=response.status,
            headers=response.headers,
            stream=_Stream(typing.cast("Iterable[bytes]", response.stream)),
            extensions=response.extensions,
        )

    def close(self) -> None:
        """Let go of all connections."""
        self._pool.close()


def require_public(address: str) -> None:
    """Refuse an IP address that is not reachable by everybody. Raises `DownloadRefused`."""
    found: _Address = ipaddress.ip_address(address.partition("%")[0])
    for inner in _meant_by(found):
        if not inner.is_global or inner.is_multicast or not _is_assigned(inner):
            raise DownloadRefused(
                "a result may only be fetched from the public internet",
                got=str(found),
                allowed="a public address",
                fix="the provider, or somebody in between, points at a machine inside; nothing was fetched",
            )


def _is_assigned(address: _Address) -> bool:
    """Say whether an address is of the kind that public hosts have; others may be private ways of writing an IPv4 one.

    Source: IANA IPv6 Address Space; RFC 6052 for the one prefix besides.
    """
    return address.version == 4 or address in _GLOBAL_UNICAST or address in _NAT64


def _meant_by(address: _Address) -> Iterator[_Address]:
    """Yield an address and the IPv4 address that it may be a wrapping of."""
    yield address
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            yield address.ipv4_mapped
        if address in _NAT64:
            yield ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if address in _6TO4 and address.sixtofour is not None:
            yield address.sixtofour


class _PublicBackend(httpcore.NetworkBackend):
    def __init__(self) -> None:
        self._plain = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(f"no address for {host!r}") from error
        addresses = list(dict.fromkeys(str(item[4][0]) for item in found))
        for address in addresses:  # one bad apple spoils them all: which one is taken would be chance
            require_public(address)
        failure: Exception | None = None
        for address in addresses:
            try:
                return self._plain.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure or httpcore.ConnectError(f"no address for {host!r}")

    def connect_unix_socket(self, path: str, *_timeout_and_options: object) -> httpcore.NetworkStream:
        raise DownloadRefused("a result never comes through a socket of this machine", got=path)

    def sleep(self, seconds: float) -> None:
        self._plain.sleep(seconds)


class _Stream(httpx.SyncByteStream):
    def __init__(self, stream: Iterable[bytes]) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        with _as_httpx():
            yield from self._stream

    def close(self) -> None:
        close = getattr(self._stream, "close", None)
        if close is not None:
            close()


class _as_httpx:  # noqa: N801
    """Turns what httpcore raises into what httpx raises."""

    def __enter__(self) -> None: ...

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        match error:
            case httpcore.ConnectTimeout() | httpcore.ConnectError():
                raise httpx.ConnectError(str(error)) from error
            case httpcore.TimeoutException():
                raise httpx.ReadTimeout(str(error)) from error
            case httpcore.ProtocolError():
                raise httpx.RemoteProtocolError(str(error)) from error
            case httpcore.NetworkError():
                raise httpx.ReadError(str(error)) from error
