"""What somebody asks for who wants a clip to be longer, and what came of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from studio.config import VisibleLabel
from studio.consistency.policy import Policy
from studio.consistency.seam_drift import WindowDrift
from studio.errors import UnsupportedValue
from studio.library.asset import Asset
from studio.request import OnUnsupported, OptionValue
from studio.spending.money import Money

MAX_WINDOWS = 32


@dataclass(frozen=True, kw_only=True)
class ExtendWish:
    """A longer clip, with anything left out that follows from the clip and the model's row.

    clip: id of an asset of the library, or its beginning, or the path of a video file.
    model: the clip's own unless given. prompt: the clip's own where the model reads one.
    windows: how often the model goes on, 1 to 32. duration_seconds: of the finished clip, instead of windows.
    overlap: frames of the end that each window starts from; None takes what the model does best.
    num_frames: of each window, those that overlap included. seed: of the first window; None draws one.
    keeps_windows: the windows stay in the library as clips of their own; those that a provider made always do.
    label, on_fail: as for any clip; None takes the setting. max_cost: of all windows together.
    owner: the account whose its jobs and the finished clip are; None for whoever sits at this machine.
    """

    clip: str
    model: str | None = None
    prompt: str | None = None
    negative_prompt: str = ""
    windows: int | None = None
    duration_seconds: Fraction | None = None
    overlap: int | None = None
    num_frames: int | None = None
    seed: int | None = None
    num_inference_steps: int | None = None
    guidance_scale: float | None = None
    generate_audio: bool | None = None
    options: Mapping[str, OptionValue] = field(default_factory=dict)
    on_unsupported: OnUnsupported = "reject"
    keeps_windows: bool = False
    label: VisibleLabel | None = None
    on_fail: Policy | None = None
    max_cost: Money | None = None
    owner: str | None = None

    def require_sense(self) -> None:
        """Raise `UnsupportedValue` for what no clip and no model could grant."""
        if self.windows is not None and self.duration_seconds is not None:
            raise UnsupportedValue("a number of windows is a length too", field="duration_seconds",
                                   got=f"{float(self.duration_seconds):g} s and {self.windows} windows",
                                   fix="leave one out")  # fmt: skip
        if self.windows is not None and not 1 <= self.windows <= MAX_WINDOWS:
            raise UnsupportedValue("out of range", field="windows", got=self.windows, allowed=f"1 to {MAX_WINDOWS}")
        if self.overlap is not None and self.overlap < 1:
            raise UnsupportedValue("a window goes on from at least one frame", field="overlap", got=self.overlap,
                                   allowed="1 or more")  # fmt: skip

    def digest(self, clip_sha256: str, model: str) -> str:
        """Return what tells this extension from others, 32 hex digits: the same wish again goes on with the same.

        Not what decides about the finished file alone: label, policy, costs, owner, and whether the windows are kept.
        """
        facts = {
            "clip": clip_sha256,
            "model": model,
            "length": [self.windows, str(self.duration_seconds)],
            "overlap": self.overlap,
            "texts": [self.prompt, self.negative_prompt],
            "figures": [self.num_frames, self.seed, self.num_inference_steps, self.guidance_scale],
            "audio": self.generate_audio,
            "options": {name: str(value) for name, value in sorted(self.options.items())},
            "on_unsupported": self.on_unsupported,
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]


@dataclass(frozen=True, kw_only=True)
class Window:
    """A piece of the finished clip. asset: as the model made it. first_frame: index of its first frame that is new.

    num_frames: that are new. is_kept: it is still in the library; else the finished file tells of it.
    """

    number: int
    asset: Asset
    first_frame: int
    num_frames: int
    is_kept: bool

    def as_json(self) -> dict[str, Any]:
        """Return what front ends show."""
        return {
            "window": self.number,
            "id": self.asset.id,
            "sha256": self.asset.sha256,
            "first_frame": self.first_frame,
            "num_frames": self.num_frames,
            "seed": self.asset.seed,
            "checks": self.asset.standing,
            "kept": self.is_kept,
        }


@dataclass(frozen=True, kw_only=True)
class Extension:
    """A clip that was made longer. asset: the sealed file. parent_id: None for a clip from elsewhere.

    drift: of each window against the clip. notes: what turned out on the way.
    """

    asset: Asset
    parent_id: str | None
    parent_sha256: str
    windows: tuple[Window, ...]
    drift: tuple[WindowDrift, ...]
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return what front ends show beside the asset."""
        return {
            "parent": {"id": self.parent_id, "sha256": self.parent_sha256},
            "windows": [window.as_json() for window in self.windows],
            "drift": [drift.as_json() for drift in self.drift],
        }
