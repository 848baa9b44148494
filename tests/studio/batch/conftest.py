"""Writing a batch file and reading it back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from studio.batch.entry import BatchEntry
from studio.batch.faults import BatchFaults, Fault
from studio.batch.reading import read_batch

Read = Callable[[str, str | bytes], tuple[BatchEntry, ...]]
Faults = Callable[[str, str | bytes], tuple[Fault, ...]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Write a file of this name and content into the test's folder and return its entries."""

    def write_and_read(name: str, content: str | bytes) -> tuple[BatchEntry, ...]:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_batch(path).entries

    return write_and_read


@pytest.fixture
def faults(read: Read) -> Faults:
    """Write a file that is wrong and return what is said about it."""

    def write_and_refuse(name: str, content: str | bytes) -> tuple[Fault, ...]:
        with pytest.raises(BatchFaults) as caught:
            read(name, content)
        return caught.value.faults

    return write_and_refuse
