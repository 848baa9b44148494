"""Prompt embeddings kept on disk: a prompt that was encoded once needs no text encoder again, whatever the seed.

They are private: a prompt can be guessed from its embedding. The folder is for the owner alone, and so are the files.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import secrets
import stat
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.stages import NotKeepable, machine_of, pack, unpack
from studio.embeddings import PART_SUFFIX, SUFFIX, clear_embeddings, embedding_files
from studio.errors import StoreFault

if TYPE_CHECKING:
    from pipelines.placement import Placement
    from studio.request import ResolvedRequest

_log = logging.getLogger(__name__)

MAX_BYTES = 2**30
_FORM = 1  # of the files; another one makes all earlier ones strangers
_PART_SECONDS = 3600.0
TEXT_PARTS = tuple(f"{part}{number}" for part in ("text_encoder", "tokenizer") for number in ("", "_2", "_3"))
# What takes less time than this is not worth a file.
WORTH_KEEPING_SECONDS = 0.5
# Options that change what is done with embeddings, or with what comes of them, and never the embeddings.
_WITHOUT_PART = frozenset({"speed", "attention", "scheduler", "compile", "decode_chunk_size"})
_LIBRARIES = ("torch", "diffusers", "transformers", "tokenizers", "peft", "torchao")


class EmbeddingCache:
    """A folder of embeddings, bounded in size; those that were asked for longest ago go first.

    What comes back is what was put in, bit for bit and laid out in memory as it was. A file that is broken, or was made
    on another kind of machine, is as good as none. Nothing here fails a run: what cannot be kept is not kept.
    Several processes may share a folder.

    folder: made with mode 0700. max_bytes: of all files together; 0 keeps none, and removes what was kept before.
    """

    def __init__(self, folder: Path, *, max_bytes: int = MAX_BYTES) -> None:
        self._folder = folder
        self._max_bytes = max_bytes

    def get(self, key: str, placement: Placement) -> dict[str, Any] | None:
        """Return the parts that were put in under this key, on the placement's device; None where there are none."""
        if self._max_bytes == 0:
            self._clear_quietly()
            return None
        path = self._path(key)
        try:
            content = path.read_bytes()
            parts = unpack(content, _made_on(placement), placement.device)
        except FileNotFoundError:
            return None
        except (OSError, NotKeepable) as error:
            _log.warning("kept embeddings cannot be used: %s", error)
            with suppress(OSError):
                path.unlink()
            return None
        with suppress(OSError):
            os.utime(path)
        return parts

    def put(self, key: str, parts: Mapping[str, Any], placement: Placement) -> None:
        """Keep parts: tensors, numbers, text, None, and lists and mappings of them."""
        try:
            content = pack(parts, _made_on(placement))
            if len(content) > self._max_bytes:
                return
            self._make_folder()
            self._write(self._path(key), content)
            self._make_room()
        except (OSError, NotKeepable) as error:
            _log.warning("the embeddings are not kept: %s", error)

    def clear(self) -> None:
        """Remove all that is kept. Raises `StoreFault` where it cannot."""
        clear_embeddings(self._folder)

    def _clear_quietly(self) -> None:
        try:
            self.clear()
        except StoreFault as error:
            _log.warning("%s", error.sentence())

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}{SUFFIX}"

    def _make_folder(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if stat.S_IMODE(self._folder.stat().st_mode) != 0o700:  # it was there already
            self._folder.chmod(0o700)

    def _write(self, path: Path, content: bytes) -> None:
        part = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(3)}{PART_SUFFIX}")
        try:
            with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(content)
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)

    def _make_room(self) -> None:
        files = self._files()
        total = sum(found.st_size for _, found in files)
        for path, found in sorted(files, key=lambda file: file[1].st_mtime_ns):
            is_left_over = path.suffix == PART_SUFFIX and time.time() - found.st_mtime > _PART_SECONDS
            if total > self._max_bytes or is_left_over:
                path.unlink(missing_ok=True)
                total -= found.st_size

    def _files(self) -> list[tuple[Path, os.stat_result]]:
        found: list[tuple[Path, os.stat_result]] = []
        for path in embedding_files(self._folder):
            with suppress(FileNotFoundError):  # another process was quicker
                found.append((path, path.stat()))
        return found


def embedding_key(
    *,
    weights: str,
    prompt: str,
    negative_prompt: str,
    max_sequence_length: int,
    is_guided: bool,
    placement: Placement,
    others: Mapping[str, Any] | None = None,
) -> str:
    """Return the name under which embeddings are kept: a digest of all that decides their bits.

    weights: what tells the text encoders and tokenizers apart, see `fingerprint`. max_sequence_length: tokens.
    is_guided: whether the negative prompt is encoded as well. others: whatever else a family's encoding depends on, as
    JSON: the digest of a picture, how weights are kept, LoRAs of a text encoder.
    """
    facts = {
        "form": _FORM,
        "weights": weights,
        "prompt": prompt,
        "negative_prompt": negative_prompt if is_guided else None,
        "max_sequence_length": max_sequence_length,
        "is_guided": is_guided,
        "made_on": _made_on(placement),
        "versions": _versions(),
        "others": dict(others or {}),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def key_of_request(
    resolved: ResolvedRequest, folder: Path, placement: Placement, *, settings: Mapping[str, Any]
) -> str:
    """Return the key of a request's embeddings: its words, and all else that any family encodes them by.

    folder: of the checkpoint. settings: the row's. Seed, steps, the strength of guidance, and how denoiser
    and decoder are run have no part in it; LoRAs and the format of weights, which text encoders may have too, do.
    """
    return embedding_key(
        weights=fingerprint(folder, TEXT_PARTS),
        prompt=resolved.prompt,
        negative_prompt=resolved.negative_prompt,
        max_sequence_length=int(settings.get("max_sequence_length", 0)),
        is_guided=(resolved.guidance_scale or 1.0) > 1,
        placement=placement,
        others={
            # Some families guide by options of their own and encode it although the guidance scale is 1.
            "negative_prompt": resolved.negative_prompt,
            "model": resolved.model,
            "task": resolved.task.value,
            "pictures": [[item.role.value, item.sha256] for item in resolved.conditionings],
            "size": [resolved.width, resolved.height, resolved.num_frames, str(resolved.frame_rate)],
            "audio": resolved.generate_audio,
            "options": {name: value for name, value in resolved.options.items() if name not in _WITHOUT_PART},
        },
    )


def fingerprint(folder: Path, parts: Iterable[str]) -> str:
    """Return what tells the files of some parts of a checkpoint from others, without reading them through.

    folder: of the checkpoint. parts: folders in it, such as ``text_encoder`` and ``tokenizer``; one that is not there
    counts as such. Names, sizes and times of change are looked at: weights that are exchanged have other ones.
    """
    found: list[tuple[str, int, int]] = []
    for part in sorted(parts):
        found.append((part, -1, -1))
        for path in sorted((folder / part).rglob("*")):
            if path.is_file():
                state = path.stat()
                found.append((path.relative_to(folder).as_posix(), state.st_size, state.st_mtime_ns))
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()


def _made_on(placement: Placement) -> str:
    return f"{machine_of(placement.device)} {placement.dtype}"


def _versions() -> dict[str, str | None]:
    from importlib.metadata import PackageNotFoundError, version

    found: dict[str, str | None] = {}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found
