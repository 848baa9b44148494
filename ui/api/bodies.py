"""Reads the bodies of requests: never more than allowed, never for longer than it should take, strictly checked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from starlette.types import Message, Receive

from ui.api.problems import Refusal

MAX_JSON_BYTES = 2**20
SECONDS_BETWEEN_CHUNKS = 30.0
# A client that still sends hears our answer only if what it sends is read; but not for ever.
_DRAIN_BYTES, _DRAIN_SECONDS = 2**27, 5.0

M = TypeVar("M", bound=BaseModel)


def media_type(request: Request) -> str:
    """Return the media type of a request's body, without its parameters; empty where none is stated."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def read_json(request: Request, model: type[M]) -> M:
    """Return the JSON body as a model. Raises a `Refusal`: 400, 408, 413, 415 or 422."""
    content = await _read(request)
    if media_type(request) != "application/json":
        raise unsupported_type(request, "application/json")
    return _validated(model, content)


async def read_optional_json(request: Request, model: type[M]) -> M | None:
    """Return the JSON body as a model, None where there is no body."""
    content = await _read(request)
    if not content:
        return None
    if media_type(request) != "application/json":
        raise unsupported_type(request, "application/json")
    return _validated(model, content)


async def chunks(request: Request, limit: int) -> AsyncIterator[bytes]:
    """Yield the body as it arrives. limit: bytes. Raises a `Refusal` with 413, or 408 by `in_time`."""
    if _stated_length(request) > limit:
        await _drain(request)
        raise _too_large(limit)
    received = 0
    stream = request.stream()
    async for chunk in stream:
        received += len(chunk)
        if received > limit:
            await _drain(request, stream)
            raise _too_large(limit)
        yield chunk


def in_time(receive: Receive) -> Receive:
    """Return a `receive` that does not wait for ever for the rest of a body. It raises a `Refusal` with 408.

    A pause is limited, not the whole: what is large may take its time. Once the body is whole, all that is still
    to come is that the client goes; until then an answer may take as long as it does.
    """
    is_whole = False

    async def receive_in_time() -> Message:
        nonlocal is_whole
        try:
            async with asyncio.timeout(None if is_whole else SECONDS_BETWEEN_CHUNKS):
                message = await receive()
        except TimeoutError:
            raise Refusal(
                408,
                "the body stopped arriving",
                allowed=f"a pause of up to {SECONDS_BETWEEN_CHUNKS:g} seconds",
                headers={"connection": "close"},
            ) from None
        is_whole = not message.get("more_body", False)
        return message

    return receive_in_time


def unsupported_type(request: Request, allowed: str) -> Refusal:
    """Return the answer to a body of the wrong kind."""
    got = request.headers.get("content-type") or "none"
    return Refusal(415, "the body is of another kind", field="Content-Type", got=got, allowed=allowed)


def refusal_of_errors(errors: Sequence[Mapping[str, Any]], *, skip: int = 0) -> Refusal:
    """Return the answer to data that breaks a schema, as pydantic tells of it. skip: leading parts of each place."""
    error = errors[0]
    place = [str(part) for part in error["loc"][skip:]]
    if error["type"] == "json_invalid":
        return Refusal(400, str(error["msg"]), code="invalid_json")
    kept = place[:2] if place[:1] == ["options"] else place[:1]
    value = error.get("input")
    is_missing = error["type"] == "missing"
    context = error.get("ctx") or {}
    return Refusal(
        422,
        "this field is needed" if is_missing else _sentence(str(error["msg"])),
        code="unsupported_value",
        field=".".join(kept) or None,
        got=None if is_missing or isinstance(value, dict | list) else value,
        allowed=str(context["expected"]) if "expected" in context else None,
    )


def _sentence(message: str) -> str:
    return message.removeprefix("Value error, ").rstrip(".")


async def _read(request: Request) -> bytes:
    content = bytearray()
    async for chunk in chunks(request, MAX_JSON_BYTES):
        content += chunk
    return bytes(content)


def _validated(model: type[M], content: bytes) -> M:
    try:
        return model.model_validate_json(content, strict=True)
    except ValidationError as error:
        raise refusal_of_errors(error.errors(include_url=False)) from None


def _stated_length(request: Request) -> int:
    text = request.headers.get("content-length", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0


def _too_large(limit: int) -> Refusal:
    return Refusal(413, "the body is too large", allowed=f"up to {limit} bytes", headers={"connection": "close"})


async def _drain(request: Request, stream: AsyncIterator[bytes] | None = None) -> None:
    drained = 0
    with suppress(TimeoutError):
        async with asyncio.timeout(_DRAIN_SECONDS):
            async for chunk in stream or request.stream():
                drained += len(chunk)
                if drained > _DRAIN_BYTES:
                    return
