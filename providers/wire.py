"""HTTP to one provider: an order is sent once, a question again and again, and the key goes to nobody else."""

from __future__ import annotations

import json
import random
import time
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import httpx
import tenacity

from providers.leash import Leash
from providers.network import trust
from studio.errors import ProtocolError, SubmitUnknown, Unreachable
from studio.redaction import redact

MAX_ANSWER_BYTES = 96 * 2**20  # a clip may come inside an answer, in base64
MAX_TRIES, MAX_WAIT_SECONDS = 8, 60.0
MAX_RETRY_AFTER_SECONDS = 600.0
_TOLD_BYTES = 20_000
# For an answer from its first to its last byte. An order is waited for longer: not to know costs more.
ORDER_SECONDS, QUESTION_SECONDS = 600.0, 120.0
_TIMEOUT = httpx.Timeout(60.0, connect=15.0, pool=15.0)
_USER_AGENT = "local-video-studio"
# Failures that show that nothing of the request was sent.
_NOT_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.LocalProtocolError,
    httpx.UnsupportedProtocol,
    httpx.ProxyError,
)
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524})


@dataclass(frozen=True, kw_only=True)
class Part:
    """A file in a form. name: what the provider is told; never the user's own file name."""

    name: str
    content: bytes
    mime_type: str


