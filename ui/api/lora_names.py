"""LoRAs over HTTP: clients name files of the studio's own folder, and learn of no other folder of this machine."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from studio.errors import UnsupportedValue

OPTION = "lora"
# Of a pair of denoisers; stands before a name, and is no drive of Windows.
_WHICH = re.compile(r"(?:high|low):\s*", re.ASCII)


def require_names(options: Mapping[str, Any]) -> None:
    """Raise `UnsupportedValue` where an option names a LoRA by more than the name of a file in STUDIO_HOME/loras."""
    for part in _parts(options.get(OPTION)):
        name = part[len(_which(part)) :]
        if PureWindowsPath(name).name != name or name.startswith(("~", "..")):
            raise UnsupportedValue(
                "a LoRA is named here without its folder",
                field=f"option {OPTION}",
                got=part,
                allowed="names of files in STUDIO_HOME/loras",
            )


def without_folders(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options in which LoRAs that lie elsewhere, as the command line may name them, are told by name alone."""
    if OPTION not in options:
        return dict(options)
    return {**options, OPTION: ", ".join(_shown(part) for part in _parts(options[OPTION]))}


def _parts(text: object) -> list[str]:
    return [part for item in str(text or "").split(",") if (part := item.strip())]


def _which(part: str) -> str:
    found = _WHICH.match(part)
    return found.group() if found else ""


def _shown(part: str) -> str:
    which = _which(part)
    name = part[len(which) :]
    is_elsewhere = any(kind(name).is_absolute() for kind in (PurePosixPath, PureWindowsPath)) or name.startswith("~")
    return which + (PureWindowsPath(name).name if is_elsewhere else name)
