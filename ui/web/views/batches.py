"""What is shown of a batch: what a file holds and what is wrong in it, and how far its jobs are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from studio.batch.entry import BatchEntry
from studio.batch.faults import Fault
from studio.jobs.batches import Batch, Glance
from studio.jobs.states import FINAL, JobState
from ui.api.problems import without_paths
from ui.web.batch.upload import Estimated, HandedIn, Looked
from ui.web.views.jobs import for_the_page

MAX_SHOWN = 500
"""So many entries and so many faults are told; totals are of all."""


def check_view(looked: Looked, home: Path, *, name: str, names: Mapping[str, str]) -> dict[str, Any]:
    """Return what a page shows of a batch file before it is handed in. names: of models, by id.

    home: its path is told to nobody.
    """
    faults = [fault_view(fault, home) for fault in looked.faults]
    ready = {item.entry.number: item for item in looked.ready}
    entries = _faulty_first(looked)[:MAX_SHOWN]
    return {
        "name": name,
        "is_sound": not faults,
        "entries": [_entry_view(entry, ready.get(entry.number), names) for entry in entries],
        "faults": faults[:MAX_SHOWN],
        "fault_count": len(faults),
        "missing": list(looked.missing),
        "unused": list(looked.unused),
        "warnings": _warnings(looked.ready),
        "totals": totals_view(looked.ready, clips=len(looked.entries)),
        "known": known_view(looked),
    }


def fault_view(fault: Fault, home: Path) -> dict[str, Any]:
    """Return one thing that is wrong in a batch file, without folders of this machine."""
    told = without_paths({"type": "RequestError", **fault.as_json()}, home)
    return for_the_page({name: told.get(name) for name in ("where", "field", "message", "got", "allowed", "fix")})


def totals_view(ready: Sequence[Estimated], *, clips: int) -> dict[str, Any]:
    """Return what all of it takes: seconds of work one after another, and money by currency."""
    seconds = [item.seconds for item in ready]
    costs: dict[str, float] = {}
    for item in ready:
        if item.cost is not None and item.cost.amount:
            costs[item.cost.currency] = costs.get(item.cost.currency, 0.0) + item.cost.amount
    return {
        "clips": clips,
        "seconds": None if None in seconds or not seconds else sum(item for item in seconds if item is not None),
        "costs": [{"amount": round(amount, 6), "currency": currency} for currency, amount in sorted(costs.items())],
        "unknown_costs": sum(item.is_remote and item.cost is None for item in ready),
    }


def known_view(looked: Looked) -> dict[str, Any] | None:
    """Return what came of the same file before; None where it is new. missing: entries whose jobs were removed."""
    batch = looked.known_batch
    if batch is None:
        return None
    missing = sum(entry.key not in looked.known for entry in looked.entries)
    done = sum(job.is_final for job in looked.known.values())
    told = {"id": batch.id, "created_at": batch.created_at.isoformat()}
    return {**told, "jobs": len(looked.known), "done": done, "missing": missing}


def handed_in_view(handed: HandedIn) -> dict[str, Any]:
    """Return what a page shows of a batch that was just handed in."""
    jobs = [{"id": job.id, "entry": job.entry} for job in handed.jobs]
    return {"id": handed.batch.id, "name": handed.batch.path.name, "fresh": handed.fresh, "jobs": jobs}


def jobs_view(jobs: Sequence[Glance]) -> list[dict[str, Any]]:
    """Return what is told of the jobs of a batch: their places in it, how they are, and the clips that they made."""
    return [
        {
            "id": job.id,
            "entry": job.entry,
            "status": job.status,
            "asset_id": job.id if job.state is JobState.SUCCEEDED else None,
        }
        for job in jobs
    ]


def batch_view(batch: Batch, counts: Mapping[str, int], *, owner: str | None, is_mine: bool) -> dict[str, Any]:
    """Return how far a batch is. counts: of its jobs, by state."""
    total = sum(counts.values())
    return {
        "id": batch.id,
        "name": batch.path.name,
        "created_at": batch.created_at.isoformat(),
        "counts": {state.value: counts.get(state.value, 0) for state in JobState},
        "total": total,
        "done": counts.get(JobState.SUCCEEDED, 0),
        "is_over": all(not number or state in FINAL for state, number in counts.items()),
        "owner": owner,
        "is_mine": is_mine,
    }


def _faulty_first(looked: Looked) -> list[BatchEntry]:
    ready = {item.entry.number for item in looked.ready}
    return sorted(looked.entries, key=lambda entry: entry.number in ready) if looked.faults else list(looked.entries)


def _entry_view(entry: BatchEntry, ready: Estimated | None, names: Mapping[str, str]) -> dict[str, Any]:
    request = entry.request
    told = {
        "number": entry.number,
        "where": entry.where,
        "name": entry.name,
        "model": request.model,
        "model_name": names.get(request.model, request.model),
        "prompt": request.prompt or "",
        "seed": None if request.seed is None else str(request.seed),
        "files": [Path(item.path).name for item in request.conditionings],
    }
    if ready is None:
        return {**told, "size": None, "num_frames": None, "seconds": None, "cost": None, "is_remote": False}
    resolved = ready.resolved
    cost = None if ready.cost is None else ready.cost.as_json()
    size = f"{resolved.width}x{resolved.height}"
    frames = resolved.num_frames
    return {**told, "size": size, "num_frames": frames, "seconds": ready.seconds, "cost": cost,
            "is_remote": ready.is_remote}  # fmt: skip


def _warnings(ready: Sequence[Estimated]) -> list[str]:
    """Return what models will do differently than is asked, each said once."""
    return list(dict.fromkeys(warning for item in ready for warning in item.resolved.warnings))[:20]
