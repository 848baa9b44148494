"""The rows of the table: ways to make one clip, each counted from picture to frames. Imports torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.svd_memory import meta_svd
from benchmarks.svd_memory.forecasts import forecast_bytes
from benchmarks.svd_memory.meta_svd import MetaPipeline
from benchmarks.svd_memory.staged_svd import DECODING, Shape, run
from benchmarks.svd_memory.stages import Stages
from benchmarks.svd_memory.visiting import VisitingWeights, visit_leaf_by_leaf
from pipelines.counting import Counting, weight_bytes
from pipelines.exact.decode_svd import decode_frames
from pipelines.exact.unet import installed
from pipelines.placement import Placement
from pipelines.plan import MemoryPlan, Residency
from pipelines.residency import Residence
from pipelines.svd import ON_DEVICE


@dataclass(frozen=True, kw_only=True)
class Row:
    """A way to make a clip. is_exact: its picture is that of stock, within rounding.

    plan: of the studio; stock where None. The rest is of stock: where its weights are, how many frames it decodes at a
    time (all where None), and whether feed-forwards go row by row (`enable_forward_chunking`).
    """

    name: str
    is_exact: bool = True
    plan: MemoryPlan | None = None
    residency: Residency = Residency.RESIDENT
    decode_chunk_size: int | None = None
    has_forward_chunking: bool = False
    num_steps: int = 1


STOCK = Row(name="stock", num_steps=2)
OTHERS = (
    Row(
        name="stock, its low-memory recipe",
        is_exact=False,
        residency=Residency.STAGED,
        decode_chunk_size=2,
        has_forward_chunking=True,
    ),
    Row(name="stock, model offload, whole decode", residency=Residency.STAGED, num_steps=2),
)


def all_rows(plans: Sequence[MemoryPlan] = ON_DEVICE) -> tuple[Row, ...]:
    """Return stock's rows and one for each of the studio's plans, the fastest first."""
    return (STOCK, *OTHERS, *(Row(name=f"ours: {plan.name}", plan=plan, residency=plan.residency) for plan in plans))


def described(row: Row, folder: Path, shape: Shape, home: Path) -> dict[str, Any]:
    """Count a row and return it as data. See `count`. home: where the planner may keep what it found out."""
    stages, waiting_bytes = count(row, folder, shape)
    return {
        "name": row.name,
        "is_ours": row.plan is not None,
        "is_exact": row.is_exact,
        "peak_bytes": stages.found[stages.hungriest].peak_bytes,
        "peak_in": stages.hungriest,
        "ram_bytes": waiting_bytes + max(stage.host_bytes for stage in stages.found.values()),
        "plan": None if row.plan is None else asdict(row.plan),
        "forecast_bytes": None if row.plan is None else forecast_bytes(row.plan, folder, shape, home),
        "stages": {name: asdict(stage) for name, stage in stages.found.items()},
    }


def count(row: Row, folder: Path, shape: Shape) -> tuple[Stages, int]:
    """Make one clip the row's way without computing a number.

    folder: configurations of an SVD-class model in the hub's layout. Returns the stages, and the bytes of weights that
    wait in main memory all the time and are not in their figures.
    """
    with torch.inference_mode(), meta_svd.offload_to_nowhere(), ExitStack() as stack:
        counting = Counting()
        stages = Stages(counting)
        is_streamed = row.residency is Residency.STREAMED
        waiting = meta_svd.build(folder, stages) if is_streamed else None  # built before it counts: they only visit
        stack.enter_context(counting)
        pipeline = waiting or meta_svd.build(folder, stages)
        if is_streamed:
            _bring_vae(pipeline)
        if row.plan is None:
            _run_stock(row, pipeline, shape)
        else:
            _run_plan(row, row.plan, pipeline, shape)
    return stages, weight_bytes(pipeline.unet, pipeline.image_encoder) if is_streamed else 0


def _run_stock(row: Row, pipeline: MetaPipeline, shape: Shape) -> None:
    _residence(pipeline).arrange(row.residency)
    if row.has_forward_chunking:
        pipeline.unet.enable_forward_chunking()
    options = {"output_type": "np", "decode_chunk_size": row.decode_chunk_size}
    run(pipeline, shape, num_steps=row.num_steps, **options)
    pipeline.stages.end(DECODING)


def _run_plan(row: Row, plan: MemoryPlan, pipeline: MetaPipeline, shape: Shape) -> None:
    """Do what the studio's generator does: sample with the adapter, decode apart, hand frames over as they come."""
    with ExitStack() as stack:
        alone = stack.enter_context(_arranged(pipeline, plan))
        latents = run(pipeline, shape, num_steps=row.num_steps, output_type="latent")
        with alone:
            latents = latents[0] / pipeline.vae.config.scaling_factor
            for frames in decode_frames(pipeline.vae, latents, form=plan.decode):
                (frames * 0.5 + 0.5).clamp(0, 1).cpu()
    pipeline.stages.end(DECODING)


@contextmanager
def _arranged(pipeline: MetaPipeline, plan: MemoryPlan) -> Iterator[Any]:
    """Have the weights where the plan wants them. Yields a context in which the VAE is alone on the device."""
    with ExitStack() as stack:
        if plan.residency is Residency.STREAMED:
            visitors = VisitingWeights()
            visitors.open(pipeline.unet)
            stack.enter_context(visit_leaf_by_leaf(pipeline.image_encoder))
            stack.enter_context(installed(pipeline.unet, plan.tiling, held=visitors.held))
            yield ExitStack()
        else:
            residence = _residence(pipeline)
            residence.arrange(plan.residency)
            stack.enter_context(installed(pipeline.unet, plan.tiling))
            yield residence.alone("vae")


def _residence(pipeline: MetaPipeline) -> Residence:
    return Residence(pipeline, Placement(device=torch.device("meta"), dtype=torch.float16))


def _bring_vae(pipeline: MetaPipeline) -> None:
    """Have the VAE's weights counted: a streamed run keeps them on the device."""
    pipeline.vae.to("cpu").to("meta")
    pipeline.stages.skip()
