"""`studio generate` and `studio estimate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from studio.request import GenerationRequest
from ui.cli import arguments as argument
from ui.cli.console import print_json, print_line, print_note

if TYPE_CHECKING:
    from studio.app import Outcome
    from studio.generator import Estimate


@argument.takes_request
def generate(
    *,
    request: GenerationRequest,
    output: Annotated[
        Path | None, typer.Option("--output", help="Also copy the sealed clip here.", metavar="FILE")
    ] = None,
    force: argument.Force = False,
    label: argument.Label = None,
    on_fail: argument.OnFail = None,
    max_cost: argument.MaxCost = None,
    as_json: argument.Json = False,
) -> None:
    """Make one clip: checked, watermarked, signed, verified."""
    from studio.app import Studio
    from ui.cli.progress import generation_progress

    with generation_progress() as observe:
        outcome = Studio().generate(
            request,
            output=output,
            overwrite=force,
            label=argument.parse_label(label),
            on_fail=argument.parse_policy(on_fail),
            max_cost=argument.parse_money(max_cost, "max_cost"),
            observe=observe,
            warn=lambda text: print_note(f"note: {text}"),
        )
    if as_json:
        print_json(outcome_json(outcome))
    else:
        present_outcome(outcome)


@argument.takes_request
def estimate(
    *,
    request: GenerationRequest,
    as_json: argument.Json = False,
) -> None:
    """Say what a clip would take, before anything runs."""
    from studio.app import Studio

    resolved, figures = Studio().estimate(request)
    if as_json:
        print_json(estimate_json(figures) | {"request": resolved.as_json()})
        return
    print_line(f"time  {_seconds(figures.seconds)}")
    for name, size in (("VRAM", figures.vram_bytes), ("RAM", figures.ram_bytes), ("disk", figures.disk_bytes)):
        print_line(f"{name:<5} {_bytes(size)}")
    print_line(f"cost  {'unknown' if figures.cost is None else f'{figures.cost.amount:.2f} {figures.cost.currency}'}")
    if figures.plan:
        print_line(f"plan  {figures.plan}")
    print_line(f"basis {figures.basis}")
    if figures.shortage:
        print_line(f"does not fit: {figures.shortage}")
    for warning in resolved.warnings:
        print_note(f"note: {warning}")


def outcome_json(outcome: Outcome) -> dict[str, Any]:
    """Return the object of ``studio generate --json``."""
    asset = outcome.asset
    provenance = outcome.verification.as_json()
    return {
        "asset": asset.as_json(),
        "report": asset.report,
        "provenance": provenance["c2pa"] | {"watermark": provenance["watermark"]},
        "seconds": outcome.seconds,
        "warnings": [*outcome.warnings, *outcome.notices],
        "output": None if outcome.delivered is None else str(outcome.delivered),
    }


def estimate_json(figures: Estimate) -> dict[str, Any]:
    """Return the object of ``studio estimate --json``."""
    cost = figures.cost
    return {
        "seconds": figures.seconds,
        "vram_bytes": figures.vram_bytes,
        "ram_bytes": figures.ram_bytes,
        "disk_bytes": figures.disk_bytes,
        "cost": {"amount": cost.amount if cost else None, "currency": cost.currency if cost else None},
        "basis": figures.basis,
        "plan": figures.plan,
        "fits": figures.fits,
        "shortage": figures.shortage or None,
    }


def present_outcome(outcome: Outcome) -> None:
    """Print what was made, for people."""
    asset, provenance = outcome.asset, outcome.verification
    print_line(str(outcome.delivered or asset.path))
    shape = f"{asset.width}x{asset.height}, {asset.num_frames} frames at {float(asset.frame_rate):g}/s"
    seed = "" if (provenance.c2pa.generation or {}).get("seed") is None else f", seed {asset.seed}"
    print_note(f"  {shape}{seed}, {outcome.seconds:.1f} s")
    print_note(f"  checks: {asset.standing}")
    mark = f"watermark {asset.watermark_id}" if asset.watermark_id else "no watermark could be read back"
    print_note(f"  signed and verified ({provenance.c2pa.state}), {mark}")
    for notice in outcome.notices:
        print_note(f"  {notice}")
    if asset.master is not None and asset.master["attribution"]:
        print_note(f"  {asset.master['attribution']}")
    print_note(f"  asset {asset.id}")


def _seconds(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.0f} s"


def _bytes(value: int | None) -> str:
    if value is None:
        return "unknown"
    return f"{value / 2**30:.1f} GiB" if value >= 2**28 else f"{value / 2**20:.1f} MiB"
