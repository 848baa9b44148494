"""A lock file goes with whoever held it, and never lets two in at a time."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from filelock import Timeout

from studio.alone import alone


def test_the_file_is_there_while_it_is_held_and_no_longer(tmp_path: Path) -> None:
    path = tmp_path / "one.lock"
    with alone(path):
        assert path.is_file()
        with pytest.raises(Timeout), alone(path):
            pass
        assert path.is_file()
    assert not path.exists()
    with pytest.raises(KeyError), alone(path):
        raise KeyError
    assert not path.exists()


def test_many_that_wait_for_each_other_are_let_in_one_by_one(tmp_path: Path) -> None:
    inside, most = [], []

    def work() -> None:
        for _ in range(20):
            with alone(tmp_path / "one.lock", timeout_seconds=60):
                inside.append(1)
                most.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(most) == 120
    assert max(most) == 1
    assert list(tmp_path.iterdir()) == []
