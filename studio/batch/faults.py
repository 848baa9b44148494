"""Everything that is wrong with a batch file, collected, and told at once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from studio.errors import EnvironmentFault, RequestError, StudioError

_LAST_NUMBER = re.compile(r" (\d+)$", re.ASCII)
# What the command line calls an argument is a key in a batch file.
_ARGUMENT = re.compile(r"--([a-z][a-z-]*)(?: [A-Z]+\b)?")
_KEYS = {"last_image": "last_frame", "last-frame": "last_frame", "video": "source_video", "first-frame": "image",
         "source-video": "source_video", "reference": "references"}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One thing that is wrong. where: such as ``line 12``, ``row 3`` or ``jobs[4], line 31``.

    field, message, got, allowed, fix: as in `StudioError`. is_request: the file is at fault, not this machine.
    """

    where: str
    message: str
    field: str | None = None
    got: str | None = None
    allowed: str | None = None
    fix: str | None = None
    is_request: bool = True

    @classmethod
    def of(cls, where: str, error: StudioError, field: str | None = None) -> Fault:
        """Return an error as a fault at a place of the file. field: where the error names none."""
        return cls(
            where=where,
            message=error.message,
            field=error.field or field,
            got=error.got,
            allowed=error.allowed,
            fix=error.fix,
            is_request=not isinstance(error, EnvironmentFault),
        )

    def sentence(self) -> str:
        """Return the whole story in one line, beginning with the place."""
        return f"{self.where}: {_error_of(self).sentence()}"

    def as_json(self) -> dict[str, str | None]:
        """Return the parts as a JSON object."""
        names = ("where", "field", "message", "got", "allowed", "fix")
        return {name: getattr(self, name) for name in names}


class _WithFaults(StudioError):
    """An error that stands for many. faults: all of them, in the file's order."""

    def __init__(self, source: str, faults: Sequence[Fault]) -> None:
        first = faults[0]
        rest = f" (the first of {len(faults)} faults)" if len(faults) > 1 else ""
        self.faults = tuple(faults)
        super().__init__(
            f"{source}, {first.where}: {first.message}{rest}",
            field=first.field,
            got=first.got,
            allowed=first.allowed,
            fix=first.fix,
        )

    def as_json(self) -> dict[str, Any]:
        """Return the first fault's parts as a JSON object, and all faults as a list."""
        return {**super().as_json(), "faults": [fault.as_json() for fault in self.faults]}


class BatchFaults(_WithFaults, RequestError):
    """The batch file is wrong in at least one place; nothing of it was started."""


class BatchNotReady(_WithFaults, EnvironmentFault):
    """The batch file is right, and this machine lacks something that it needs; nothing of it was started."""


class FaultList:
    """Collects faults. source: the file's name, for the sentence. The same fault at the same place counts once."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._faults: dict[Fault, None] = {}

    def __len__(self) -> int:
        return len(self._faults)

    def add(self, where: str, error: StudioError, field: str | None = None) -> None:
        """Note an error at a place of the file. field: where the error names none."""
        self._faults[Fault.of(where, error, field)] = None

    def raise_if_any(self) -> None:
        """Raise `BatchFaults`, or `BatchNotReady` where the file is right and the machine is not."""
        if not self._faults:
            return
        faults = sorted(self._faults, key=_place)
        if any(fault.is_request for fault in faults):
            raise BatchFaults(self._source, faults)
        raise BatchNotReady(self._source, faults)


def in_words_of_a_file(error: StudioError) -> StudioError:
    """Return an error that names keys of a batch file where it named arguments of the command line or of a pipeline."""
    error.field = _KEYS.get(error.field or "", error.field)
    if error.fix and "--" in error.fix:
        error.advise(_ARGUMENT.sub(lambda found: found[1].replace("-", "_"), error.fix))
    return error


def _place(fault: Fault) -> int:
    """Return the line or row of a fault, 0 where it concerns the whole file."""
    found = _LAST_NUMBER.search(fault.where)
    return int(found[1]) if found else 0


def _error_of(fault: Fault) -> StudioError:
    return StudioError(fault.message, field=fault.field, got=fault.got, allowed=fault.allowed, fix=fault.fix)
