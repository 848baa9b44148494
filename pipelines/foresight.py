"""What a request will take on this machine, by each plan: rehearsed once, remembered on disk."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.kernels.target import rehearsed_for
from pipelines.memory import Budget, Forecast, Ladder, forecast_of
from pipelines.meta_pipeline import build_meta_pipeline
from pipelines.placement import Placement
from pipelines.plan import MemoryPlan, Residency
from pipelines.quiet import quiet_libraries
from pipelines.rehearsal import (
    Network,
    Rehearsed,
    Stage,
    networks_of,
    rehearse_decode,
    rehearse_encoding,
    rehearse_step,
)
from pipelines.residency import DENOISERS
from pipelines.stages import machine_of
from pipelines.throughput import Throughput, measure_throughput
from studio.catalog.schema import IntegerRange, Parameters
from studio.disk import write_durably
from studio.errors import StudioError
from studio.request import ResolvedRequest

if TYPE_CHECKING:
    from pipelines.local import LocalGenerator

FILE_NAME = "rehearsals.json"
MOST_REMEMBERED = 400


@dataclass(frozen=True, kw_only=True)
class Foresight:
    """One model on one device. folder: its configurations. memory: where rehearsals are remembered."""

    generator: LocalGenerator
    placement: Placement
    folder: Path
    memory: Path

    def ladder(self, resolved: ResolvedRequest, budget: Budget) -> Ladder:
        """Return the model's plans with what each takes for this request."""
        return Ladder(
            plans=self.generator._plans(self.placement, resolved),
            forecast=lambda plan: self.forecast(resolved, plan),
            budget=budget,
            cheaper=lambda: tuple(self._cheaper(resolved)),
        )

    def forecast(self, resolved: ResolvedRequest, plan: MemoryPlan) -> Forecast:
        """Return what the request takes by a plan."""
        return forecast_of(
            plan,
            self.rehearsed(resolved, plan),
            self.networks,
            is_cpu=self.placement.is_cpu,
            base_ram_bytes=self.base_ram_bytes,
            clip_bytes=resolved.num_frames * resolved.height * resolved.width * 3,
        )

    def seconds(self, resolved: ResolvedRequest, plan: MemoryPlan) -> float:
        """Return how long sampling and decoding take on this device, from what it computes and moves in a second."""
        rehearsed, rate = self.rehearsed(resolved, plan), self._throughput()
        streamed = plan.residency is Residency.STREAMED
        weights = sum(network.weight_bytes for name, network in self.networks.items() if name in DENOISERS)
        step = _seconds(rate, rehearsed.step, transfer_bytes=weights if streamed else 0)
        decode = _seconds(rate, rehearsed.decode, transfer_bytes=2 * rehearsed.decode.parked_bytes)
        return step * (resolved.num_inference_steps or 1) + decode

    def _throughput(self) -> Throughput:
        """Return what the device does in a second, measured once and remembered."""
        file = self.memory / f"throughput-{self.placement.device.type}-{_digest(self._device_name())[:12]}.json"
        with suppress(OSError, ValueError):
            return Throughput.from_json(json.loads(file.read_text(encoding="utf-8")))
        found = measure_throughput(self.placement.device, self.placement.dtype)
        self._write(file, found.as_json())
        return found

    def _device_name(self) -> str:
        return f"{machine_of(self.placement.device)} {self.placement.dtype} {version('torch')}"

    def rehearsed(self, resolved: ResolvedRequest, plan: MemoryPlan) -> Rehearsed:
        """Go through the stages of the run on the meta device, or remember them."""
        known = self._remembered()
        stages: dict[str, Stage] = {}
        fresh: dict[str, Any] = {}
        for name, key in self._keys(resolved, plan).items():
            try:
                stages[name] = Stage(**known[key])
            except (KeyError, TypeError):  # never made, or by another version
                stages[name] = self._rehearse(name, resolved, plan)
                fresh[key] = asdict(stages[name])
        if fresh:
            self._write(self.memory / FILE_NAME, dict(list((known | fresh).items())[-MOST_REMEMBERED:]))
        return Rehearsed(**stages)

    @cached_property
    def base_ram_bytes(self) -> int:
        """What the process takes without weights and clips, its libraries included."""
        return resident_ram()

    @cached_property
    def networks(self) -> Mapping[str, Network]:
        """Return the networks with the sizes of their weights as they are loaded."""
        return networks_of(self._pipeline, self.generator.adapted_networks)

    @cached_property
    def _pipeline(self) -> Any:
        quiet_libraries()
        return build_meta_pipeline(
            self.folder,
            self.placement.dtype,
            self.generator.own_dtypes(self.placement),
            self.generator.left_out,
        )

    def _rehearse(self, stage: str, resolved: ResolvedRequest, plan: MemoryPlan) -> Stage:
        generator, pipeline = self.generator, self._pipeline
        outline = generator._outline(pipeline, resolved, self.placement.dtype)
        if stage == "encoding":
            return rehearse_encoding(pipeline, outline)
        with rehearsed_for(self.placement.device.type), generator.by(plan, pipeline, resolved):
            if stage == "step":
                return rehearse_step(pipeline, outline)
            return rehearse_decode(outline, lambda: generator._decode(pipeline, outline.latents, resolved))

    def _cheaper(self, resolved: ResolvedRequest) -> Iterator[tuple[str, Callable[[], Forecast]]]:
        """Yield requests that take less, each with what it takes by the last plan: fewer frames, a smaller picture."""
        smallest = self.generator._plans(self.placement, resolved)[-1]
        for change in smaller_requests(self.generator.spec.parameters, resolved):
            flags = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in change.items())
            yield flags, partial(self.forecast, _changed(resolved, change), smallest)

    def _keys(self, resolved: ResolvedRequest, plan: MemoryPlan) -> dict[str, str]:
        """Return what decides the figures of each stage: the shapes, the networks, the plan, and the programs."""
        shape = {
            "task": resolved.task.value,
            "roles": [item.role.value for item in resolved.conditionings],
            "size": [resolved.width, resolved.height, resolved.num_frames],
            "guidance": (resolved.guidance_scale or 1) > 1,
            "options": dict(resolved.options),
            "audio": resolved.generate_audio,
            "dtype": str(self.placement.dtype),
            "device": self.placement.device.type,
            "configurations": _digest_of_configurations(self.folder),
            "versions": [version(name) for name in ("torch", "diffusers", "transformers", "local-video-studio")],
        }
        parts = {"encoding": None, "step": asdict(plan.tiling), "decode": plan.decode.value}
        return {
            name: _digest(json.dumps([name, part, shape], sort_keys=True, default=str)) for name, part in parts.items()
        }

    def _remembered(self) -> dict[str, Any]:
        try:
            data = json.loads((self.memory / FILE_NAME).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}  # a cache: another rehearsal costs seconds
        return data if isinstance(data, dict) else {}

    def _write(self, file: Path, data: Mapping[str, Any]) -> None:
        content = json.dumps(data).encode()
        with suppress(OSError, StudioError):  # a full or read-only disk costs time, not the run
            self.memory.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_durably(file, lambda opened: opened.write(content))


