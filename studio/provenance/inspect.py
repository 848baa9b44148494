"""Reading the C2PA record of any file from anywhere, without trusting or asking anybody."""

from __future__ import annotations

import io
import json
import os
import stat
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from studio.media.files import HEAD_BYTES, sniff_head
from studio.provenance.explain import explain
from studio.provenance.reading import INGREDIENT_PREFIX, C2paReading, IngredientReading, State, TimeStamp
from studio.provenance.record_tree import interpret
from studio.provenance.trust import TrustList, offline_settings

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["INGREDIENT_PREFIX", "C2paReading", "IngredientReading", "State", "read_c2pa", "read_manifest_store"]

GAVE_UP = "org.localvideostudio.reading.gaveUp"

_STATES: dict[str, State] = {"Trusted": "trusted", "Valid": "valid", "Invalid": "invalid"}
# The SDK reads pictures and sound whole; a hostile one of many gigabytes would take all memory.
MAX_OTHER_BYTES = 2**28
MAX_ACCOUNT_CHARACTERS = 2**24
# An honest file of any size is read far faster than this; a file of a million boxes keeps the SDK busy for minutes.
PATIENCE_SECONDS = 2.0
SLOWEST_BYTES_PER_SECOND = 20e6

# The description of the outermost box of every record (C2PA 2.4, "JUMBF embedding").
_RECORD_START = b"jumdc2pa" + bytes.fromhex("00110010800000aa00389b71")
_PIECE_BYTES, _SEARCHED_PIECES = 2**20, 64


def read_c2pa(
    path: Path,
    *,
    mime_type: str | None = None,
    lists: Sequence[TrustList] = (),
    manifest_store: bytes | None = None,
) -> C2paReading:
    """Read and validate the Content Credentials of `path`. Never raises for what is in the file, never goes online.

    mime_type: used only where the content does not tell.
    lists: whose signers are trusted, and whose time stamps.
    manifest_store: the record where it is kept apart from the file; None reads the one inside.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return _absent("this is not a file")
        if path.stat().st_size == 0:
            return _absent("the file is empty")
        found = _mime_type_of(path) or mime_type
    except (OSError, ValueError) as error:
        return _absent(f"the file cannot be read ({getattr(error, 'strerror', None) or error})")
    if found is None:
        return _absent("this is not a kind of file that can carry Content Credentials")
    if is_too_large(path, found):
        return _absent(f"larger than any honest file of its kind ({path.stat().st_size / 2**20:.0f} MiB)")
    with PatientFile(path) as file:
        reading = _read(file, found, lists, manifest_store)
    if reading.state == "absent":
        return reading
    return replace(reading, place="embedded" if manifest_store is None else "sidecar")


def is_too_large(path: Path, mime_type: str) -> bool:
    """Say whether the SDK would read a file whole that is larger than any honest one of its kind."""
    return not mime_type.startswith("video/") and path.stat().st_size > MAX_OTHER_BYTES


def _mime_type_of(path: Path) -> str | None:
    with path.open("rb") as file:
        return sniff_head(file.read(HEAD_BYTES))


def read_manifest_store(manifest_store: bytes, *, lists: Sequence[TrustList] = ()) -> C2paReading:
    """Validate a record by itself, without the file it belongs to: its failures then always name the content's hash."""
    return _read(io.BytesIO(manifest_store), "application/c2pa", lists, None)


def _read(
    file: io.BytesIO | PatientFile, mime_type: str, lists: Sequence[TrustList], manifest_store: bytes | None
) -> C2paReading:
    try:
        state, record = _validate(file, mime_type, lists, manifest_store)
        vouching = _vouching(record, lists) if state == "trusted" else None
        if vouching is not None and vouching.kind != "manifest":
            # The library takes an authority for the time as one for signers too; only the others may speak.
            signers = [item for item in lists if item.kind == "manifest"]
            state, again = _validate(file, mime_type, signers, manifest_store)
            vouching, record = (_vouching(again, signers), again) if state == "trusted" else (None, _untrusted(record))
            state = state if state == "trusted" else "valid"
        reading = replace(interpret(state, record), trust_list=None if vouching is None else vouching.name)
        reading = replace(reading, time_stamp=_by_a_clock(reading.time_stamp, lists))
    except Exception as error:  # a stranger's file may provoke anything; each means there is no usable record
        reading = _failed(error, mime_type, file)
    return _gave_up() if getattr(file, "has_given_up", False) else reading


