"""Prompt embeddings that local models keep in the home folder: who has one can guess the prompt."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from studio.errors import StoreFault

SUFFIX, PART_SUFFIX = ".safetensors", ".part"


def embedding_files(folder: Path) -> Iterator[Path]:
    """Yield the embeddings in a folder, and what writing one left there; nothing where there is no such folder."""
    yield from (path for path in folder.glob("*") if path.suffix in (SUFFIX, PART_SUFFIX))


def clear_embeddings(folder: Path) -> None:
    """Remove all embeddings from a folder. Raises `StoreFault` where one cannot be removed."""
    try:
        for path in embedding_files(folder):
            path.unlink(missing_ok=True)
    except OSError as error:
        raise StoreFault(
            f"kept prompt embeddings cannot be removed ({error.strerror or error})",
            got=folder,
            fix="make the folder writable, or remove it by hand",
        ) from error
