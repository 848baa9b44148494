"""LoRA files: named in a request, looked at before anything is loaded, told in the signed file.

LoRA: Low-Rank Adaptation of Large Language Models, arXiv 2106.09685.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from io import BufferedReader
from pathlib import Path
from typing import Any

from studio.errors import UnsupportedValue, WeightsMismatch
from studio.provenance.manifest import Adapter

FIELD = "lora"
MAX_STRENGTH = 10.0
MAX_CHARACTERS = 4000  # of the option, as its row has it

_PICKLES = {".bin", ".ckpt", ".pkl", ".pickle", ".pt", ".pth"}
_MAX_HEADER_BYTES = 100_000_000  # the format's own bound
_LENGTH_BYTES = 8
_SUFFIX = ".safetensors"
_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII | re.IGNORECASE)

_LORA_KEY = re.compile(r"lora(?:_A|_B|_down|_up|\.down|\.up|_linear_layer)(?:\.|$)")
# What changes a layer in another way, and would be left out or misunderstood.
_OTHERS = {"dora_scale": "DoRA", "hada_": "LoHa", "lokr_": "LoKr", "oft_": "OFT", ".diff": "weight difference"}


class Denoisers(StrEnum):
    """Which denoisers of a pair (Wan 2.2 A14B) a LoRA is for; HIGH takes the noisy steps, LOW the last ones."""

    BOTH = "both"
    HIGH = "high"
    LOW = "low"


@dataclass(frozen=True, kw_only=True)
class LoRA:
    """One LoRA of a request.

    strength: what its change of the weights is multiplied by, from -10 to 10; 1 is as trained, 0 leaves it out.
    sha256: hex digest of the file. name: of the file, for people and for the signed file.
    """

    path: Path
    strength: float
    sha256: str
    name: str
    denoisers: Denoisers = Denoisers.BOTH

    @property
    def adapter(self) -> Adapter:
        """What the signed file says of it."""
        return Adapter(name=self.name, sha256=self.sha256, scale=self.strength)


def parse_loras(text: str, folder: Path) -> tuple[LoRA, ...]:
    """Return the LoRAs of a request's option, such as ``style.safetensors:0.8, low:motion.safetensors``.

    The number is the strength, 1 without it; ``high:`` and ``low:`` choose one denoiser of a pair; ``@`` and 64 hex
    digits at the end are the file's SHA-256. folder: where relative names are looked for, and not beyond it. A comma
    cannot stand in a name.
    Raises `UnsupportedValue` for a file that is not there, is no LoRA or is named twice, and for a wild strength;
    `WeightsMismatch` for a file that has another digest.
    """
    loras = tuple(_parsed(part.strip(), folder) for part in text.split(",") if part.strip())
    seen: set[tuple[str, Denoisers]] = set()
    for lora in loras:
        places = {Denoisers.HIGH, Denoisers.LOW} if lora.denoisers is Denoisers.BOTH else {lora.denoisers}
        if any((lora.sha256, place) in seen for place in places):
            raise _refused("this LoRA is named twice", lora.name, fix="name it once, with the sum of the strengths")
        seen |= {(lora.sha256, place) for place in places}
    return loras


def pinned(loras: Iterable[LoRA], folder: Path) -> str:
    """Return the text that `parse_loras` takes for these very files, and refuses once one of them is another.

    folder: as for `parse_loras`; files in it are named without it, all others with their whole path.
    Raises `UnsupportedValue` for a path with a comma, and where the text gets too long for an option.
    """
    text = ", ".join(_pinned(lora, folder) for lora in loras)
    if len(text) > MAX_CHARACTERS:
        got = f"{len(text)} characters with their digests"
        raise _refused("too many LoRAs, or too long paths", got, allowed=f"up to {MAX_CHARACTERS}")
    return text


def read_header(path: Path) -> Mapping[str, Any]:
    """Return the entries of a safetensors file by tensor name, without its metadata. Reads no tensor.

    Raises `UnsupportedValue` for a file that is no whole safetensors file.
    """
    try:
        with _opened(path) as file:
            size = os.fstat(file.fileno()).st_size
            length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
            if not 2 <= length <= min(_MAX_HEADER_BYTES, size - _LENGTH_BYTES):
                raise ValueError
            header = json.loads(file.read(length))
        header.pop("__metadata__", None)
        ends = [int(entry["data_offsets"][1]) for entry in header.values()]
        if max(ends, default=0) != size - _LENGTH_BYTES - length:
            raise ValueError
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError, RecursionError) as error:
        raise _refused("the file is no whole safetensors file", path.name) from error
    found: Mapping[str, Any] = header
    return found


def digest_of(path: Path) -> str:
    """Return the hex SHA-256 of a file of any size. Raises `UnsupportedValue` for one that cannot be read."""
    with _opened(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _parsed(text: str, folder: Path) -> LoRA:
    text, wanted = _without_digest(text)
    denoisers, _, rest = text.partition(":")
    which = Denoisers(denoisers) if denoisers in (Denoisers.HIGH, Denoisers.LOW) else Denoisers.BOTH
    name = text if which is Denoisers.BOTH else rest.strip()
    head, colon, tail = name.rpartition(":")
    # A colon that no number follows belongs to the name, as in C:\loras\style.safetensors.
    is_number = bool(colon) and not tail.lower().endswith(_SUFFIX) and "/" not in tail and "\\" not in tail
    path = _found((head if is_number else name).strip(), folder)
    strength = _strength(tail, path.name) if is_number else 1.0
    # The header tells a file that is no LoRA at once; where a digest was given, it is told first that it is another.
    sha256 = None if wanted is None else _verified(path, wanted)
    _check_keys(read_header(path), path.name)
    return LoRA(path=path, strength=strength, sha256=sha256 or digest_of(path), name=path.name, denoisers=which)


def _without_digest(text: str) -> tuple[str, str | None]:
    head, at, tail = text.rpartition("@")
    if not at or _SUFFIX in tail.lower() or _SUFFIX not in head.lower():
        return text, None  # the @ of a name or a folder
    if not _DIGEST.fullmatch(tail):
        raise _refused(f"{Path(head).name} has no such digest", tail, allowed="64 hex digits, the file's SHA-256")
    return head.rstrip(), tail.lower()


def _verified(path: Path, wanted: str) -> str:
    found = digest_of(path)
    if found != wanted:
        raise WeightsMismatch(
            f"{path.name} is not the file that was asked for",
            field=FIELD,
            got=f"SHA-256 {found}",
            allowed=wanted,
            fix="put that file back, or name it without @ and the digest to take it as it is now",
        )
    return found


def _pinned(lora: LoRA, folder: Path) -> str:
    path = lora.path
    is_inside = path.is_relative_to(folder) and ".." not in path.relative_to(folder).parts
    name = str(path.relative_to(folder) if is_inside else path)
    if "," in name:
        raise _refused("a path with a comma cannot be kept", lora.name, fix="rename the folder, or move the file")
    if name != name.strip() or name.startswith(("~", *(f"{which}:" for which in Denoisers))):
        name = f"./{name}"  # it would be read as something else
    which = "" if lora.denoisers is Denoisers.BOTH else f"{lora.denoisers}:"
    return f"{which}{name}:{repr(lora.strength).removesuffix('.0')}@{lora.sha256}"


def _found(name: str, folder: Path) -> Path:
    path = _at_home(name) if name.startswith("~") else Path(name)
    suffix = path.suffix.lower()
    if suffix in _PICKLES:
        raise _refused(
            "the file is a pickle, which can run code as it is read", name, fix="convert it to safetensors first"
        )
    if suffix != _SUFFIX:
        raise _refused("a LoRA is a safetensors file", name, fix="write file.safetensors:0.8 for a strength of 0.8")
    if not path.is_absolute():
        has_folder, path = path.name != str(path), folder / path
        if has_folder and not _is_below(path, folder):
            raise _outside(name, folder, "the file lies outside of the folder for LoRAs")
    try:
        if path.is_file():
            return path
        is_there = path.exists()
    except OSError as error:
        raise _refused(f"the file cannot be read ({error.strerror})", path.name) from error
    if is_there:
        raise _refused("this is no file that could be read", name, allowed="files, no folders, pipes or devices")
    raise _outside(name, folder, "there is no such file")


def _at_home(name: str) -> Path:
    try:
        return Path(name).expanduser()
    except RuntimeError as error:
        raise _refused("there is no user of this name", name) from error


def _is_below(path: Path, folder: Path) -> bool:
    """Say whether a path leads to a place below a folder, links followed."""
    try:
        return path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):  # links that go round in circles
        return False


@contextmanager
def _opened(path: Path) -> Iterator[BufferedReader]:
    """Open a file for reading; whatever else has taken its place, such as a pipe, is refused and not waited for."""

    def opener(name: str, flags: int) -> int:
        return os.open(name, flags | getattr(os, "O_NONBLOCK", 0))

    try:
        with open(path, "rb", opener=opener) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise _refused("this is no file that could be read", path.name)
            yield file
    except OSError as error:
        raise _refused(f"the file cannot be read ({error.strerror})", path.name) from error


def _strength(text: str, name: str) -> float:
    try:
        strength = float(text)
    except ValueError:
        strength = math.nan
    if not abs(strength) <= MAX_STRENGTH:
        raise _refused(
            f"{name} has no such strength", text.strip(), allowed=f"a number from -{MAX_STRENGTH:g} to {MAX_STRENGTH:g}"
        )
    return strength


def _check_keys(header: Mapping[str, Any], name: str) -> None:
    for part, words in _OTHERS.items():
        if any(part in key for key in header):
            raise _refused(f"the file holds a {words}, of which a part would be lost", name, allowed="plain LoRAs")
    if not any(_LORA_KEY.search(key) for key in header):
        raise _refused("the file holds no LoRA", name)


def _outside(name: str, folder: Path, message: str) -> UnsupportedValue:
    fix = "put it there, or name it with its whole path: --option lora=/folder/file.safetensors"
    return _refused(message, name, allowed=f"files in {folder}", fix=fix)


def _refused(message: str, got: str, *, allowed: str | None = None, fix: str | None = None) -> UnsupportedValue:
    return UnsupportedValue(message, field=FIELD, got=got, allowed=allowed, fix=fix)
