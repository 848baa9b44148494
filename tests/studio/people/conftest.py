"""People over both databases, with clocks that the tests set."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from studio.config import Settings
from studio.library.store import Store
from studio.people.people import People
from studio.people.throttle import Throttle


class Clock:
    """Stands still until it is told."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 30, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def seconds(self) -> float:
        return self.now.timestamp()

    def pass_by(self, **span: float) -> None:
        self.now += timedelta(**span)


@pytest.fixture
def settings(database_settings: Settings) -> Settings:
    """Every test of this folder runs on both databases."""
    return database_settings


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    with Store(settings) as store:
        yield store


@pytest.fixture
def people(store: Store, clock: Clock) -> People:
    return People(store, clock=clock, throttle=Throttle(clock.seconds))