def _validate(
    file: io.BytesIO | PatientFile, mime_type: str, lists: Sequence[TrustList], manifest_store: bytes | None
) -> tuple[State, Mapping[str, Any]]:
    from c2pa import Context, Reader, Settings

    file.seek(0)
    with (
        Settings.from_dict(offline_settings(lists)) as settings,
        Context(settings) as context,
        Reader(mime_type, file, manifest_data=manifest_store, context=context) as reader,
    ):
        account = reader.json()
        if len(account) > MAX_ACCOUNT_CHARACTERS:
            raise ValueError("a record far larger than any honest one")
        return _STATES.get(str(reader.get_validation_state()), "invalid"), json.loads(account)


class PatientFile(io.BufferedReader):
    """A file that ends the reading once it has taken longer than an honest file would.

    The time allowed grows with the bytes that were really read, up to the file's size; the size alone buys none. The
    SDK and Pillow read through these methods alone, so this also ends a loop in their code.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(cast("io.RawIOBase", io.FileIO(path, "rb")))
        self.has_given_up = False
        self._delivered, self._size = 0, os.fstat(self.fileno()).st_size
        self._started = time.monotonic()

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        self._check()
        count = super().readinto(buffer)
        self._delivered += count
        return count

    def read(self, size: int | None = -1, /) -> bytes:
        self._check()
        content = super().read(size)
        self._delivered += len(content)
        return content

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        self._check()
        return super().seek(offset, whence)

    def _check(self) -> None:
        allowed = PATIENCE_SECONDS + min(self._delivered, self._size) / SLOWEST_BYTES_PER_SECOND
        if time.monotonic() > self._started + allowed:
            self.has_given_up = True
            raise TimeoutError("reading it takes too long")


def _vouching(store: Mapping[str, Any], lists: Sequence[TrustList]) -> TrustList | None:
    """Return the list that vouches for the signer; a certificate trusted by itself is reported without a name."""
    name = (store.get("validation_results") or {}).get("trustListUri")
    if name == "":
        return next((item for item in lists if item.leaves_pem), None)
    return next((item for item in lists if item.name == name), None)


def _by_a_clock(stamp: TimeStamp, lists: Sequence[TrustList]) -> TimeStamp:
    """Take back the trust in a time stamp by an authority that is trusted for signers alone."""
    is_signer = any(item.name == stamp.trust_list and item.kind != "tsa" for item in lists)
    return replace(stamp, is_trusted=False, trust_list=None) if is_signer else stamp


def _untrusted(store: Mapping[str, Any]) -> Mapping[str, Any]:
    results = store["validation_results"]
    active = results["activeManifest"]
    failures = [*(active.get("failure") or ()), {"code": "signingCredential.untrusted"}]
    return {**store, "validation_results": {**results, "activeManifest": {**active, "failure": failures}}}


def _failed(error: Exception, mime_type: str, file: io.BytesIO | PatientFile) -> C2paReading:
    """Turn the library's exception into a reading: no record, a record elsewhere, or one that is broken."""
    kind, text = type(error).__name__.lstrip("_").removeprefix("C2pa"), str(error)
    if kind == "ManifestNotFound":
        return _absent("the file carries no Content Credentials")
    if kind == "RemoteManifest" or "remote manifest" in text:
        return _absent("its Content Credentials are kept on a server, and the studio does not go there")
    if kind == "NotSupported" or "type is unsupported" in text:
        return _absent(f"files of type {mime_type} cannot carry Content Credentials")
    if "could not be parsed" in text or kind == "Io":
        if _holds_record(file):
            return _broken("the file was damaged or changed so much that its Content Credentials cannot be checked")
        return _absent("the file is damaged or not what it seems, so no Content Credentials could be read")
    return _broken("its Content Credentials are damaged and cannot be read")


def _holds_record(file: io.BytesIO | PatientFile) -> bool:
    """Say whether a record begins in the first 64 MiB of a file that the SDK cannot find its way in."""
    with suppress(TimeoutError):
        file.seek(0)
        tail = b""
        for _ in range(_SEARCHED_PIECES):
            piece = file.read(_PIECE_BYTES)
            if _RECORD_START in tail + piece:
                return True
            if len(piece) < _PIECE_BYTES:
                return False
            tail = piece[-len(_RECORD_START) :]
    return False


def _broken(problem: str) -> C2paReading:
    return C2paReading(state="invalid", codes=("general.error",), failures=("general.error",), problem=problem)


def _gave_up() -> C2paReading:
    return C2paReading(state="absent", codes=(GAVE_UP,), failures=(GAVE_UP,), problem=explain((GAVE_UP,)))


def _absent(problem: str) -> C2paReading:
    return C2paReading(state="absent", problem=problem)
