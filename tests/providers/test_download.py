"""Whatever stands where an address should: it is refused in words, or asked for in the one right way."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from providers.download import Origin, client_for, fetch_clip
from providers.network import PublicTransport
from studio.errors import DownloadBroken, DownloadRefused
from tests.providers.conformance.clips import clip

PROXY = "http://127.0.0.1:9"
VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture
def origin(monkeypatch: pytest.MonkeyPatch) -> Origin:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return Origin(name="Acme", base_url="https://api.acme.example/v1")


def redirecting(location: str) -> httpx.MockTransport:
    return httpx.MockTransport(lambda _request: httpx.Response(302, headers={"location": location}))


@pytest.mark.parametrize(
    "url", ["https://[x", "https://[::1", "https://a\x00b.example/x", "https://\u2460.0.0.1/x", "", "clip.mp4"]
)
def test_what_is_no_address_is_refused(url: str, origin: Origin, tmp_path: Path) -> None:
    with pytest.raises(DownloadRefused):
        fetch_clip(url, tmp_path, origin, lambda _seconds: None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("location", ["https://[x", "//[", "file:///etc/passwd"])
def test_a_redirect_to_what_is_no_address_is_refused(location: str, tmp_path: Path) -> None:
    origin = Origin(name="Acme", base_url="https://api.acme.example/v1", transport=redirecting(location))
    with pytest.raises(DownloadRefused):
        fetch_clip("https://cdn.example/clip.mp4", tmp_path, origin, lambda _seconds: None)


def test_a_proxy_is_asked_where_the_user_set_one(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", PROXY)
    with client_for("https://cdn.example/clip.mp4", origin, is_own=False) as client:
        assert not isinstance(client._transport, PublicTransport)
        with pytest.raises(httpx.ConnectError):  # nobody listens there
            client.get("https://cdn.example/clip.mp4")


@pytest.mark.parametrize("exceptions", ["*", "cdn.example", ".example"])
def test_what_is_excepted_from_the_proxy_is_looked_at_all_the_same(
    exceptions: str, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", PROXY)
    monkeypatch.setenv("NO_PROXY", exceptions)
    with client_for("https://cdn.example/clip.mp4", origin, is_own=False) as client:
        assert isinstance(client._transport, PublicTransport)
    with client_for("https://cdn.example/clip.mp4", origin, is_own=True) as client:  # it is the user's own choice
        assert not isinstance(client._transport, PublicTransport)


def test_a_clip_that_is_cut_off_under_a_length_that_fits_is_asked_for_again_and_not_kept(tmp_path: Path) -> None:
    whole, asked = clip(), []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        content = whole[: len(whole) // 2] if len(asked) == 1 else whole
        return httpx.Response(200, stream=httpx.ByteStream(content), headers={"content-type": "video/mp4"})

    acme = Origin(name="Acme", base_url="https://acme.example", transport=httpx.MockTransport(answer))
    kept = fetch_clip("https://acme.example/clip.mp4", tmp_path, acme, lambda _seconds: None)
    assert kept.path.read_bytes() == whole
    assert len(asked) == 2


def test_a_clip_that_is_cut_off_every_time_leaves_nothing(tmp_path: Path) -> None:
    half = clip()[:-100]
    transport = httpx.MockTransport(lambda _request: httpx.Response(200, stream=httpx.ByteStream(half)))
    acme = Origin(name="Acme", base_url="https://acme.example", transport=transport)
    with pytest.raises(DownloadBroken, match="cut off"):
        fetch_clip("https://acme.example/clip.mp4", tmp_path, acme, lambda _seconds: None)
    assert list(tmp_path.iterdir()) == []
