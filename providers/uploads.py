"""Hands a file to where a provider wants it to lie: a presigned address, which gets it and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import httpx

from providers.download import Origin, client_for, vet
from providers.wire import Part
from studio.errors import DownloadRefused, Unreachable
from studio.redaction import redact

MAX_TRIES = 3


def send_file(
    url: str,
    part: Part,
    origin: Origin,
    pause: Callable[[float], None],
    *,
    fields: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> None:
    """Send a file to an address that a provider named: as a form with these fields, or as it is where there are none.

    headers: what the provider wants to be sent along; what is signed must come as it was said.
    It is sent again where the line breaks: nothing is paid for by it. origin: whose address it may be besides public
    https; its headers are not sent. pause: waits between two tries; it may raise to give up.
    Raises `DownloadRefused` for an address that is neither, `Unreachable` after the last try or a refusal.
    """
    try:
        is_own = vet(url, origin)
    except DownloadRefused as error:
        raise DownloadRefused(
            "a file is only handed to a public address, over https",
            got=error.got,
            allowed=error.allowed,
            fix="nothing was sent there, and nothing was ordered",
        ) from error
    trouble = ""
    for number in range(1, MAX_TRIES + 1):
        try:
            with client_for(url, origin, is_own=is_own) as client:
                answer = _sent(client, url, part, fields, headers or {})
            if answer.is_success:
                return
            trouble = f"HTTP {answer.status_code}"
        except httpx.TransportError as error:
            trouble = redact(f"{type(error).__name__}: {error}")
        if number < MAX_TRIES:
            pause(0.5 * 4 ** (number - 1))
    raise Unreachable(
        f"the file could not be handed to {origin.name}, and nothing was ordered", got=trouble, fix="try again later"
    )


def _sent(
    client: httpx.Client, url: str, part: Part, fields: Mapping[str, str] | None, headers: Mapping[str, str]
) -> httpx.Response:
    if fields is None:
        names = {"content-type": part.mime_type, **{name.lower(): value for name, value in headers.items()}}
        return client.put(url, content=part.content, headers=names)
    return client.post(url, data=dict(fields), files={"file": (part.name, part.content, part.mime_type)})
