"""Results are fetched from the public internet alone, whatever a name resolves to."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import httpx
import pytest

from providers.network import PublicTransport, require_public
from studio.errors import DownloadRefused


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A port of this machine where somebody would answer."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        yield server


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.0.0.1", "172.16.3.4", "192.168.1.1", "169.254.169.254", "100.64.0.1",
        "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "ff02::1",
        "::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::",
        "::7f00:1", "::ffff:0:127.0.0.1", "64:ff9b:1::7f00:1", "fec0::1",
    ],
)  # fmt: skip
def test_an_address_inside_is_refused(address: str) -> None:
    with pytest.raises(DownloadRefused, match="public internet"):
        require_public(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "93.184.216.34", "2606:4700:4700::1111", "64:ff9b::101:101"])
def test_a_public_address_is_let_through(address: str) -> None:
    require_public(address)


@pytest.mark.parametrize("host", ["localhost", "127.1", "2130706433", "0x7f000001", "[::ffff:127.0.0.1]", "127.0.0.1"])
def test_no_connection_is_made_to_this_machine_however_it_is_spelled(listener: socket.socket, host: str) -> None:
    port = listener.getsockname()[1]
    with httpx.Client(transport=PublicTransport()) as client, pytest.raises((DownloadRefused, httpx.ConnectError)):
        client.get(f"https://{host}:{port}/clip.mp4")
    with pytest.raises(TimeoutError):
        listener.accept()


def test_a_name_that_resolves_to_two_addresses_is_refused_for_the_one_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    def lookup(_host: str, port: int, **_more: object) -> list[object]:
        found = ("93.184.216.34", "169.254.169.254")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    with httpx.Client(transport=PublicTransport()) as client, pytest.raises(DownloadRefused, match=r"169\.254"):
        client.get("https://cdn.example/clip.mp4")


def test_a_name_that_does_not_exist_is_a_failure_to_connect(monkeypatch: pytest.MonkeyPatch) -> None:
    def lookup(*_arguments: object, **_more: object) -> list[object]:
        raise socket.gaierror("no such name")

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    with httpx.Client(transport=PublicTransport()) as client, pytest.raises(httpx.ConnectError):
        client.get("https://nobody.example/clip.mp4")
