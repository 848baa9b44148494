"""Whole clips, from picture to frames: stock and each of the studio's plans, without and with a cap. Imports torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from benchmarks.local_speed.bench import FAILURES, Bench, MeasuredStages, refusal
from benchmarks.local_speed.networks import svd_pipeline
from benchmarks.local_speed.pairing import is_finite, relative_l2, seconds_of, summary
from benchmarks.local_speed.sizes import ARCHITECTURE
from benchmarks.local_speed.step import chunked
from benchmarks.svd_memory.forecasts import forecast_bytes
from benchmarks.svd_memory.rows import Row, all_rows
from benchmarks.svd_memory.staged_svd import DECODING, StagedPipeline, run
from benchmarks.svd_memory.targets import CONTEXT_GB
from pipelines.exact.decode_svd import decode_frames
from pipelines.exact.unet import installed
from pipelines.kernels.dot_product_attention import only
from pipelines.kernels.programs import DotProduct, Program, Programs, running
from pipelines.placement import Placement
from pipelines.plan import MemoryPlan, Residency
from pipelines.residency import Residence

SECTION, CAPS = "clip", "caps"
CARDS_GB = (8, 6, 4)


@dataclass(frozen=True, kw_only=True)
class Made:
    """A clip on the CPU. latents: before the VAE. frames: (T, 3, H, W) in [0, 1]."""

    latents: torch.Tensor
    frames: torch.Tensor


class ClipMaker:
    """One pipeline with random weights, and the ways in which it makes the same clip."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.stages = MeasuredStages(bench)
        self.pipeline: StagedPipeline = svd_pipeline(bench, self.stages)
        self.residence = Residence(self.pipeline, Placement(device=bench.device, dtype=bench.dtype), ("unet",))

    def arrange(self, row: Row) -> None:
        """Have the weights where the row wants them."""
        # Offload moves weights between a device and main memory, which are one on a CPU.
        self.residence.arrange(row.residency if self.bench.is_cuda else Residency.RESIDENT)
        self.bench.free()

    def make(self, row: Row) -> Made:
        """Make the clip the row's way, after `arrange`."""
        self.stages.found = {}
        made = self._stock(row) if row.plan is None else self._ours(row.plan)
        self.stages.end(DECODING)
        return made

    def _stock(self, row: Row) -> Made:
        with chunked(self.pipeline.unet) if row.has_forward_chunking else nullcontext():
            frames = self._run(output_type="pt", decode_chunk_size=row.decode_chunk_size)
        return Made(latents=self.pipeline.latents.cpu(), frames=frames[0].cpu().float())

    def _ours(self, plan: MemoryPlan) -> Made:
        vae, stream = self.pipeline.vae, self.residence.stream_of("unet")
        with installed(self.pipeline.unet, plan.tiling, held=stream.held if stream else nullcontext):
            latents = self._run(output_type="latent")
        with self.residence.alone("vae"):
            scaled = latents[0] / vae.config.scaling_factor
            pieces = decode_frames(vae, scaled, form=plan.decode)
            frames = torch.cat([(piece * 0.5 + 0.5).clamp(0, 1).cpu().float() for piece in pieces])
        return Made(latents=latents.cpu(), frames=frames)

    def _run(self, **options: Any) -> Any:
        rng = torch.Generator("cpu").manual_seed(0)
        size = self.bench.size
        return run(self.pipeline, size.shape, num_steps=size.num_steps, generator=rng, **options)


def rows(bench: Bench) -> Iterator[dict[str, Any]]:
    """Make clips in all ways in turns, and give each row anew after every turn: a run that ends early loses little."""
    maker, ways = ClipMaker(bench), _ways(bench)
    seconds: dict[str, list[float]] = {row.name: [] for row in ways}
    known: dict[str, dict[str, Any]] = {}
    stock: Made | None = None
    for _ in range(bench.size.clip_rounds):
        for row, program in ways.items():
            if "failed" in known.get(row.name, {}):
                continue
            with running(Programs.all(program)):
                found = attempt(maker, row, stock, seconds[row.name])
            stock = stock or found.pop("made", None)
            found.pop("made", None)
            known[row.name] = {"section": SECTION, "name": row.name, "is_exact": row.is_exact, **found}
            yield known[row.name] | _beside(seconds["stock"], seconds[row.name])
    yield {"section": SECTION, "name": "noise floor: stock with another attention kernel", **_noise(maker, stock)}