@dataclass(frozen=True, kw_only=True)
class Call:
    """One request. path: below the base URL, or a whole address on the provider's own origin.

    json: body; else form and files: a multipart form. headers: besides the key's.
    """

    method: str
    path: str
    json: Mapping[str, Any] | None = None
    form: Mapping[str, str] | None = None
    files: Mapping[str, Part] | None = None
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One response, read whole. headers: by lower-case name. path: of the call that it answers."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    path: str = ""

    @property
    def data(self) -> dict[str, Any]:
        """The body as a JSON object. Raises `ProtocolError`."""
        with suppress(ValueError, RecursionError):
            found = json.loads(self.body)
            if isinstance(found, dict):
                return found
        kind = self.headers.get("content-type", "something without a type")
        raise ProtocolError("the answer is no JSON object", got=f"HTTP {self.status}, {redact(kind)}")

    @property
    def text(self) -> str:
        """The beginning of the body, for people; masked before it is cut, since half a key is a secret as well."""
        return redact(self.body[:_TOLD_BYTES].decode("utf-8", "replace"))[:2000]

    @property
    def request_id(self) -> str | None:
        """What the provider calls this exchange, for its support."""
        names = ("x-request-id", "request-id", "x-amzn-requestid", "x-fal-request-id", "cf-ray")
        return next((redact(self.headers[name])[:100] for name in names if name in self.headers), None)

    @property
    def retry_after_seconds(self) -> float | None:
        """How long the provider asks to wait (RFC 9110, section 10.2.3), at most ten minutes."""
        text = self.headers.get("retry-after", "").strip()
        seconds: float | None = None
        with suppress(ValueError, TypeError, OverflowError):
            seconds = float(text) if text.isdigit() else None
            if seconds is None and text:
                seconds = (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
        return None if seconds is None else min(max(seconds, 0.0), MAX_RETRY_AFTER_SECONDS)


class _Again(Exception):
    """A question that may be asked again. answer: None where there was none."""

    def __init__(self, answer: Answer | None, text: str) -> None:
        super().__init__(text)
        self.answer = answer


class Wire:
    """A connection to one provider, for as long as it is held open.

    name: of the provider, for people. authorize: the headers that hold the key, made anew for each request.
    poll_seconds: the shortest time between two questions that repeat each other.
    transport: takes the place of the network.
    """

    def __init__(
        self,
        *,
        name: str,
        base_url: str,
        authorize: Callable[[], Mapping[str, str]],
        poll_seconds: float,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.name = name
        self.base_url = base_url.rstrip("/")
        self._authorize = authorize
        self._poll_seconds = poll_seconds
        # No connection is used twice: one that was idle may be closed at the other end just when an order is sent over
        # it, and then nobody would know what became of the order.
        self._client = httpx.Client(
            timeout=_TIMEOUT,
            transport=transport,
            verify=trust(),
            follow_redirects=False,
            trust_env=urlsplit(base_url).hostname not in _LOOPBACK,  # no proxy knows this machine by that name
            headers={"user-agent": _USER_AGENT, "accept": "application/json"},
            limits=httpx.Limits(max_keepalive_connections=0),
        )

    def close(self) -> None:
        """Let go of the connection."""
        self._client.close()

    def is_own(self, url: str) -> bool:
        """Say whether an address lies on the provider's own origin, where the key may go."""
        return origin_of(url) == origin_of(self.base_url)

    def address(self, call: Call) -> str:
        """Return the whole address of a call. Raises `ProtocolError` for one where the key must not go."""
        url = call.path if "://" in call.path else f"{self.base_url}/{call.path.lstrip('/')}"
        if not is_web_address(url) or not self.is_own(url):
            raise ProtocolError(
                f"{self.name} named an address that is not its own", got=redact(url), allowed=origin_of(self.base_url)
            )
        return url

    def order(self, call: Call) -> Answer:
        """Send what may cost money: once, whatever happens.

        Returns the answer, which may be a refusal. Raises `Unreachable` when nothing was sent, `SubmitUnknown` when
        nobody knows whether it was taken: no answer, half an answer, or one that says that the server failed.
        """
        try:
            answer = self._send(call, ORDER_SECONDS)
        except _NOT_SENT as error:
            raise self._unreachable(error) from error
        except (httpx.HTTPError, ProtocolError) as error:
            raise self.unknown(f"the connection broke ({_words(error)})") from error
        if answer.status >= 500 or answer.status == 408:
            raise self.unknown(f"HTTP {answer.status}", answer)
        if 300 <= answer.status < 400:
            raise self.unknown(f"HTTP {answer.status}, a redirect, which is not followed", answer)
        return answer

    def ask(
        self,
        call: Call,
        pause: Callable[[float], None],
        *,
        is_poll: bool = False,
        is_final: Callable[[Answer], bool] = lambda _: False,
    ) -> Answer:
        """Send a question, again while the trouble may pass, with longer and longer pauses.

        pause: waits; it may raise to give up. is_poll: pauses are never shorter than the provider wants.
        is_final: says of an answer that looks like passing trouble whether it will never be another.
        Returns the answer, which may be a refusal. Raises `Unreachable` after the last try.
        """
        floor = self._poll_seconds if is_poll else min(self._poll_seconds, 1.0)

        def wait(state: tenacity.RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome is not None else None
            asked = error.answer.retry_after_seconds if isinstance(error, _Again) and error.answer else None
            longer = min(floor * 2 ** (state.attempt_number - 1), max(MAX_WAIT_SECONDS, floor))
            return float(max(asked or 0.0, longer * random.uniform(1.0, 1.25)))  # noqa: S311

        retrying = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(MAX_TRIES),
            wait=wait,
            retry=tenacity.retry_if_exception_type(_Again),
            sleep=pause,
            reraise=True,
        )
        try:
            return retrying(self._asked, call, is_final, lambda: pause(0))
        except _Again as trouble:
            if trouble.answer is not None and trouble.answer.status == 429:
                return trouble.answer
            raise Unreachable(
                f"{self.name} does not answer",
                got=redact(str(trouble)),
                fix="what was ordered is kept: try again later",
            ) from trouble

    def unknown(self, what: str, answer: Answer | None = None) -> SubmitUnknown:
        """Return the error of an order that may or may not have been taken."""
        error = SubmitUnknown(
            f"the order was sent to {self.name}, and nobody knows whether it was taken",
            got=redact(what),
            fix="look at the provider's own list of jobs before ordering again: it may be paid for",
        )
        facts: dict[str, str | int | bool | None] = {"charged": "unknown"}
        if answer is not None:
            facts |= {"http_status": answer.status, "request_id": answer.request_id, "body": redact(answer.text)}
        error.details = facts
        return error

    def _asked(self, call: Call, is_final: Callable[[Answer], bool], look: Callable[[], None]) -> Answer:
        try:
            answer = self._send(call, QUESTION_SECONDS, look)
        except httpx.HTTPError as error:
            raise _Again(None, _words(error)) from error
        if answer.status in _PASSING and not is_final(answer):
            raise _Again(answer, f"HTTP {answer.status}")
        return answer

    def _send(self, call: Call, seconds: float, look: Callable[[], None] = lambda: None) -> Answer:
        """Send a call and read its answer, within so many seconds. look: may raise to break it off."""
        url = self.address(call)
        files = {name: (part.name, part.content, part.mime_type) for name, part in (call.files or {}).items()}
        form: dict[str, Any] = {"json": dict(call.json)} if call.json is not None else {}
        if call.form is not None or files:  # a form without files is still sent in parts
            parts = [(name, (None, value.encode())) for name, value in (call.form or {}).items()]
            form = {"files": [*parts, *files.items()]}
        headers = {**self._authorize(), **call.headers, "accept-encoding": "identity"}
        params = dict(call.params) or None
        leash = Leash(seconds, look)
        try:
            with (
                leash,
                self._client.stream(
                    call.method, url, params=params, headers=headers, extensions={"trace": leash.trace}, **form
                ) as response,
            ):
                return Answer(
                    status=response.status_code,
                    headers={name.lower(): value for name, value in response.headers.items()},
                    body=_read(response),
                    path=call.path,
                )
        except httpx.TransportError as error:
            if leash.is_late:
                raise httpx.ReadTimeout(f"no whole answer in {seconds:.0f} s") from error
            raise

    def _unreachable(self, error: httpx.HTTPError) -> Unreachable:
        return Unreachable(
            f"{self.name} cannot be reached, and nothing was ordered",
            got=redact(f"{origin_of(self.base_url)}: {_words(error)}"),
            fix="check the network and the address, then try again",
        )


def is_web_address(url: str) -> bool:
    """Say whether a text can be taken apart as an address, by all that do."""
    try:
        urlsplit(url)
        _ = httpx.URL(url).host  # a name in letters of its own is only looked at here
    except (ValueError, httpx.InvalidURL):
        return False
    return True


def origin_of(url: str) -> str:
    """Return scheme, host and port of an address, the port also where it goes without saying."""
    parts = urlsplit(url)
    try:
        port = parts.port or {"https": 443, "http": 80}.get(parts.scheme, 0)
    except ValueError:
        port = -1
    return f"{parts.scheme.lower()}://{(parts.hostname or '').lower()}:{port}"


def patient(seconds: float, look: Callable[[], None], step_seconds: float = 0.2) -> None:
    """Wait, and look up now and then. look: may raise to give up."""
    end = time.monotonic() + seconds
    look()
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, step_seconds))
        look()


