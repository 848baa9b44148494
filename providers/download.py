"""Fetches a finished clip: whole, a video, not too large, and from nowhere that it should not come from."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urljoin, urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx

from providers.leash import Leash
from providers.network import PublicTransport, require_public, trust
from providers.wire import is_web_address, origin_of
from studio.disk import is_full, require_room
from studio.errors import (
    DiskFull,
    DownloadBroken,
    DownloadRefused,
    OutputExpired,
    StoreFault,
    Unreachable,
    UnreadableMedia,
)
from studio.media import EncodedClip, probe_video, sniff_mime_type
from studio.media.boxes import top_level_boxes
from studio.redaction import redact

MAX_CLIP_BYTES = 2 * 2**30
MAX_SIDE_PIXELS, MAX_SECONDS = 8192, 3600.0
MAX_REDIRECTS, MAX_TRIES = 5, 4
DEADLINE_SECONDS = 1800.0
_BLOCK_BYTES = 2**18
_TIMEOUT = httpx.Timeout(30.0, connect=15.0)
_GONE = (401, 403, 404, 410)
_SUFFIXES = {
    "video/mp4": ".mp4",
    "video/quicktime": ".mov",
    "video/webm": ".webm",
    "video/x-matroska": ".mkv",
    "image/gif": ".gif",
}


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Whom a clip is fetched for. base_url: of the provider, which the user configured and so may be on this machine.

    headers: with the key, sent to that origin alone; empty where the address is all that is needed.
    transport: takes the place of the network. limit_bytes: more is refused.
    """

    name: str
    base_url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    transport: httpx.BaseTransport | None = None
    limit_bytes: int = MAX_CLIP_BYTES


def fetch_clip(url: str, folder: Path, origin: Origin, pause: Callable[[float], None]) -> EncodedClip:
    """Fetch a clip into a folder. pause: waits between two tries; it may raise to give up.

    Raises `OutputExpired` where the address does not hold any more, `DownloadRefused` for what is no clip or lies where
    nothing may be fetched from, `DownloadBroken` or `Unreachable` after the last try, `DiskFull`. Nothing is left then.
    """
    draft = folder / "download.part"
    try:
        for number in range(1, MAX_TRIES + 1):
            try:
                _fetch(url, draft, origin, pause)
                break
            except (DownloadBroken, Unreachable):
                if number == MAX_TRIES:
                    raise
                pause(0.25 * 4 ** (number - 1))
        return _kept(draft, folder)
    finally:
        draft.unlink(missing_ok=True)


def keep_clip(content: bytes, folder: Path) -> EncodedClip:
    """Keep a clip that came inside an answer. Raises as `fetch_clip`."""
    draft = folder / "download.part"
    try:
        with _disk_faults(folder), open(draft, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        return _kept(draft, folder)
    finally:
        draft.unlink(missing_ok=True)


def _fetch(url: str, draft: Path, origin: Origin, pause: Callable[[float], None]) -> None:
    with ExitStack() as stack:
        for _ in range(MAX_REDIRECTS + 1):
            is_own = vet(url, origin)
            client = stack.enter_context(client_for(url, origin, is_own=is_own))
            headers = {"accept-encoding": "identity", **(origin.headers if is_own else {})}
            try:
                leash = Leash(DEADLINE_SECONDS, lambda: pause(0))
                traced = {"trace": leash.trace}
                with leash, client.stream("GET", url, headers=headers, extensions=traced) as response:
                    if response.is_redirect:
                        url = _target_of(response, url)
                        continue
                    _take(response, draft, origin, pause)
                    _require_whole(draft)
                    return
            except httpx.TransportError as error:
                kind = Unreachable if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout) else DownloadBroken
                raise kind(f"the clip did not come whole from {origin.name}", got=redact(str(error))) from error
    raise _refused("too many redirects", redact(url), f"up to {MAX_REDIRECTS}")


def vet(url: str, origin: Origin) -> bool:
    """Return whether an address is the provider's own. Raises `DownloadRefused` for any other but public https."""
    if not is_web_address(url):
        raise _refused("a result's address is none", redact(url)[:200], "https://host/...")
    if origin_of(url) == origin_of(origin.base_url):
        return True
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname:
        raise _refused("a result may only be fetched over https", redact(url)[:200], "https://")
    if parts.username or parts.password:
        raise _refused("a result's address must not hold a name or a password", redact(url)[:200], "https://host/...")
    with suppress(ValueError):  # a name, which is looked at when it is resolved
        require_public(parts.hostname)
    return False


def _target_of(redirect: httpx.Response, url: str) -> str:
    location = str(redirect.headers.get("location", ""))
    try:
        return urljoin(url, location)
    except ValueError as error:
        raise _refused("a redirect leads to no address", redact(location)[:200], "https://host/...") from error


