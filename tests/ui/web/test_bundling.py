"""ZIP files on their way to a browser: tickets that end, and a pipe that neither grows nor waits for ever."""

from __future__ import annotations

import asyncio
import threading
import zipfile
from io import BytesIO
from pathlib import Path

import pytest
from starlette.requests import ClientDisconnect
from starlette.types import Message

from studio.app import Studio
from studio.errors import GenerationFailed
from studio.library.asset import Asset
from studio.request import GenerationRequest
from ui.api.problems import Refusal
from ui.api.slots import Slots
from ui.web.backstage.bundling import KEPT_SECONDS, MAX_TICKETS, Download, Tickets, pieces


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_ticket_is_one_visitors_own_and_ends_after_ten_minutes() -> None:
    clock = Clock()
    tickets = Tickets(clock)
    ticket = tickets.give(["a", "b"], "ada")
    assert tickets.take(ticket, "ada") == tickets.take(ticket, "ada") == ("a", "b")
    for other, name in ((ticket, "bob"), (ticket, None), ("guessed", "ada")):
        with pytest.raises(Refusal, match="over"):
            tickets.take(other, name)
    clock.now = KEPT_SECONDS + 1
    with pytest.raises(Refusal, match="over"):
        tickets.take(ticket, "ada")


def test_no_more_tickets_are_kept_than_fit() -> None:
    tickets = Tickets()
    given = [tickets.give([str(number)], None) for number in range(MAX_TICKETS + 1)]
    with pytest.raises(Refusal):
        tickets.take(given[0], None)
    assert tickets.take(given[-1], None) == (str(MAX_TICKETS),)


@pytest.fixture
def assets(studio: Studio) -> list[Asset]:
    return [studio.generate(GenerationRequest(model="scripted-moving", seed=seed)).asset for seed in (1, 2)]


def test_the_pieces_are_the_zip(studio: Studio, assets: list[Asset]) -> None:
    content = b"".join(pieces(studio.curation.bundles, assets))
    with zipfile.ZipFile(BytesIO(content)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["manifest.json", *(f"{asset.id}.mp4" for asset in assets)]


def test_whoever_goes_away_ends_the_making(studio: Studio, assets: list[Asset]) -> None:
    before = set(threading.enumerate())
    stream = iter(pieces(studio.curation.bundles, assets * 20))
    assert next(stream)
    makers = set(threading.enumerate()) - before
    assert len(makers) == 1
    stream.close()  # type: ignore[attr-defined]
    maker = makers.pop()
    maker.join(10)
    assert not maker.is_alive()


def test_whoever_takes_nothing_for_too_long_is_not_waited_for_and_does_not_wait(
    studio: Studio, assets: list[Asset]
) -> None:
    before = set(threading.enumerate())
    stream = iter(pieces(studio.curation.bundles, assets * 20, patience=0.2))
    assert next(stream)
    makers = set(threading.enumerate()) - before
    assert len(makers) == 1
    makers.pop().join(10)  # it gives up by itself
    with pytest.raises(GenerationFailed, match="too slow"):
        list(stream)
    assert set(threading.enumerate()) <= before


def test_a_client_that_reads_nothing_keeps_no_place(studio: Studio, assets: list[Asset]) -> None:
    async def download() -> list[str]:
        slots, sent = Slots("ZIP files", 1, waiting=0), list[str]()

        async def send(message: Message) -> None:
            sent.append(message["type"])
            if message["type"] == "http.response.body":
                await asyncio.Event().wait()

        async def receive() -> Message:
            await asyncio.Event().wait()
            raise AssertionError("never")

        scope = {"type": "http", "asgi": {"spec_version": "2.4"}}
        with pytest.raises(ClientDisconnect):
            await Download(studio.curation.bundles, assets, slots, {}, 0.3)(scope, receive, send)
        async with slots.take():  # there is a place again
            return sent

    assert asyncio.run(asyncio.wait_for(download(), 30)) == ["http.response.start", "http.response.body"]


def test_what_fails_is_told_to_whoever_reads(studio: Studio, assets: list[Asset]) -> None:
    Path(assets[1].path).unlink()
    with pytest.raises(Exception, match="cannot be read"):
        list(pieces(studio.curation.bundles, assets))
