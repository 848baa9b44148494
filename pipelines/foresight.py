"""What a request will take on this machine, by each plan: rehearsed once, remembered on disk."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.failures import loading_failures
from pipelines.kernels.target import rehearsed_for
from pipelines.manner import storage_of
from pipelines.memory import Budget, Forecast, Ladder, forecast_of, resident_ram
from pipelines.meta_pipeline import build_meta_pipeline
from pipelines.placement import Placement
from pipelines.plan import MemoryPlan, Residency
from pipelines.quantised import TEXT_ENCODERS, Storage, quantise_pipeline
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
from pipelines.sampling import DENOISERS
from pipelines.stages import machine_of
from pipelines.throughput import Throughput, measure_throughput
from studio.catalog.schema import IntegerRange, Parameters
from studio.disk import write_durably
from studio.errors import StudioError
from studio.request import ResolvedRequest

if TYPE_CHECKING:
    from pipelines.local import LocalGenerator

_log = logging.getLogger(__name__)

FILE_NAME = "rehearsals.json"
MOST_REMEMBERED = 400
# What a process takes with its libraries and without weights; what it takes more is weights of a session.
LIBRARIES_BYTES = 2**30
# As whole numbers linear layers take half, with scales for each channel; what is not linear stays.
WHOLE_NUMBERS_SHARE = 0.6
# Options that no shape depends on.
WITHOUT_PART = ("lora", "attention", "scheduler")


@dataclass(frozen=True, kw_only=True)
class Foresight:
    """One model on one device. folder: its configurations. memory: where rehearsals are remembered."""

    generator: LocalGenerator
    placement: Placement
    folder: Path
    memory: Path
    _pipelines: dict[Storage | None, Any] = field(default_factory=dict, repr=False)

    def ladder(self, resolved: ResolvedRequest, budget: Budget) -> Ladder:
        """Return the model's plans with what each takes for this request."""
        return Ladder(
            plans=self.generator._plans(self.placement, resolved),
            forecast=lambda plan: self.forecast(resolved, plan),
            budget=budget,
            cheaper=lambda: tuple(self._cheaper(resolved)),
        )

    def forecast(self, resolved: ResolvedRequest, plan: MemoryPlan) -> Forecast | None:
        """Return what the request takes by a plan; None where the model cannot be gone through without numbers."""
        try:
            rehearsed, networks = self.rehearsed(resolved, plan), self.networks_for(resolved)
        except StudioError:
            raise
        except Exception as error:  # a custom checkpoint may do what no shape can tell: the run itself will show
            _log.warning("what %s takes is not known: %s", self.generator.spec.id, error)
            return None
        return forecast_of(
            plan,
            rehearsed,
            networks,
            is_cpu=self.placement.is_cpu,
            base_ram_bytes=min(resident_ram(), LIBRARIES_BYTES),
            clip_bytes=resolved.num_frames * resolved.height * resolved.width * 3,
        )

    def seconds(self, resolved: ResolvedRequest, plan: MemoryPlan) -> float | None:
        """Return how long sampling and decoding take on this device, from what it computes and moves in a second.

        None where that cannot be measured now.
        """
        rehearsed, rate = self.rehearsed(resolved, plan), self._throughput()
        if rate is None:
            return None
        is_streamed = plan.residency is Residency.STREAMED
        networks = self.networks_for(resolved)
        weights = max((network.weight_bytes for name, network in networks.items() if name in DENOISERS), default=0)
        passes = 2 if (resolved.guidance_scale or 1) > 1 else 1
        step = _seconds(rate, rehearsed.step, transfer_bytes=weights * passes if is_streamed else 0)
        decode = _seconds(rate, rehearsed.decode, transfer_bytes=2 * rehearsed.decode.parked_bytes)
        return step * (resolved.num_inference_steps or 1) + decode

    def weight_bytes(self, resolved: ResolvedRequest) -> int:
        """Return what all weights take, kept as the request wants them."""
        return sum(network.weight_bytes for network in self.networks_for(resolved).values())

    def _throughput(self) -> Throughput | None:
        """Return what the device does in a second, measured once and remembered; None where it has no room for that."""
        import torch

        file = self.memory / f"throughput-{self.placement.device.type}-{_digest(self._device_name())[:12]}.json"
        with suppress(OSError, ValueError, RecursionError):
            return Throughput.from_json(json.loads(file.read_text(encoding="utf-8")))
        try:
            found = measure_throughput(self.placement.device, self.placement.dtype)
        except torch.OutOfMemoryError:
            return None
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
                stages[name] = Stage.from_json(known[key])
            except (KeyError, TypeError, ValueError):  # never made, or by another version
                stages[name] = self._rehearse(name, resolved, plan)
                fresh[key] = asdict(stages[name])
        if fresh:
            self._write(self.memory / FILE_NAME, dict(list((known | fresh).items())[-MOST_REMEMBERED:]))
        return Rehearsed(**stages)

    def networks_for(self, resolved: ResolvedRequest) -> Mapping[str, Network]:
        """Return the networks with the sizes of their weights as the request has them kept, LoRAs beside them."""
        storage = storage_of(resolved.options)
        networks = networks_of(self._pipeline(storage), self.generator.adapted_networks)
        if storage is Storage.INT8:
            networks = {name: _in_whole_numbers(name, network) for name, network in networks.items()}
        loras = sum(lora.path.stat().st_size for lora in self.generator._manner(resolved).loras)
        return {name: _with_loras(network, loras if name in DENOISERS else 0) for name, network in networks.items()}

    def _pipeline(self, storage: Storage | None) -> Any:
        if storage not in self._pipelines:
            quiet_libraries()
            generator, placement = self.generator, self.placement
            with loading_failures(generator.spec.id):
                dtypes = generator.own_dtypes(placement)
                pipeline = build_meta_pipeline(self.folder, placement.dtype, dtypes, generator.left_out)
            if storage is Storage.FP8:
                quantise_pipeline(pipeline, storage, compute_dtype=placement.dtype)
            self._pipelines[storage] = pipeline
        return self._pipelines[storage]

    def _rehearse(self, stage: str, resolved: ResolvedRequest, plan: MemoryPlan) -> Stage:
        # A twin: nothing of a rehearsal reaches a job that the generator runs, or another rehearsal.
        generator, pipeline = self.generator.without_weights(), self._pipeline(storage_of(resolved.options))
        outline = generator._outline(pipeline, resolved, self.placement.dtype)
        if stage == "encoding":
            return rehearse_encoding(pipeline, outline)
        with rehearsed_for(self.placement.device.type), generator.by(plan, pipeline, resolved):
            if stage == "step":
                return rehearse_step(pipeline, outline)
            return rehearse_decode(outline, lambda: generator._decode(pipeline, outline.latents, resolved))

    def _cheaper(self, resolved: ResolvedRequest) -> Iterator[tuple[str, Callable[[], Forecast | None]]]:
        """Yield requests that take less, each with what it takes by the last plan.

        Fewer frames, a smaller picture; in the end weights in eight bits, which change the clip.
        """
        smallest = self.generator._plans(self.placement, resolved)[-1]
        for change in smaller_requests(self.generator.spec.parameters, resolved):
            flags = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in change.items())
            yield flags, partial(self.forecast, _changed(resolved, change), smallest)
        if "weights_format" in resolved.options and storage_of(resolved.options) is None:
            options = {**resolved.options, "weights_format": Storage.FP8.value}
            eight_bits = replace(resolved, options=options)
            yield "--option weights_format=fp8 (approximate)", partial(self.forecast, eight_bits, smallest)

    def _keys(self, resolved: ResolvedRequest, plan: MemoryPlan) -> dict[str, str]:
        """Return what decides the figures of each stage: the shapes, the networks, the plan, and the programs."""
        shape = {
            "task": resolved.task.value,
            "roles": [item.role.value for item in resolved.conditionings],
            "size": [resolved.width, resolved.height, resolved.num_frames],
            "guidance": (resolved.guidance_scale or 1) > 1,
            "options": {name: value for name, value in resolved.options.items() if name not in WITHOUT_PART},
            "model": [self.generator.spec.id, type(self.generator).__name__, self.generator.spec.settings],
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
        except (OSError, ValueError, RecursionError):
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


def _in_whole_numbers(name: str, network: Network) -> Network:
    if name not in (*DENOISERS, *TEXT_ENCODERS):
        return network
    share = WHOLE_NUMBERS_SHARE
    return Network(
        weight_bytes=int(network.weight_bytes * share),
        largest_part_bytes=int(network.largest_part_bytes * share),
        loose_bytes=network.loose_bytes,
    )


def _with_loras(network: Network, size_bytes: int) -> Network:
    return replace(network, weight_bytes=network.weight_bytes + size_bytes)


def smaller_requests(rules: Parameters, resolved: ResolvedRequest) -> Iterator[dict[str, int]]:
    """Yield changes of a request that the model allows, from those that cost least: first fewer frames, then size."""
    for share in (0.75, 0.5, 0.25):
        num_frames = _at_most(rules.num_frames, int(resolved.num_frames * share))
        if num_frames < resolved.num_frames:
            yield {"num_frames": num_frames}
    for width, height in _smaller_sizes(rules, resolved):
        yield {"width": width, "height": height}
        yield {"width": width, "height": height, "num_frames": rules.num_frames.min}


def _smaller_sizes(rules: Parameters, resolved: ResolvedRequest) -> list[tuple[int, int]]:
    """Return the sizes below a request's, the largest first: those that are listed, lying as it lies, or shares."""
    wide, high = resolved.width, resolved.height
    if rules.sizes:
        alike = [size for size in rules.sizes if (size[0] >= size[1]) == (wide >= high)]
        return sorted((size for size in alike if math.prod(size) < wide * high), key=math.prod, reverse=True)
    shares = [
        (_at_most(rules.width, int(wide * share)), _at_most(rules.height, int(high * share))) for share in (0.75, 0.5)
    ]
    return [size for size in dict.fromkeys(shares) if size != (wide, high)]


def _changed(resolved: ResolvedRequest, change: Mapping[str, Any]) -> ResolvedRequest:
    return replace(resolved, **change)


def _at_most(rule: IntegerRange, value: int) -> int:
    return min(rule.nearest(max(value, rule.min)))


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def _digest_of_configurations(folder: Path) -> str:
    digest = sha256()
    for file in sorted((*folder.glob("model_index.json"), *folder.glob("*/*config.json"))):
        digest.update(file.relative_to(folder).as_posix().encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()