def client_for(url: str, origin: Origin, *, is_own: bool) -> httpx.Client:
    """Return a client for one address. A proxy that the user set resolves names itself, so it is asked as it is.

    What the user has excepted from that (NO_PROXY) is looked at like any other address.
    """
    if origin.transport is not None:
        return httpx.Client(transport=_Borrowed(origin.transport), timeout=_TIMEOUT, verify=trust())
    if is_own:
        is_local = (urlsplit(url).hostname or "") in ("localhost", "127.0.0.1", "::1")
        return httpx.Client(timeout=_TIMEOUT, trust_env=not is_local, verify=trust())
    proxy = _proxy_for(urlsplit(url).hostname or "")
    if proxy:
        return httpx.Client(proxy=proxy, trust_env=False, timeout=_TIMEOUT, verify=trust())
    return httpx.Client(transport=PublicTransport(), timeout=_TIMEOUT)


def _proxy_for(host: str) -> str:
    """Return the proxy that the user wants to be used for a host over https; empty for none."""
    proxies: dict[str, str] = getproxies()
    found = proxies.get("https") or proxies.get("all") or ""
    if not found or proxy_bypass(host):
        return ""
    return found if "://" in found else f"http://{found}"


def _take(response: httpx.Response, draft: Path, origin: Origin, pause: Callable[[float], None]) -> None:
    if response.status_code in _GONE:
        raise OutputExpired(
            f"{origin.name} does not have the clip any more at the address that it named",
            got=f"HTTP {response.status_code}",
        )
    if response.status_code != httpx.codes.OK:
        raise DownloadBroken(f"{origin.name} did not hand out the clip", got=f"HTTP {response.status_code}")
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind in ("text/html", "application/json", "application/xml", "text/xml", "application/zip"):
        raise _refused("the result is no video", kind, "a video")
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        raise _refused("the result came packed", response.headers["content-encoding"][:40], "the video itself")
    length = response.headers.get("content-length", "")
    expected = int(length) if length.isdigit() else None
    if expected is not None and expected > origin.limit_bytes:
        raise _refused("the result is larger than any clip", f"{expected} bytes", f"up to {origin.limit_bytes} bytes")
    require_room(draft.parent, 2 * (expected or 0), what="the clip")
    with _disk_faults(draft.parent), open(draft, "wb") as file:
        size = _copy(response, file, origin, pause)
        file.flush()
        os.fsync(file.fileno())
    if size == 0 or (expected is not None and size != expected):
        raise DownloadBroken("the clip came cut off", got=f"{size} bytes", allowed=f"{expected} bytes")


def _copy(response: httpx.Response, file: BinaryIO, origin: Origin, pause: Callable[[float], None]) -> int:
    size = 0
    for block in response.iter_raw(_BLOCK_BYTES):
        size += len(block)
        if size > origin.limit_bytes:
            raise _refused("the result is larger than any clip", f"over {size} bytes", f"up to {origin.limit_bytes}")
        file.write(block)
        pause(0)
    return size


def _require_whole(draft: Path) -> None:
    """Refuse a file whose own boxes say that it goes on: not all lengths that servers tell are true."""
    if sniff_mime_type(draft) not in ("video/mp4", "video/quicktime"):
        return
    with open(draft, "rb") as file:
        end = max((start + size for _kind, start, size in top_level_boxes(file)), default=0)
    size_bytes = draft.stat().st_size
    if end > size_bytes:
        raise DownloadBroken("the clip came cut off", got=f"{size_bytes} bytes", allowed=f"{end} bytes")


def _kept(draft: Path, folder: Path) -> EncodedClip:
    """Give a file its name if it is a video that can be shown."""
    mime_type = sniff_mime_type(draft)
    if mime_type not in _SUFFIXES:
        raise _refused("the result is no video", mime_type or "a file of no known kind", ", ".join(_SUFFIXES))
    try:
        facts = probe_video(draft)
    except UnreadableMedia as error:
        raise _refused("the result is no video that can be read", error.message, "a whole video") from error
    if max(facts.width, facts.height) > MAX_SIDE_PIXELS:
        raise _refused("the picture is too large", f"{facts.width}x{facts.height}", f"up to {MAX_SIDE_PIXELS} a side")
    if (facts.duration_seconds or 0.0) > MAX_SECONDS:
        raise _refused("the clip is too long", f"{facts.duration_seconds:.0f} s", f"up to {MAX_SECONDS:.0f} s")
    kept = folder / f"raw{_SUFFIXES[mime_type]}"
    with _disk_faults(folder):
        os.replace(draft, kept)
    return EncodedClip(path=kept, mime_type=mime_type)


def _refused(message: str, got: str, allowed: str) -> DownloadRefused:
    return DownloadRefused(
        message,
        got=got,
        allowed=allowed,
        fix="nothing of it was kept; the order is: `studio queue retry` asks the provider for it again",
    )


class _Borrowed(httpx.BaseTransport):
    """A transport that outlives the client that uses it."""

    def __init__(self, transport: httpx.BaseTransport) -> None:
        self._transport = transport

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self._transport.handle_request(request)


class _disk_faults:  # noqa: N801
    """Tells trouble with the disk in the studio's own words."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> None: ...

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, OSError) and not isinstance(error, httpx.HTTPError):
            kind = DiskFull if is_full(error) else StoreFault
            raise kind(
                f"the clip cannot be written ({error.strerror or error})", got=self._folder, fix="free some space"
            ) from error