def _ways(bench: Bench) -> dict[Row, Program]:
    """Return all rows, and on a GPU those of ours once more with the programs in Triton."""
    again = [row for row in all_rows() if row.plan is not None] if bench.is_cuda else []
    in_triton = {replace(row, name=f"{row.name}, programs in Triton"): Program.TRITON for row in again}
    return dict.fromkeys(all_rows(), Program.TORCH) | in_triton


def attempt(maker: ClipMaker, row: Row, stock: Made | None, seconds: list[float]) -> dict[str, Any]:
    """Make a clip, time it into `seconds` and compare it with stock's. Returns what is known, `made` included."""
    made: list[Made] = []
    try:
        maker.arrange(row)
        seconds.append(seconds_of(lambda: made.append(maker.make(row)), maker.bench.device))
    except FAILURES as error:
        maker.residence.dissolve()
        maker.bench.free()
        return {"failed": refusal(error)}
    stages = maker.stages.found
    return {
        "made": made[0],
        "stages": dict(stages),
        "peak_bytes": max((stage["peak_bytes"] for stage in stages.values()), default=None),
        **compared(made[0], stock or made[0]),
    }


def compared(made: Made, stock: Made) -> dict[str, Any]:
    """Return how far a clip is from stock's."""
    return {
        "latents_relative_l2": relative_l2(made.latents, stock.latents),
        "frames_relative_l2": relative_l2(made.frames, stock.frames),
        "is_finite": is_finite(made.latents) and is_finite(made.frames),
    }


def _beside(stock: list[float], own: list[float]) -> dict[str, Any]:
    if not own:
        return {}
    times = summary(own)
    return times | {"rounds": len(own), "times_faster": summary(stock)["median_ms"] / times["median_ms"]}


def _noise(maker: ClipMaker, stock: Made | None) -> dict[str, Any]:
    """Say how far stock is from itself where torch computes attention with another of its kernels."""
    if stock is None:
        return {"failed": "stock could not be run"}
    row = all_rows(())[0]
    with only(DotProduct.EFFICIENT if maker.bench.is_cuda else DotProduct.MATH):
        found = attempt(maker, row, stock, [])
    found.pop("made", None)
    return found


# -- small cards ----------------------------------------------------------------------------------------------------


def capped_rows(bench: Bench) -> Iterator[dict[str, Any]]:
    """Make the clip as on small cards: stock's low-memory recipe, and the plan that the planner chooses for each."""
    maker = ClipMaker(bench)
    stock, *others = all_rows()
    recipe = next(row for row in others if not row.is_exact)
    plans = [row for row in others if row.plan is not None]
    maker.arrange(stock)
    expected = maker.make(stock)
    with TemporaryDirectory(prefix="local-speed-") as home:
        for gigabytes in CARDS_GB:
            usable = (gigabytes - CONTEXT_GB) * 1e9
            yield _capped(maker, recipe, expected, gigabytes, usable)
            for row in _from_what_fits(plans, partial(_planned, bench, Path(home)), usable):
                found = _capped(maker, row, expected, gigabytes, usable)
                yield found
                if "failed" not in found:
                    break


def _from_what_fits(plans: list[Row], planned: Callable[[Row], float], usable: float) -> list[Row]:
    """Return the plan that the planner would begin with, and those it would go down to."""
    first = next((index for index, row in enumerate(plans) if planned(row) <= usable), len(plans) - 1)
    return plans[first:]


def _planned(bench: Bench, home: Path, row: Row) -> float:
    assert row.plan is not None
    return forecast_bytes(row.plan, ARCHITECTURE, bench.size.shape, home)


def _capped(maker: ClipMaker, row: Row, expected: Made, gigabytes: int, usable: float) -> dict[str, Any]:
    seconds: list[float] = []
    with _cap(maker.bench, usable):
        found = attempt(maker, row, expected, seconds)
    found.pop("made", None)
    about = {"section": CAPS, "name": f"{gigabytes} GB, {row.name}", "is_exact": row.is_exact}
    return about | found | {"seconds": seconds[0] if seconds else None, "is_capped": maker.bench.is_cuda}


@contextmanager
def _cap(bench: Bench, usable: float) -> Iterator[None]:
    """Let more memory than this be refused. On a CPU nothing is."""
    if not bench.is_cuda:
        yield
        return
    total = torch.cuda.get_device_properties(bench.device).total_memory
    bench.free()
    torch.cuda.set_per_process_memory_fraction(usable / total, bench.device)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, bench.device)
