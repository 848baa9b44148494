"""Clients of a page that asks for a login, each in the browser of somebody with an account."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import httpx

from studio.app import Studio
from studio.people.account import Role
from tests.webpage import serving_page

PASSWORD = "tulip engine waltz"
PEOPLE = {"alice": Role.CREATOR, "bob": Role.CREATOR, "vera": Role.VIEWER, "boss": Role.ADMIN}


@dataclass(frozen=True)
class Browsers:
    """One client for each of `PEOPLE`."""

    studio: Studio
    alice: httpx.Client
    bob: httpx.Client
    vera: httpx.Client
    boss: httpx.Client


@contextmanager
def browsers(studio: Studio) -> Iterator[Browsers]:
    """Serve the page with a login, and let everybody in."""
    for name, role in PEOPLE.items():
        studio.people.add(name, PASSWORD, role)
    with ExitStack() as stack:
        served = stack.enter_context(serving_page(studio, needs_login=True))
        headers = {"origin": served.url, "sec-fetch-site": "same-origin"}
        found = {}
        for name in PEOPLE:
            token = studio.people.login(name, PASSWORD)
            assert token is not None
            client = httpx.Client(
                base_url=served.url, headers=headers, cookies={"studio-visit": token}, timeout=60, trust_env=False
            )
            found[name] = stack.enter_context(client)
        yield Browsers(studio=studio, **found)
