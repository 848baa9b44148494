"""A file and its companion get their names together, or neither does."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from studio import delivery
from studio.delivery import deliver
from studio.errors import DiskFull, OutputRefused


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    (tmp_path / "library").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "library" / "a.webm").write_bytes(b"picture")
    (tmp_path / "library" / "a.c2pa").write_bytes(b"record")
    return tmp_path / "library" / "a.webm", tmp_path / "library" / "a.c2pa"


def names(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_both_are_written(pair: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    deliver(pair[0], out / "b.webm", overwrite=False, companion=(pair[1], out / "b.c2pa"))
    assert names(out) == {"b.webm": b"picture", "b.c2pa": b"record"}


@pytest.mark.parametrize("taken", ["b.webm", "b.c2pa"])
def test_a_name_that_is_taken_at_the_last_moment_keeps_both_away(
    taken: str, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    (out / taken).write_bytes(b"precious")
    with pytest.raises(OutputRefused, match="exists already"):
        deliver(pair[0], out / "b.webm", overwrite=False, companion=(pair[1], out / "b.c2pa"))
    assert names(out) == {taken: b"precious"}


@pytest.mark.parametrize("earlier", [{}, {"b.c2pa": b"old record"}, {"b.webm": b"old", "b.c2pa": b"old record"}])
@pytest.mark.parametrize("failing", ["b.c2pa", "b.webm"])
def test_a_failure_puts_back_what_stood_there(
    earlier: dict[str, bytes],
    failing: str,
    pair: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / "out"
    for name, content in earlier.items():
        (out / name).write_bytes(content)
    real = os.replace

    def failing_replace(source: Path, destination: Path) -> None:
        if Path(destination).name == failing and ".studio-" in str(source) and Path(source).stat().st_nlink == 1:
            raise OSError(28, "No space left on device")
        real(source, destination)

    monkeypatch.setattr(delivery.os, "replace", failing_replace)
    with pytest.raises(DiskFull):
        deliver(pair[0], out / "b.webm", overwrite=True, companion=(pair[1], out / "b.c2pa"))
    monkeypatch.undo()
    assert names(out) == earlier
