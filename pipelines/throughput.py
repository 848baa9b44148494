"""How fast this machine computes and moves bytes, measured in about a second, and what a counted run will take by that.

Roofline: an insightful visual performance model for multicore architectures, doi 10.1145/1498765.1498785.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

# Of the rates measured on large, plain operations, video models reach this share: theirs have awkward shapes. Measured:
# 0.7 for denoisers of 2 to 300 million weights on a CPU; 0.6 and less for decoders there.
EFFICIENCY = 0.7
_TINY_OPERATIONS = 200


@dataclass(frozen=True, kw_only=True)
class Throughput:
    """What one device does with one number format, in units a second.

    device: its name for people. dtype: by torch's name. matmul_flops, convolution_flops: two for a multiplication with
    its addition. copied_bytes: read and written, both counted. transferred_bytes: from main memory to the device, None
    where they are the same. operation_seconds: what an operation costs that computes next to nothing.
    """

    device: str
    dtype: str
    matmul_flops: float
    convolution_flops: float
    copied_bytes: float
    transferred_bytes: float | None
    operation_seconds: float

    def seconds(
        self,
        flops: float,
        traffic_bytes: float,
        *,
        convolution_flops: float | None = None,
        transfer_bytes: float = 0,
        operations: int = 0,
    ) -> float:
        """Return how long counted work takes: the longest of doing it, sending for its weights, and starting it.

        An operation either computes or moves, and one waits for another: what both take adds up, by `EFFICIENCY`.
        flops: all, of which `convolution_flops` in convolutions, half where None. traffic_bytes: read and written.
        transfer_bytes: brought from main memory meanwhile. operations: how many there are.
        """
        convolutions = flops / 2 if convolution_flops is None else convolution_flops
        computing = (flops - convolutions) / self.matmul_flops + convolutions / self.convolution_flops
        doing = (computing + traffic_bytes / self.copied_bytes) / EFFICIENCY
        sending = transfer_bytes / self.transferred_bytes if self.transferred_bytes else 0.0
        return max(doing, sending, operations * self.operation_seconds)

    def as_json(self) -> dict[str, Any]:
        """Return what `from_json` takes."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Throughput:
        """Read what `as_json` gave. Raises ValueError for anything else."""
        names = {field.name for field in fields(cls)}
        if not isinstance(data, Mapping) or set(data) != names:
            raise ValueError(f"not a measured throughput: expected {', '.join(sorted(names))}")
        numbers = {name: data[name] for name in names - {"device", "dtype"}}
        optional = "transferred_bytes"
        if not all(_is_rate(value) or (value is None and name == optional) for name, value in numbers.items()):
            raise ValueError("not a measured throughput: rates are numbers above zero")
        return cls(device=str(data["device"]), dtype=str(data["dtype"]), **numbers)


def measure_throughput(device: torch.device, dtype: torch.dtype, *, seconds: float | None = None) -> Throughput:
    """Measure a device with a number format. seconds: to spend, without warming up; 0.6 on a GPU and 1.5 on a CPU.

    Takes less than 800 MiB of the device's memory; raises torch.OutOfMemoryError where they are not there.
    """
    import torch

    is_cpu = device.type == "cpu"
    share = (seconds if seconds is not None else 1.5 if is_cpu else 0.6) / 5

    def rate(amount: float, work: Callable[[], object]) -> float:
        return amount / _median_seconds(work, device, share)

    with torch.inference_mode():
        return Throughput(
            device=_name(device),
            dtype=str(dtype).removeprefix("torch."),
            matmul_flops=rate(*_matmul(device, dtype)),
            convolution_flops=rate(*_convolution(device, dtype)),
            copied_bytes=rate(*_copy(device)),
            transferred_bytes=None if is_cpu else rate(*_transfer(device)),
            operation_seconds=1 / rate(*_tiny_operations(device, dtype)),
        )


def _matmul(device: torch.device, dtype: torch.dtype) -> tuple[float, Callable[[], object]]:
    import torch

    size = 768 if device.type == "cpu" else 8192
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    return 2 * size**3, lambda: a @ b


def _convolution(device: torch.device, dtype: torch.dtype) -> tuple[float, Callable[[], object]]:
    """3 x 3, the kernel that video models have most of, in a shape of theirs."""
    import torch
    from torch.nn.functional import conv2d

    frames, channels, height, width = (1, 128, 48, 48) if device.type == "cpu" else (25, 320, 72, 128)
    x = torch.randn(frames, channels, height, width, device=device, dtype=dtype)
    weight = torch.randn(channels, channels, 3, 3, device=device, dtype=dtype)
    return 2 * 9 * channels * x.numel(), lambda: conv2d(x, weight, padding=1)


def _copy(device: torch.device) -> tuple[float, Callable[[], object]]:
    import torch

    size = 2**26 if device.type == "cpu" else 2**28  # larger than any cache
    source = torch.zeros(size, dtype=torch.uint8, device=device)
    target = torch.zeros_like(source)
    return 2 * size, lambda: target.copy_(source)


def _transfer(device: torch.device) -> tuple[float, Callable[[], object]]:
    import torch

    size = 2**26
    source = torch.zeros(size, dtype=torch.uint8)
    if device.type == "cuda":
        source = source.pin_memory()
    target = torch.zeros(size, dtype=torch.uint8, device=device)
    return size, lambda: target.copy_(source, non_blocking=True)


def _tiny_operations(device: torch.device, dtype: torch.dtype) -> tuple[float, Callable[[], object]]:
    import torch

    x = torch.zeros(64, device=device, dtype=dtype)

    def work() -> None:
        for _ in range(_TINY_OPERATIONS):
            torch.add(x, x)

    return _TINY_OPERATIONS, work


def _median_seconds(work: Callable[[], object], device: torch.device, budget: float) -> float:
    """Run some work until `budget` seconds have gone by, three times at least, after two times to warm up."""
    for _ in range(2):
        work()
    _wait_for(device)
    found: list[float] = []
    end = time.perf_counter() + budget
    while len(found) < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        work()
        _wait_for(device)
        found.append(time.perf_counter() - start)
    return max(statistics.median(found), 1e-9)


def _wait_for(device: torch.device) -> None:
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _name(device: torch.device) -> str:
    import platform

    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads"


def _is_rate(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < float("inf")
