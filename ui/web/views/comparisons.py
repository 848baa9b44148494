"""What is shown of comparisons: what would be made, what has become of it, what is shown blind, and who is better."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from studio.app import ModelEntry
from studio.comparing.comparison import Comparison, Entry
from studio.comparing.differences import Difference
from studio.comparing.planning import PlannedEntry
from studio.comparing.ranking import Ranking
from studio.comparing.voting import REASONS, Vote
from studio.comparing.wish import Variant
from studio.library.asset import Asset
from studio.people.visitor import Action, Visitor
from studio.request import Role
from studio.spending.ledger import REMOTE
from ui.api.jobs import request_json
from ui.api.problems import without_home
from ui.web.views.errors import error_view
from ui.web.views.jobs import percent, stage_text
from ui.web.words import say

_TONES = {"passed": "good", "flagged": "warn", "released": "warn"}
_STATE_TONES = {"succeeded": "good", "failed": "bad", "refused": "bad", "held": "warn", "removed": "warn"}
_PICTURES = (Role.FIRST_FRAME.value, Role.LAST_FRAME.value)


def model_view(entry: ModelEntry) -> dict[str, Any]:
    """Return what a form needs of a model: whether it would run, and the rules of its parameters."""
    spec, rules = entry.spec, entry.spec.parameters
    return {
        "id": spec.id,
        "name": spec.name,
        "summary": spec.summary,
        "where": spec.where,
        "provider": None if spec.remote is None else spec.remote.provider_name,
        "is_priced": spec.remote is not None and spec.remote.prices is not None,
        "ready": entry.readiness.ready,
        "reason": entry.readiness.reason,
        "tasks": [task.value for task in spec.tasks],
        "status": spec.status.value,
        "prompt": rules.prompt,
        "negative_prompt": rules.negative_prompt,
        "seed": rules.seed,
        "audio": rules.audio,
        "size": f"{rules.width.default}x{rules.height.default}",
        "steps": None if rules.num_inference_steps is None else rules.num_inference_steps.model_dump(),
        "guidance": None if rules.guidance_scale is None else rules.guidance_scale.model_dump(),
        "options": {name: option.model_dump(mode="json") for name, option in rules.options.items()},
    }


def plan_view(planned: Sequence[PlannedEntry], names: Mapping[str, str], home: Path) -> dict[str, Any]:
    """Return what a comparison would make. cost: of all remote clips by currency; unknown: how many have no price.

    seed: that was drawn or asked for, as text; sent back, the same is made.
    """
    made = [item for item in planned if item.resolved is not None]
    costs: dict[str, float] = {}
    remote = [item for item in made if item.where == REMOTE]
    for item in remote:
        if item.cost is not None:
            costs[item.cost.currency] = costs.get(item.cost.currency, 0.0) + item.cost.amount
    seed = next((item.request.seed for item in planned if "seed" not in item.changes), None)
    return {
        "entries": [_planned_view(item, names, home) for item in planned],
        "can_start": len(made) >= 2,
        "cost": [{"amount": round(amount, 6), "currency": currency} for currency, amount in sorted(costs.items())],
        "unknown": sum(item.cost is None for item in remote),
        "remote": len(remote),
        "seed": None if seed is None else str(seed),
    }


def _planned_view(item: PlannedEntry, names: Mapping[str, str], home: Path) -> dict[str, Any]:
    resolved = item.resolved
    clip = None
    if resolved is not None:
        rate = float(resolved.frame_rate)
        clip = {
            "width": resolved.width,
            "height": resolved.height,
            "num_frames": resolved.num_frames,
            "frame_rate": rate,
            "seconds": round(resolved.num_frames / rate, 3),
            "steps": resolved.num_inference_steps,
            "guidance_scale": resolved.guidance_scale,
            "seed": str(resolved.seed),
            "audio": resolved.generate_audio,
        }
    return {
        "number": item.number,
        "label": item.label,
        "model": item.model,
        "model_name": names.get(item.model, item.model),
        "where": item.where,
        "clip": clip,
        "differences": [difference_view(found, home) for found in item.differences],
        "error": None if item.error is None else error_view(item.error, home),
        "cost": None if item.cost is None else item.cost.as_json(),
        "is_free": item.where != REMOTE,
        "seconds": item.seconds,
    }


def difference_view(found: Difference, home: Path) -> dict[str, Any]:
    """Return one difference: the field and a sentence for people."""
    told: dict[str, Any] = without_home({"field": found.field, "sentence": found.sentence}, home)
    return told


def card_view(found: Comparison, names: Mapping[str, str], owner: str | None) -> dict[str, Any]:
    """Return what a list shows of a comparison. asset_id: of its first clip."""
    finished = found.finished
    return {
        "id": found.id,
        "title": found.title,
        "prompt": found.prompt,
        "tags": list(found.tags),
        "entries": [{"label": entry_label(entry, names), "state": entry.state} for entry in found.entries],
        "finished": len(finished),
        "votes": found.num_votes,
        "is_over": found.is_over,
        "owner": owner,
        "asset_id": finished[0].asset.id if finished and finished[0].asset else None,
        "created_at": found.created_at.isoformat(),
    }


def comparison_view(
    found: Comparison, visitor: Visitor, home: Path, names: Mapping[str, str], *, owner: str | None, my_votes: int
) -> dict[str, Any]:
    """Return what a page shows of a comparison. names: of models. owner: account whose it is."""
    request = request_json(dict(found.request))
    request["seed"] = None if request.get("seed") is None else str(request["seed"])
    return card_view(found, names, owner) | {
        "request": request,
        "entries": [entry_view(entry, home, names) for entry in found.entries],
        "my_votes": my_votes,
        "reasons": list(REASONS),
        "can_vote": visitor.may(Action.VOTE) and len(found.finished) >= 2,
        "is_mine": visitor.owns(owner),
        "can_make": visitor.may(Action.MAKE),
    }


def entry_view(entry: Entry, home: Path, names: Mapping[str, str]) -> dict[str, Any]:
    """Return one contestant: what it is, what became of it, and its clip."""
    job, progress = entry.job, entry.progress
    checks = entry.checks
    return {
        "number": entry.number,
        "label": entry_label(entry, names),
        "model": entry.model,
        "model_name": names.get(entry.model, entry.model),
        "job_id": entry.job_id,
        "state": entry.state,
        "state_text": say(f"compare.state.{entry.state}"),
        "tone": _STATE_TONES.get(entry.state, "quiet"),
        "is_over": entry.is_over,
        "stage": None if progress is None else stage_text(progress.stage, progress.detail),
        "percent": 100 if entry.is_finished else 0 if job is None else percent(job),
        "eta_seconds": None if progress is None else progress.eta_seconds,
        "error": None if entry.error is None else error_view(entry.error, home),
        "differences": [difference_view(item, home) for item in entry.differences],
        "changes": _changes(entry),
        "own_label": "" if _is_named_by_itself(entry) else entry.label,
        "seconds": entry.seconds,
        "cost": entry.cost,
        "is_billed": entry.is_billed,
        "checks": checks,
        "checks_text": None if checks is None else say(f"clip.standing.{checks}"),
        "checks_tone": _TONES.get(checks or "", "quiet"),
        "clip": None if entry.asset is None else clip_facts(entry.asset),
    }


def clip_facts(asset: Asset) -> dict[str, Any]:
    """Return what a player needs to know of a clip, and how it was made."""
    request = request_json(asset.request)
    return {
        "id": asset.id,
        **_frames(asset),
        "size_bytes": asset.size_bytes,
        "seed": str(asset.seed),
        "steps": request.get("num_inference_steps"),
        "guidance_scale": request.get("guidance_scale"),
    }


def deal_view(
    left: tuple[Asset, str], right: tuple[Asset, str], *, token: str, prompt: str, seen: int, votes: int
) -> dict[str, Any]:
    """Return a pair to be judged blind: addresses that tell nothing, and what a player has to know of the clips.

    left, right: each clip with its address. seen: how often this voter judged the two.
    """
    sides = {"left": left, "right": right}
    shown = {side: {"url": address, **_frames(asset)} for side, (asset, address) in sides.items()}
    told = {"token": token, "prompt": prompt, "seen": seen, "votes": votes, "reasons": list(REASONS)}
    return told | shown


def revealed_view(entry: Entry, names: Mapping[str, str]) -> dict[str, Any]:
    """Return who was behind one side, told after the vote."""
    return {
        "number": entry.number,
        "label": entry_label(entry, names),
        "model": entry.model,
        "model_name": names.get(entry.model, entry.model),
    }


def vote_view(vote: Vote, labels: Mapping[int, str]) -> dict[str, Any]:
    """Return a vote in words. labels: of entries by number."""
    sides = {"left": labels.get(vote.left, str(vote.left)), "right": labels.get(vote.right, str(vote.right))}
    return {
        "id": vote.id,
        "verdict": vote.verdict.value,
        "sentence": say(f"compare.vote.told.{vote.verdict.value}", **sides),
        "reasons": list(vote.reasons),
        "was_blind": vote.was_blind,
        "voter": vote.voter,
        "created_at": vote.created_at.isoformat(),
    }


def ranking_view(found: Ranking, names: Mapping[str, str]) -> dict[str, Any]:
    """Return a ranking with names for people. claims: in sentences, which differences are certain."""
    told = found.as_json()
    labels = {rank.key: names.get(rank.key, rank.label) for rank in found.ranks}
    for rank in told["ranks"]:
        rank["label"] = labels[rank["key"]]
    for pair in told["pairs"]:
        pair["left_label"], pair["right_label"] = labels[pair["left"]], labels[pair["right"]]
    missing = max(0, found.votes_needed - found.votes)
    return told | {"missing": missing, "claims": len(found.claims)}


def base_view(asset: Asset, pictures: int) -> dict[str, Any]:
    """Return a clip's own request as a form holds it. pictures: how many of those it was made from can be found."""
    request = request_json(asset.request)
    wanted = [item for item in request["conditionings"] if item["role"] in _PICTURES]
    rate = Fraction(str(request["frame_rate"]))
    return {
        "asset": asset.id,
        "model": asset.model,
        "prompt": request.get("prompt") or "",
        "negative_prompt": request.get("negative_prompt") or "",
        "seed": str(request["seed"]),
        "width": request["width"],
        "height": request["height"],
        "seconds": round(float(request["num_frames"] / rate), 3),
        "num_frames": request["num_frames"],
        "frame_rate": str(request["frame_rate"]),
        "steps": request.get("num_inference_steps"),
        "guidance_scale": request.get("guidance_scale"),
        "options": request.get("options") or {},
        "pictures_wanted": len(wanted),
        "pictures_found": pictures,
    }


def _frames(asset: Asset) -> dict[str, Any]:
    rate = float(asset.frame_rate)
    return {
        "width": asset.width,
        "height": asset.height,
        "num_frames": asset.num_frames,
        "frame_rate": rate,
        "seconds": round(asset.num_frames / rate, 3),
    }


def entry_label(entry: Entry, names: Mapping[str, str]) -> str:
    """Return how an entry is called: the model's name for people in the place of its id."""
    name = names.get(entry.model)
    is_made = name is not None and (entry.label == entry.model or entry.label.startswith(f"{entry.model} "))
    return f"{name}{entry.label[len(entry.model) :]}" if is_made else entry.label


def _changes(entry: Entry) -> dict[str, Any]:
    """Return what was set otherwise for an entry as a form holds it, without files."""
    found = request_json(dict(entry.changes))
    found.pop("conditionings", None)
    return found | ({"seed": str(found["seed"])} if found.get("seed") is not None else {})


def _is_named_by_itself(entry: Entry) -> bool:
    changes = {name: value for name, value in entry.changes.items() if name != "conditionings"}
    return Variant(model=entry.model, changes=changes).shown_as() == entry.label
