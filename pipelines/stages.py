"""What a stage of a generation leaves for a retry: tensors and numbers as bytes, and back bit for bit."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

from pipelines.placement import Placement
from studio.errors import DiskFull, StoreFault
from studio.generator import RunContext

_log = logging.getLogger(__name__)

_MADE_ON = "made_on"
_PARTS = "parts"
_LENGTH_BYTES = 8


class NotKeepable(Exception):
    """Something has no exact form as bytes."""


class StageShelf:
    """The stages of one run that a retry may start from.

    What was made on another kind of device, or in another number format, is not taken: the frames would be other ones.
    """

    def __init__(self, run: RunContext, placement: Placement) -> None:
        self._run = run
        self._device = placement.device
        self._made_on = f"{machine_of(placement.device)} {placement.dtype}"

    def keep(self, stage: str, parts: Mapping[str, Any]) -> None:
        """Keep the result of a stage. Where that cannot be done the work goes on; a retry will start further back.

        parts: tensors, numbers, text, None, and lists and mappings of them.
        """
        try:
            self._run.keep(stage, pack(parts, self._made_on))
        except (NotKeepable, DiskFull, StoreFault) as error:
            _log.warning("the stage %s is not kept: %s", stage, error)

    def kept(self, stage: str) -> dict[str, Any] | None:
        """Return what an earlier run kept of a stage, on this run's device; None if it has to be made."""
        content = self._run.kept(stage)
        if content is None:
            return None
        try:
            return unpack(content, self._made_on, self._device)
        except NotKeepable as error:
            _log.warning("the stage %s is made again: %s", stage, error)
            return None


def pack(parts: Mapping[str, Any], made_on: str) -> bytes:
    """Return the parts as one safetensors file, whose metadata says how they hang together.

    made_on: text that `unpack` must be given again. Raises `NotKeepable`.
    """
    from safetensors.torch import save

    tensors: dict[str, Any] = {}
    described = json.dumps(_describe(dict(parts), tensors))
    content: bytes = save(tensors, metadata={_MADE_ON: made_on, _PARTS: described})
    return content


def machine_of(device: Any) -> str:
    """Return what decides the bits of a sum besides the program: the card, or the number of threads."""
    import torch

    if device.type == "cuda":
        return f"cuda {torch.cuda.get_device_name(device)} {torch.version.cuda}"
    return f"{device.type} {torch.get_num_threads()}"


def unpack(content: bytes, made_on: str, device: Any) -> dict[str, Any]:
    """Return the parts given to `pack`. device: for the tensors that were not in main memory.

    Raises `NotKeepable` where `content` is something else, or was made on another kind of machine.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        end = _LENGTH_BYTES + int.from_bytes(content[:_LENGTH_BYTES], "little")
        metadata = json.loads(content[_LENGTH_BYTES:end])["__metadata__"]
        if metadata[_MADE_ON] != made_on:
            raise NotKeepable(f"it was made on {metadata[_MADE_ON]}, this is {made_on}")
        parts: dict[str, Any] = _revive(json.loads(metadata[_PARTS]), load(content), device)
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise NotKeepable(f"it cannot be read ({error})") from error
    return parts


def _describe(value: Any, tensors: dict[str, Any]) -> dict[str, Any]:
    """Return a description in JSON; tensors found on the way are added to `tensors`."""
    import torch

    if isinstance(value, torch.Tensor):
        name = f"{len(tensors):04}"
        # A copy of its own: safetensors refuses tensors that share memory.
        tensors[name] = value.detach().cpu().clone(memory_format=torch.contiguous_format)
        return {"tensor": name, "strides": list(value.stride()), "in_main_memory": value.device.type == "cpu"}
    if isinstance(value, dict):
        return {"mapping": {key: _describe(item, tensors) for key, item in value.items()}}
    if isinstance(value, list):
        return {"list": [_describe(item, tensors) for item in value]}
    # Exactly these: a number of numpy's would come back as Python's, which counts in another way.
    if value is None or type(value) in (bool, int, float, str):
        return {"value": value}
    raise NotKeepable(f"a {type(value).__name__} has no exact form as bytes")


def _revive(described: dict[str, Any], tensors: Mapping[str, Any], device: Any) -> Any:
    if "mapping" in described:
        return {key: _revive(item, tensors, device) for key, item in described["mapping"].items()}
    if "list" in described:
        return [_revive(item, tensors, device) for item in described["list"]]
    if "value" in described:
        return described["value"]
    return _laid_out(tensors[described["tensor"]], described, device)


def _laid_out(loaded: Any, described: dict[str, Any], device: Any) -> Any:
    """Return a tensor that lies in memory as it did: kernels round in another order for another layout."""
    import torch

    strides = described["strides"]
    overlaps = any(stride == 0 and size > 1 for stride, size in zip(strides, loaded.shape, strict=True))
    home = torch.device("cpu") if described["in_main_memory"] else device
    if overlaps:
        return loaded.clone().to(home)
    return torch.empty_strided(loaded.shape, strides, dtype=loaded.dtype, device=home).copy_(loaded)
