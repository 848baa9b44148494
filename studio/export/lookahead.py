"""Making items in a second thread while the first works on those before."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from queue import Empty, Full, Queue
from typing import Any, TypeVar

Item = TypeVar("Item")

_END = object()
_LOOK_AROUND_SECONDS = 0.1


class _Raised:
    def __init__(self, error: BaseException) -> None:
        self.error = error


@contextmanager
def ahead(items: Iterable[Item], depth: int = 3) -> Iterator[Iterator[Item]]:
    """Give the same items, made in another thread, at most `depth` of them waiting.

    An error there comes out here, after the items before it. On leaving, for whatever reason, the thread has ended and
    `items`, where it is a generator, was closed in it.
    """
    queue: Queue[Any] = Queue(depth)
    is_over = threading.Event()
    thread = threading.Thread(target=_work, args=(items, queue, is_over), name="lookahead", daemon=True)
    thread.start()
    try:
        yield _drained(queue, thread)
    finally:
        is_over.set()
        thread.join()


def _work(items: Iterable[Any], queue: Queue[Any], is_over: threading.Event) -> None:
    iterator = iter(items)
    last: Any = _END
    try:
        for item in iterator:
            if not _put(item, queue, is_over):
                break
    except BaseException as error:  # whatever it was, it belongs to the thread that waits for it
        last = _Raised(error)
    finally:
        try:
            close = getattr(iterator, "close", None)
            if close is not None:
                close()
        except BaseException as error:
            last = last if isinstance(last, _Raised) else _Raised(error)
        finally:
            _put(last, queue, is_over)


def _put(item: Any, queue: Queue[Any], is_over: threading.Event) -> bool:
    while not is_over.is_set():
        try:
            queue.put(item, timeout=_LOOK_AROUND_SECONDS)
            return True
        except Full:
            continue
    return False


def _drained(queue: Queue[Any], thread: threading.Thread) -> Iterator[Any]:
    while True:
        try:
            item = queue.get(timeout=_LOOK_AROUND_SECONDS)
        except Empty:
            if thread.is_alive() or not queue.empty():
                continue
            raise RuntimeError("the thread that makes the items died") from None
        if item is _END:
            return
        if isinstance(item, _Raised):
            raise item.error
        yield item
