"""Work in a second thread: the same items in the same order, and no thread left, whatever happens."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from studio.export.lookahead import ahead


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "lookahead"]


def test_all_items_come_in_their_order() -> None:
    with ahead(range(1000)) as items:
        assert list(items) == list(range(1000))
    assert threads() == []


def test_only_a_few_items_wait() -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for index in range(100):
            made.append(index)
            yield index

    with ahead(items(), depth=2) as waiting:
        next(waiting)
        threading.Event().wait(0.3)
        assert len(made) <= 1 + 2 + 1 + 1
    assert threads() == []


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, MemoryError])
def test_an_error_comes_out_after_the_items_before_it(error: type[BaseException]) -> None:
    def items() -> Iterator[int]:
        yield 1
        raise error

    seen: list[int] = []
    with pytest.raises(error), ahead(items()) as waiting:
        seen.extend(waiting)
    assert threads() == []


def test_leaving_early_closes_the_generator_in_its_own_thread() -> None:
    closed_in: list[str] = []

    def items() -> Iterator[int]:
        try:
            yield from range(10**9)
        finally:
            closed_in.append(threading.current_thread().name)

    with pytest.raises(ZeroDivisionError), ahead(items()) as waiting:
        _ = [1 // index for index in waiting]
    assert closed_in == ["lookahead"]
    assert threads() == []


class Closing:
    """Two items, then perhaps an error; closing it fails."""

    def __init__(self, error: BaseException | None = None) -> None:
        self._items = [1, 2]
        self._error = error

    def __iter__(self) -> Closing:
        return self

    def __next__(self) -> int:
        if self._items:
            return self._items.pop(0)
        raise self._error or StopIteration

    def close(self) -> None:
        raise OSError("cannot be closed")


@pytest.mark.parametrize(("error", "told"), [(None, OSError), (ValueError("the cause"), ValueError)])
def test_an_error_on_closing_is_told_unless_there_was_one_before(
    error: BaseException | None, told: type[BaseException], capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[int] = []
    with pytest.raises(told), ahead(Closing(error)) as waiting:
        seen.extend(waiting)
    assert seen == [1, 2]
    assert threads() == []
    assert capsys.readouterr().err == ""
