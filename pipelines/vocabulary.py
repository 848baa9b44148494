"""Words of a prompt that a model has never seen, found by its own tokenizer."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def unknown_words(tokenizer_folder: Path, prompt: str) -> list[str]:
    """Return the words that the tokenizer maps to its unknown token, in order, each once.

    Empty for tokenizers of large models, which spell unknown words out of pieces.
    """
    file = tokenizer_folder / "tokenizer.json"
    if not file.is_file():
        return []
    tokenizer = _tokenizer(file, file.stat().st_mtime_ns)
    unknown_id = next((tokenizer.token_to_id(token) for token in ("<unk>", "[UNK]", "<UNK>")), None)
    if unknown_id is None:
        return []
    encoding = tokenizer.encode(prompt)
    words = [
        prompt[start:end]
        for token, (start, end) in zip(encoding.ids, encoding.offsets, strict=True)
        if token == unknown_id
    ]
    return list(dict.fromkeys(word for word in words if word.strip()))


@lru_cache(maxsize=2)
def _tokenizer(file: Path, modified_ns: int) -> Tokenizer:  # noqa: ARG001  (a file that changed is read again)
    """Read a tokenizer, once for a batch of prompts: those of large models take a second."""
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(file))
