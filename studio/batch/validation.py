"""Looks at every entry of a batch before the first job starts, and tells everything that stands in the way at once."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from studio.batch.entry import BatchEntry, BatchFile
from studio.batch.faults import FaultList, in_words_of_a_file
from studio.errors import EnvironmentFault, OutputRefused, StudioError
from studio.request import GenerationRequest, ResolvedRequest
from studio.resolving.material import reading_each_file_once


def validate(
    batch: BatchFile,
    resolve: Callable[[GenerationRequest], ResolvedRequest],
    readiness: Callable[[str], str],
    destination: Callable[[Path], Path] | None = None,
) -> tuple[ResolvedRequest, ...]:
    """Return every request resolved, in the order of the entries; seeds that nobody gave are drawn here.

    resolve: as `Studio.resolve`. readiness: what a model lacks to run here, one sentence, empty where it lacks nothing.
    destination: returns the absolute path that may be written, or raises; as `studio.delivery.check_destination`.
    Each picture is read once, however many entries start from it.
    Raises `BatchFaults` with all that is wrong, or `BatchNotReady` where only this machine lacks something.
    """
    looking = _Looking(resolve, readiness, destination, FaultList(batch.path.name))
    with reading_each_file_once():
        resolved = [looking.at(entry) for entry in batch.entries]
    looking.refuse_overwritten_inputs(batch)
    looking.faults.raise_if_any()
    return tuple(request for request in resolved if request is not None)


@dataclass
class _Looking:
    """What was found so far. written: the entry that writes each output. missing: what each model lacks."""

    resolve: Callable[[GenerationRequest], ResolvedRequest]
    readiness: Callable[[str], str]
    destination: Callable[[Path], Path] | None
    faults: FaultList
    written: dict[str, BatchEntry] = field(default_factory=dict)
    folders: dict[Path, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    def at(self, entry: BatchEntry) -> ResolvedRequest | None:
        """Return the entry's request resolved, None where it cannot be; all that is wrong with it is noted."""
        if entry.output is not None:
            self._check_output(entry, entry.output)
        try:
            resolved = self.resolve(entry.request)
        except StudioError as error:
            self.faults.add(entry.where, in_words_of_a_file(error))
            return None
        self._check_readiness(entry, resolved.model)
        return resolved

    def _check_readiness(self, entry: BatchEntry, model: str) -> None:
        if model not in self.missing:
            self.missing[model] = self.readiness(model)
        reason, _, fix = self.missing[model].rstrip(".").partition("; ")
        if reason:
            self.faults.add(entry.where, EnvironmentFault(reason, field="model", got=model, fix=fix or None))

    def _check_output(self, entry: BatchEntry, output: Path) -> None:
        try:
            path = output if self.destination is None else self.destination(output)
            name = self._real(path)
            other = self.written.setdefault(name, entry)
            if other is not entry:
                raise OutputRefused(f"job {other.number} ({other.where}) writes this file too", got=output.name,
                                    fix="put {seed} or {index} into its name")  # fmt: skip
        except StudioError as error:
            self.faults.add(entry.where, error, "output")

    def refuse_overwritten_inputs(self, batch: BatchFile) -> None:
        """Note every output that is a file from which an entry of the batch starts."""
        if not self.written:
            return
        for entry in batch.entries:
            for item in entry.request.conditionings:
                writer = self.written.get(self._real(item.path))
                if writer is not None:
                    reader = f"job {entry.number} ({entry.where})"
                    error = OutputRefused(f"{reader} starts from this file", got=item.path.name, fix="choose another")
                    self.faults.add(writer.where, error, "output")

    def _real(self, path: Path) -> str:
        """Return a path by which the same file is always known, whatever links lead to its folder."""
        if path.parent not in self.folders:
            self.folders[path.parent] = os.path.realpath(path.parent)
        return os.path.join(self.folders[path.parent], os.path.normcase(path.name))
