"""Where and at which size is measured, and how a row is made of it. Imports torch."""

from __future__ import annotations

import gc
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from benchmarks.local_speed.pairing import Turn, in_turns, is_finite, ratio, relative_l2, summary
from benchmarks.local_speed.sizes import Size
from studio.errors import StudioError

# What a way to compute may fail with without ending the measurement.
FAILURES = (RuntimeError, StudioError)  # torch.OutOfMemoryError is one of the first
PEAK_FLOPS = 790e12  # dense bfloat16, measured on an H200


@dataclass(frozen=True, kw_only=True)
class Bench:
    """device, dtype: of the networks. size: what is measured."""

    device: torch.device
    dtype: torch.dtype
    size: Size

    @property
    def is_cuda(self) -> bool:
        return self.device.type == "cuda"

    def rng(self) -> torch.Generator:
        """Return a fresh generator with the one seed of all that is random here."""
        return torch.Generator(self.device).manual_seed(0)

    def random(self, *shape: int, dtype: torch.dtype | None = None) -> torch.Tensor:
        """Return normal numbers, the same every time."""
        return torch.randn(shape, generator=self.rng(), device=self.device, dtype=torch.float32).to(dtype or self.dtype)

    def compare(self, name: str, stock: Turn, ours: Turn) -> dict[str, Any]:
        """Time ours in turns with stock, and return a row: times, peak memory, and the distance of the results.

        The work of both returns a tensor. Where a side fails, for want of memory or support, the row says so.
        """
        row: dict[str, Any] = {"name": name}
        turns = {"ours": ours}
        expected: torch.Tensor | None = None
        try:
            with stock() as work:
                expected = work()
            turns = {"stock": stock} | turns
        except FAILURES as error:
            row["stock"] = {"failed": refusal(error)}
            self.free()
        try:
            with ours() as work, self.peaks() as peaks:
                made = work()
            row |= peaks | {"is_finite": is_finite(made)}
            row["relative_l2"] = None if expected is None else relative_l2(made, expected)
            del made, expected
            found = in_turns(turns, rounds=self.size.rounds, warm_ups=self.size.warm_ups, device=self.device)
        except FAILURES as error:
            return row | {"failed": refusal(error)}
        finally:
            self.free()
        if "stock" in found:
            row |= {"stock": summary(found["stock"]), "times_faster": ratio(found["stock"], found["ours"])}
        return row | summary(found["ours"])

    @contextmanager
    def peaks(self) -> Iterator[dict[str, int]]:
        """Yield what becomes the peaks of GPU memory in the context, allocated and reserved; empty elsewhere."""
        found: dict[str, int] = {}
        if self.is_cuda:
            torch.cuda.synchronize(self.device)
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)
        yield found
        if self.is_cuda:
            torch.cuda.synchronize(self.device)
            found["peak_bytes"] = torch.cuda.max_memory_allocated(self.device)
            found["reserved_bytes"] = torch.cuda.max_memory_reserved(self.device)

    def free(self) -> None:
        """Give memory that nothing holds back to the device."""
        gc.collect()
        if self.is_cuda:
            torch.cuda.empty_cache()


@dataclass
class MeasuredStages:
    """What each stage of a run took at most: peaks of GPU memory in bytes, nothing on other devices."""

    bench: Bench
    found: dict[str, dict[str, int]] = field(default_factory=dict)

    def end(self, name: str) -> None:
        """Keep the peak since the last end."""
        if not self.bench.is_cuda:
            return
        device = self.bench.device
        peaks = {
            "peak_bytes": torch.cuda.max_memory_allocated(device),
            "reserved_bytes": torch.cuda.max_memory_reserved(device),
        }
        before = self.found.get(name, {})
        self.found[name] = {kind: max(size, before.get(kind, 0)) for kind, size in peaks.items()}
        self.skip()

    def skip(self) -> None:
        """Begin a stage."""
        if self.bench.is_cuda:
            torch.cuda.reset_peak_memory_stats(self.bench.device)


def refusal(error: Exception) -> str:
    """Return why a row could not be measured, in one line."""
    lines = str(error).splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:200]}"


def device_description(device: torch.device) -> dict[str, Any]:
    """Return name, driver, clocks and libraries of a GPU; the number of threads of a CPU."""
    if device.type != "cuda":
        return {"device": "cpu", "threads": torch.get_num_threads()}
    asked = "driver_version,clocks.sm,clocks.max.sm,power.limit"
    command = ["nvidia-smi", f"--query-gpu={asked}", "--format=csv,noheader"]
    told = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip().splitlines()
    return {
        "device": torch.cuda.get_device_name(device),
        "device_bytes": torch.cuda.get_device_properties(device).total_memory,
        asked: told[device.index or 0] if told else None,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
    }


def with_throughput(row: Mapping[str, Any], flops: float) -> dict[str, Any]:
    """Return a row with the rate of stock's operations; a rewritten layer that needs fewer has a higher one."""
    if "median_ms" not in row:
        return dict(row)
    rate = flops / row["median_ms"] * 1e3
    return {**row, "stock_flops_per_second": rate, "share_of_790_tflops": rate / PEAK_FLOPS}
