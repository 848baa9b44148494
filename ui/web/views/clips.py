"""Everything that a page shows of one file of the library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from studio.library.asset import Asset
from studio.library.browsing import AssetItem
from studio.people.visitor import Action, Visitor
from studio.provenance.sidecar import SIDECAR_TYPES
from ui.api.jobs import request_json
from ui.web.views.reports import report_view
from ui.web.words import say, words

_TONES = {"passed": "good", "flagged": "warn", "released": "warn", "inconclusive": "quiet", "unchecked": "quiet"}
_PARENT_TYPES = ("video/mp4", "video/quicktime")


@dataclass(frozen=True, kw_only=True)
class ClipSurroundings:
    """What is known of an asset beside its own row.

    model_name: for people. item: its light row, with owner, rating and bin. children: what was derived from it.
    sources: what it was made from, as `sources_of` tells. terms: those of its job, None where that is gone.
    cost: amount and currency as billed, or as estimated; None for what cost nothing or nobody knows.
    """

    model_name: str
    item: AssetItem | None = None
    children: Sequence[AssetItem] = ()
    sources: Sequence[Mapping[str, Any]] = ()
    terms: Mapping[str, Any] | None = None
    cost: Mapping[str, Any] | None = None
    is_billed: bool = False


def clip_view(asset: Asset, around: ClipSurroundings, visitor: Visitor) -> dict[str, Any]:
    """Return what a page shows of an asset. The seed is text: it may have more digits than a browser counts."""
    owner = (around.item.owner if around.item else "") or None
    is_mine = visitor.owns(owner)
    in_bin = around.item is not None and around.item.binned_at is not None
    rate = asset.frame_rate
    seconds = float(asset.num_frames / rate) if asset.kind in ("video", "animation") else 0.0
    request = request_json(asset.request)
    return {
        "id": asset.id,
        "kind": asset.kind,
        "kind_text": say(f"clip.kind.{asset.kind}"),
        "mime_type": asset.mime_type,
        "file_name": asset.id + _suffix(asset),
        "width": asset.width,
        "height": asset.height,
        "num_frames": asset.num_frames,
        "frame_rate": float(rate),
        "frame_rate_exact": str(rate),
        "seconds": round(seconds, 3),
        "size_bytes": asset.size_bytes,
        "sha256": asset.sha256,
        "frames_sha256": asset.frames_sha256,
        "model": asset.model,
        "model_name": around.model_name,
        "task": asset.task,
        "task_text": words().get(f"clip.task.{asset.task}", asset.task),
        "prompt": asset.prompt,
        "negative_prompt": str(request.get("negative_prompt") or ""),
        "seed": str(asset.seed),
        "steps": request.get("num_inference_steps"),
        "guidance_scale": request.get("guidance_scale"),
        "options": [{"name": name, "value": str(value)} for name, value in (request.get("options") or {}).items()],
        "inputs": request.get("conditionings") or [],
        "created_at": asset.created_at.isoformat(),
        "generation_seconds": asset.generation_seconds if asset.derivation is None else None,
        "cost": None if around.cost is None else dict(around.cost) | {"is_billed": around.is_billed},
        "standing": asset.standing,
        "standing_text": say(f"clip.standing.{asset.standing}"),
        "tone": _TONES[asset.standing],
        "ruling": ruling_view(asset.ruling),
        "report": report_view(asset.report),
        "provenance": provenance_view(asset, around.terms),
        "derivation": _derivation(asset),
        "sources": [_source(source) for source in around.sources],
        "children": [_child(item) for item in around.children],
        "owner": owner,
        "is_mine": is_mine,
        "in_bin": in_bin,
        "rating": around.item.rating if around.item else None,
        "caption": around.item.caption if around.item else "",
        "can": actions(asset, visitor, is_mine=is_mine, in_bin=in_bin),
        "formats": list(formats(asset)),
    }


def actions(asset: Asset, visitor: Visitor, *, is_mine: bool, in_bin: bool = False) -> list[str]:
    """Return what this visitor may do with an asset, by name."""
    makes, is_clip = visitor.may(Action.MAKE), asset.mime_type in _PARENT_TYPES
    rules = {
        "last-frame": makes and is_clip,
        "first-frame": makes and asset.kind == "picture",
        "again": makes and asset.derivation is None,
        "extend": makes and is_clip,
        "compare": asset.kind == "video",
        "download": True,
        "export": makes and is_clip,
        "inspect": True,
        "library": True,
        "bin": is_mine and not in_bin,
        "unbin": is_mine and in_bin,
    }
    return [name for name, holds in rules.items() if holds]


def formats(asset: Asset) -> tuple[str, ...]:
    """Return the endings of what can be made of an asset; one that was itself derived elsewhere can only be copied."""
    if asset.mime_type not in _PARENT_TYPES:
        return ()
    return ("mov", "webm", "mkv", "gif", "webp", "png", "jpg")


def ruling_view(ruling: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return in plain words what was decided about an asset's checks; None for one about which nobody decided."""
    if ruling is None:
        return None
    attempts = [
        {
            "number": number,
            "seed": str(attempt["seed"]),
            "passed": attempt["passed"],
            "failed": list(attempt["failed"]),
            "is_this": number == ruling["chosen"],
        }
        for number, attempt in enumerate(ruling["attempts"], 1)
    ]
    action, _, retries = str(ruling["policy"]).partition(":")
    return {
        "policy": ruling["policy"],
        "policy_text": say(f"clip.policy.{action}", retries=retries),
        "standing": ruling["standing"],
        "sentence": say(f"clip.ruling.{ruling['standing']}", count=len(attempts)),
        "attempts": attempts if len(attempts) > 1 else [],
    }


def provenance_view(asset: Asset, terms: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what the library knows of an asset's credentials without opening the file.

    The gate verified the file when it let it in; whether it still holds is told by a verification.
    """
    training = (terms or {}).get("training_use")
    policy = (terms or {}).get("prompt_policy")
    return {
        "word": "sealed",
        "text": say("clip.seal.sealed"),
        "watermark_id": asset.watermark_id,
        "training_use": training,
        "training_text": words().get(f"clip.training.{training}"),
        "prompt_policy": policy,
        "prompt_text": words().get(f"clip.prompt_policy.{policy}"),
        "has_sidecar": asset.mime_type in SIDECAR_TYPES,
        "provider": (asset.master or {}).get("provider"),
        "attribution": (asset.master or {}).get("attribution"),
    }


def _derivation(asset: Asset) -> dict[str, Any] | None:
    if asset.derivation is None:
        return None
    origin = asset.derivation.get("origin")
    return {
        "text": words().get(f"clip.origin.{origin}", str(origin)),
        "parent": asset.parent_id,
        "frame": asset.derivation.get("frame"),
    }


def _source(source: Mapping[str, Any]) -> dict[str, Any]:
    return {**source, "text": words().get(f"clip.source.{source['how']}", str(source["how"]))}


def _child(item: AssetItem) -> dict[str, Any]:
    return {"id": item.id, "kind": item.kind, "kind_text": say(f"clip.kind.{item.kind}"),
            "width": item.width, "height": item.height, "created_at": item.created_at.isoformat()}  # fmt: skip


def _suffix(asset: Asset) -> str:
    return "." + asset.name.rpartition(".")[2]