def _seconds(rate: Throughput, work: Stage, *, transfer_bytes: float) -> float:
    return rate.seconds(
        work.flops,
        work.traffic_bytes,
        convolution_flops=work.convolution_flops,
        transfer_bytes=transfer_bytes,
        operations=work.operations,
    )


def smaller_requests(rules: Parameters, resolved: ResolvedRequest) -> Iterator[dict[str, int]]:
    """Yield changes of a request that the model allows, from those that cost least: first fewer frames, then size."""
    for share in (0.75, 0.5, 0.25):
        num_frames = _at_most(rules.num_frames, int(resolved.num_frames * share))
        if num_frames < resolved.num_frames:
            yield {"num_frames": num_frames}
    for share in (0.75, 0.5):
        width = _at_most(rules.width, int(resolved.width * share))
        height = _at_most(rules.height, int(resolved.height * share))
        is_allowed = not rules.sizes or (width, height) in rules.sizes
        if is_allowed and (width, height) != (resolved.width, resolved.height):
            yield {"width": width, "height": height}
            yield {"width": width, "height": height, "num_frames": rules.num_frames.min}


def _changed(resolved: ResolvedRequest, change: Mapping[str, Any]) -> ResolvedRequest:
    return replace(resolved, **change)


def _at_most(rule: IntegerRange, value: int) -> int:
    return min(rule.nearest(max(value, rule.min)))


def resident_ram() -> int:
    """Return what this process takes of main memory now, in bytes."""
    import psutil

    return int(psutil.Process(os.getpid()).memory_info().rss)


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def _digest_of_configurations(folder: Path) -> str:
    digest = sha256()
    for file in sorted(folder.glob("*/config.json")):
        digest.update(file.relative_to(folder).as_posix().encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()
