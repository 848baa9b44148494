"""What a file may say about a prompt: all of it, a proof that only its owner can lead, or nothing.

The proof is an HMAC (RFC 2104) under a key of this one clip, which is derived from a secret of this install. Nobody can
find a short prompt by trying, as one could with a plain hash; the owner can show the prompt and the clip's key to
whoever has to be convinced, and gives away neither the secret nor any other clip's prompt.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

from studio.config import PromptPolicy

PROMPT_FIELDS = ("prompt", "negative_prompt")
_DIGEST_SUFFIX = "_hmac_sha256"
_PURPOSE = b"org.localvideostudio.prompt.1\0"
_LEVELS = {PromptPolicy.NONE: 0, PromptPolicy.HASH: 1, PromptPolicy.FULL: 2}


def prompt_key(secret: bytes, job_id: str) -> str:
    """Return the key of one clip's prompts, 64 hex digits. secret: bytes of this install that never leave it."""
    return hmac.new(secret, _PURPOSE + job_id.encode(), hashlib.sha256).hexdigest()


def prompt_digest(key: str, field: str, words: str) -> str:
    """Return the proof of a prompt: HMAC-SHA256 of ``field NUL words``, 64 hex digits.

    key: of this clip. field: ``prompt`` or ``negative_prompt``.
    """
    return hmac.new(bytes.fromhex(key), f"{field}\0{words}".encode(), hashlib.sha256).hexdigest()


def told(policy: PromptPolicy, prompts: Mapping[str, str], key: str | None) -> dict[str, Any]:
    """Return what a record says about the prompts.

    prompts: text by field name; empty ones are not mentioned. key: None leaves the proof out, as a bare hash could be
    guessed.
    """
    words = {name: prompts[name] for name in PROMPT_FIELDS if prompts.get(name)}
    said: dict[str, Any] = {"policy": policy.value}
    if policy is PromptPolicy.FULL:
        said |= words
    if policy is PromptPolicy.HASH and key is not None:
        said |= {name + _DIGEST_SUFFIX: prompt_digest(key, name, text) for name, text in words.items()}
    return said


def tells_more(generation: Mapping[str, Any], policy: PromptPolicy) -> bool:
    """Say whether a record of ours, in another file, says more of its prompt than this policy allows.

    What is there counts, not what the record calls it: a record of an unknown shape is taken to tell everything.
    """
    said = generation.get("prompt")
    if said is None:
        return False
    if not isinstance(said, Mapping):
        return policy is not PromptPolicy.FULL
    names = {str(name) for name in said} - {"policy"}
    proofs = {name for name in names if name.endswith("_sha256")}
    level = 2 if names - proofs else int(bool(proofs))
    return level > _LEVELS[policy]


def repeats(words: str, prompts: Iterable[str]) -> bool:
    """Say whether a sentence gives away a prompt: the whole of it, two of its words in a row, or that it quotes it."""
    if words.startswith(tuple(f"{field}:" for field in PROMPT_FIELDS)):
        return True
    inside = _spaced(words)
    return any(f" {piece} " in inside for prompt in prompts for piece in _pieces(prompt))


def _pieces(prompt: str) -> list[str]:
    words = _spaced(prompt).split()
    pairs = [f"{first} {second}" for first, second in pairwise(words)]
    return pairs or words


def _spaced(words: str) -> str:
    """Return the words in lower case with one space around each, whatever stood between them."""
    letters = "".join(letter if letter.isalnum() else " " for letter in words.casefold())
    return f" {' '.join(letters.split())} "