def briefly(seconds: float) -> Callable[[float], None]:
    """Return a `pause` for a question that nobody wants to wait long for. It raises `Unreachable` after so long."""
    end = time.monotonic() + seconds

    def pause(wait: float) -> None:
        if time.monotonic() + wait > end:
            raise Unreachable("the provider does not answer in time", got=f"{seconds:.0f} s")
        time.sleep(wait)

    return pause


def _read(response: httpx.Response) -> bytes:
    """Return a body, unpacked, up to `MAX_ANSWER_BYTES`. Raises `ProtocolError` for a larger one."""
    content = bytearray()
    for block in response.iter_raw():
        content += block
        if len(content) > MAX_ANSWER_BYTES:
            raise ProtocolError("an answer is far too long", got=f"over {MAX_ANSWER_BYTES} bytes")
    packing = response.headers.get("content-encoding", "identity").lower()
    if packing == "identity":
        return bytes(content)
    if packing not in ("gzip", "deflate"):
        raise ProtocolError("an answer is packed in a way that was not asked for", got=packing)
    unpacking = zlib.decompressobj(47)
    try:
        found = unpacking.decompress(bytes(content), MAX_ANSWER_BYTES + 1)
    except zlib.error as error:
        raise ProtocolError("an answer cannot be unpacked", got=packing) from error
    if len(found) > MAX_ANSWER_BYTES:
        raise ProtocolError("an answer is far too long", got=f"over {MAX_ANSWER_BYTES} bytes, unpacked")
    return found


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
