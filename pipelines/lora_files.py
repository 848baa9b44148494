"""LoRA files: named in a request, looked at before anything is loaded, told in the signed file.

LoRA: Low-Rank Adaptation of Large Language Models, arXiv 2106.09685.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from studio.errors import UnsupportedValue
from studio.provenance.manifest import Adapter

FIELD = "lora"
MAX_STRENGTH = 10.0

_PICKLES = {".bin", ".ckpt", ".pkl", ".pickle", ".pt", ".pth"}
_MAX_HEADER_BYTES = 100_000_000  # the format's own bound
_LENGTH_BYTES = 8

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

    The number is the strength, 1 without it; ``high:`` and ``low:`` choose one denoiser of a pair. folder: where names
    without a folder of their own are looked for. A comma cannot stand in a name.
    Raises `UnsupportedValue` for a file that is not there, is no LoRA or is named twice, and for a wild strength.
    """
    loras = tuple(_parsed(part.strip(), folder) for part in text.split(",") if part.strip())
    seen: set[tuple[str, Denoisers]] = set()
    for lora in loras:
        places = {Denoisers.HIGH, Denoisers.LOW} if lora.denoisers is Denoisers.BOTH else {lora.denoisers}
        if any((lora.sha256, place) in seen for place in places):
            raise _refused("this LoRA is named twice", lora.name, fix="name it once, with the sum of the strengths")
        seen |= {(lora.sha256, place) for place in places}
    return loras


def read_header(path: Path) -> Mapping[str, Any]:
    """Return the entries of a safetensors file by tensor name, without its metadata. Reads no tensor.

    Raises `UnsupportedValue` for a file that is no whole safetensors file.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
            if not 2 <= length <= min(_MAX_HEADER_BYTES, size - _LENGTH_BYTES):
                raise ValueError
            header = json.loads(file.read(length))
        header.pop("__metadata__", None)
        ends = [int(entry["data_offsets"][1]) for entry in header.values()]
        if max(ends, default=0) != size - _LENGTH_BYTES - length:
            raise ValueError
    except OSError as error:
        raise _refused(f"the file cannot be read ({error.strerror})", path.name) from error
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise _refused("the file is no whole safetensors file", path.name) from error
    found: Mapping[str, Any] = header
    return found


def digest_of(path: Path) -> str:
    """Return the hex SHA-256 of a file."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise _refused(f"the file cannot be read ({error.strerror})", path.name) from error


def _parsed(text: str, folder: Path) -> LoRA:
    denoisers, _, rest = text.partition(":")
    which = Denoisers(denoisers) if denoisers in (Denoisers.HIGH, Denoisers.LOW) else Denoisers.BOTH
    name = text if which is Denoisers.BOTH else rest.strip()
    head, colon, tail = name.rpartition(":")
    # A colon that no number follows belongs to the name, as in C:\loras\style.safetensors.
    is_number = bool(colon) and not tail.lower().endswith(".safetensors") and "/" not in tail and "\\" not in tail
    path = _found((head if is_number else name).strip(), folder)
    strength = _strength(tail, path.name) if is_number else 1.0
    _check_keys(read_header(path), path.name)
    return LoRA(path=path, strength=strength, sha256=digest_of(path), name=path.name, denoisers=which)


def _found(name: str, folder: Path) -> Path:
    path = Path(name).expanduser()
    suffix = path.suffix.lower()
    if suffix in _PICKLES:
        raise _refused(
            "the file is a pickle, which can run code as it is read", name, fix="convert it to safetensors first"
        )
    if suffix != ".safetensors":
        raise _refused("a LoRA is a safetensors file", name, fix="write file.safetensors:0.8 for a strength of 0.8")
    path = path if path.is_absolute() else folder / path
    if not path.is_file():
        raise _refused("there is no such file", name, fix=f"put it into {folder}, or name it with its whole path")
    return path


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


def _refused(message: str, got: str, *, allowed: str | None = None, fix: str | None = None) -> UnsupportedValue:
    return UnsupportedValue(message, field=FIELD, got=got, allowed=allowed, fix=fix)
