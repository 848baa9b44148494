"""The throttle by itself: bounded, forgetful, and no way around by trying at the same time."""

from __future__ import annotations

import threading

import pytest

from studio.people import throttle as throttling
from studio.people.throttle import MAX_WAIT_OF_ADDRESS, MAX_WAIT_OF_NAME, Throttle, TooManyTries


def worn(throttle: Throttle, now: list[float], name: str, address: str) -> int:
    """Fail until the wait grows no more."""
    last = 0
    for _ in range(40):
        try:
            throttle.begin(name, address)
        except TooManyTries as wait:
            if wait.retry_after == last:
                return last
            last = wait.retry_after
            now[0] += last
            throttle.begin(name, address)
    raise AssertionError("the wait grows without end")


def test_waits_have_a_longest() -> None:
    now = [0.0]
    throttle = Throttle(lambda: now[0])
    assert worn(throttle, now, "anna", "") == MAX_WAIT_OF_NAME
    assert worn(throttle, now, "berta", "192.0.2.1") == MAX_WAIT_OF_ADDRESS


def test_failures_are_forgotten_after_an_hour() -> None:
    now = [0.0]
    throttle = Throttle(lambda: now[0])
    for _ in range(5):
        throttle.begin("anna", "192.0.2.1")
    now[0] += 3601
    for _ in range(5):
        throttle.begin("anna", "192.0.2.1")
    with pytest.raises(TooManyTries):
        throttle.begin("anna", "192.0.2.1")


def test_many_at_the_same_moment_get_no_more_tries_than_one_after_the_other() -> None:
    throttle = Throttle(lambda: 0.0)
    barrier = threading.Barrier(20)
    let_in: list[int] = []

    def go(index: int) -> None:
        barrier.wait()
        try:
            throttle.begin("anna", "192.0.2.1")
        except TooManyTries:
            return
        let_in.append(index)

    threads = [threading.Thread(target=go, args=(index,)) for index in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(let_in) == 5


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttling, "MAX_KEPT", 50)
    throttle = Throttle(lambda: 0.0)
    for index in range(500):
        throttle.begin(f"name{index}", f"10.0.{index // 250}.{index % 250}")
        throttle.succeeded(f"name{index}", f"10.0.{index // 250}.{index % 250}")
        throttle.begin(f"other{index}", f"10.1.{index // 250}.{index % 250}")
    assert max(len(kept) for kept in (throttle._names, throttle._addresses, throttle._known)) == 50
