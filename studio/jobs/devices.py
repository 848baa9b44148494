"""Which devices of this machine workers can be given, found out without loading torch."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping

from studio.config import Settings
from studio.errors import UnsupportedValue

_NVIDIA, _ROCM = "/dev/nvidiactl", "/dev/kfd"
_SECONDS_TO_ANSWER = 10.0
_QUESTION = ("nvidia-smi", "--query-gpu=index,memory.total", "--format=csv,noheader")


def devices(settings: Settings, environ: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Return what each worker is to compute on, such as ``("cuda:0", "cuda:1")``; one device, one worker.

    STUDIO_DEVICE decides unless it is ``auto``. Else every NVIDIA GPU counts that CUDA_VISIBLE_DEVICES lets programs
    see; where none is found the choice is left to the worker, which looks through torch: ``("auto",)``.
    """
    if settings.device != "auto":
        return (settings.device,)
    environ = os.environ if environ is None else environ
    number = _installed() or 0
    visible = environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        number = min(number, _visible(visible))
    return tuple(f"cuda:{index}" for index in range(number)) or ("auto",)


def _visible(words: str) -> int:
    """Return how many devices CUDA_VISIBLE_DEVICES names; as in CUDA, the first wrong one ends the list."""
    number = 0
    for word in (item.strip() for item in words.split(",")):
        if not word or word.startswith("-"):
            break
        number += 1
    return number


def _installed() -> int | None:
    """Return how many GPUs the driver knows, None where there is no driver or it does not answer."""
    try:
        answer = subprocess.run(_QUESTION, capture_output=True, text=True, timeout=_SECONDS_TO_ANSWER, check=True)
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None
    return sum(1 for line in answer.stdout.splitlines() if line.partition(",")[0].strip().isdecimal())


def require_device(device: str) -> None:
    """Refuse an NVIDIA GPU that this machine does not have, before a worker takes a job that it cannot run.

    Raises `UnsupportedValue`. Where another driver may serve ``cuda`` (ROCm), torch has the last word.
    """
    kind, _, index = device.partition(":")
    found = _installed() if kind == "cuda" else None
    has_driver = os.path.exists(_NVIDIA) or os.path.exists(_ROCM)  # noqa: PTH110
    if kind != "cuda" or (found is None and has_driver):
        return
    found = found or 0
    if int(index or 0) >= found:
        allowed = ", ".join(("cpu", *(f"cuda:{number}" for number in range(found))))
        raise UnsupportedValue("this machine has no such device", field="device", got=device, allowed=allowed)
