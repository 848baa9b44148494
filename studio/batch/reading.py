"""Reads a batch file: whole, or not at all with everything that is wrong with it."""

from __future__ import annotations

import codecs
import hashlib
import re
from pathlib import Path

from studio.batch.entry import BatchFile
from studio.batch.expansion import expand
from studio.batch.faults import FaultList
from studio.batch.source import MAX_FILE_BYTES, Source
from studio.errors import RequestError, UnsupportedValue

SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".yaml", ".yml")
_STRANGE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_batch(path: Path) -> BatchFile:
    """Read JSON lines, JSON, CSV or YAML, told apart by the file's ending; see ``docs/batches.md``.

    Nothing that the file names is opened. Raises `BatchFaults` with all that is wrong inside it, and `RequestError`
    where it cannot be read at all.
    """
    content = _content(path)
    faults = FaultList(path.name)
    source = _source(path, content, faults)
    if source is not None and not source.jobs and not len(faults):
        faults.add("the file", UnsupportedValue("there are no jobs in it", fix="write at least one"))
    entries = expand(source, path.absolute().parent, faults) if source is not None else ()
    faults.raise_if_any()
    return BatchFile(path=path.absolute(), digest=hashlib.sha256(content).hexdigest(), entries=entries)


def _content(path: Path) -> bytes:
    if path.suffix.lower() not in SUFFIXES:
        raise UnsupportedValue(
            "this is no batch file, by its ending", field="file", got=path, allowed=", ".join(SUFFIXES)
        )
    try:
        if not path.exists():
            raise RequestError("there is no such file", field="file", got=path, fix="check the path")
        if not path.is_file():
            raise RequestError("this is no plain file", field="file", got=path, allowed="a batch file")
        with open(path, "rb") as stream:
            content = stream.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise RequestError(f"the file cannot be read ({reason})", field="file", got=path) from error
    if len(content) > MAX_FILE_BYTES:
        raise RequestError("the file is too large for a batch", field="file", got=path,
                           allowed=f"up to {MAX_FILE_BYTES // 2**20} MiB", fix="split it")  # fmt: skip
    return content


def _source(path: Path, content: bytes, faults: FaultList) -> Source | None:
    """Return what the file's format makes of it, None where it is no text."""
    try:
        text = _text(content, faults)
        return None if text is None else _parsed(path.suffix.lower(), text, faults)
    except UnsupportedValue as error:
        faults.add("the file", error)
        return None


def _parsed(suffix: str, text: str, faults: FaultList) -> Source:
    if suffix in (".yaml", ".yml"):
        from studio.batch.yaml_file import read_yaml

        return read_yaml(text, faults)
    if suffix in (".csv", ".tsv"):
        from studio.batch.csv_file import read_csv

        return read_csv(text, faults)
    from studio.batch.json_file import read_json_document, read_json_lines

    return read_json_document(text, faults) if suffix == ".json" else read_json_lines(text, faults)


def _text(content: bytes, faults: FaultList) -> str | None:
    if not content.strip():
        raise UnsupportedValue("the file is empty", fix="write at least one job")
    if content.startswith(_UTF_16):
        raise UnsupportedValue("this is UTF-16 text", allowed="UTF-8", fix="save it as UTF-8")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        faults.add(f"line {line}", UnsupportedValue(
            "this is no UTF-8 text", got=f"byte {content[error.start]:#04x}", fix="save the file as UTF-8"
        ))  # fmt: skip
        return None
    strange = _STRANGE.search(text)
    if strange is not None:
        line = text.count("\n", 0, strange.start()) + 1
        faults.add(f"line {line}", UnsupportedValue(
            "this character stands in no text", got=f"U+{ord(strange[0]):04X}", allowed="printable text"
        ))  # fmt: skip
        return None
    return text
