"""What somebody asks for (`GenerationRequest`) and what will be run (`ResolvedRequest`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

OptionValue = str | int | float | bool
OnUnsupported = Literal["reject", "drop"]
ON_UNSUPPORTED: tuple[OnUnsupported, ...] = ("reject", "drop")


class Task(StrEnum):
    """What goes in and what comes out, in the model hub's task ids."""

    TEXT_TO_VIDEO = "text-to-video"
    IMAGE_TO_VIDEO = "image-to-video"
    VIDEO_TO_VIDEO = "video-to-video"
    FIRST_LAST_FRAME_TO_VIDEO = "first-last-frame-to-video"
    REFERENCE_TO_VIDEO = "reference-to-video"


class Role(StrEnum):
    """What a conditioning medium is to the clip."""

    FIRST_FRAME = "first-frame"
    LAST_FRAME = "last-frame"
    REFERENCE = "reference"
    SOURCE_VIDEO = "source-video"


@dataclass(frozen=True, kw_only=True)
class Conditioning:
    """An image or video that steers the clip.

    path: the file as the user gave it; it is read when the job runs.
    sha256: hex digest of its bytes, filled by `resolve`; a file that changed since is refused.
    """

    role: Role
    path: Path
    sha256: str | None = None


@dataclass(frozen=True, kw_only=True)
class GenerationRequest:
    """A wish, with anything left out that the model's row can fill in.

    width, height: pixels. num_frames: frames. frame_rate: frames per second.
    resolution, aspect_ratio: such as ``720p`` and ``16:9``, instead of width and height.
    duration_seconds: instead of num_frames.
    seed: 0 .. 2**63 - 1; None draws one. guidance_scale: 1.0 means no guidance.
    generate_audio: with sound or without; None leaves it to the model, which stays silent if it can.
    options: the model's own parameters by name; unknown names are refused.
    on_unsupported: whether what the model does not have is refused, or left out with a recorded warning: negative
    prompt, seed, sound, steps, guidance, frame rate, options. All else is refused always.
    """

    model: str
    task: Task | None = None
    prompt: str = ""
    negative_prompt: str = ""
    seed: int | None = None
    width: int | None = None
    height: int | None = None
    resolution: str | None = None
    aspect_ratio: str | None = None
    num_frames: int | None = None
    duration_seconds: Fraction | float | None = None
    frame_rate: Fraction | None = None
    num_inference_steps: int | None = None
    guidance_scale: float | None = None
    conditionings: tuple[Conditioning, ...] = ()
    generate_audio: bool | None = None
    options: Mapping[str, OptionValue] = field(default_factory=dict)
    on_unsupported: OnUnsupported = "reject"


@dataclass(frozen=True, kw_only=True)
class ResolvedRequest:
    """A request with nothing left open: run twice on the same device it gives the same frames.

    Fields are those of `GenerationRequest`; a parameter the model does not have is None.
    warnings: what the user should know although nothing was changed silently.
    extension: of a clip that was made longer, what it was made of and how far it drifts (`studio.extending`); None of
    all others.
    """

    model: str
    task: Task
    prompt: str
    negative_prompt: str
    seed: int
    width: int
    height: int
    num_frames: int
    frame_rate: Fraction
    num_inference_steps: int | None
    guidance_scale: float | None
    conditionings: tuple[Conditioning, ...]
    generate_audio: bool
    options: Mapping[str, OptionValue]
    warnings: tuple[str, ...] = ()
    extension: Mapping[str, Any] | None = None

    def conditioning(self, role: Role) -> Conditioning | None:
        """Return the conditioning with this role, or None."""
        return next((item for item in self.conditionings if item.role is role), None)

    def all_of(self, role: Role) -> tuple[Conditioning, ...]:
        """Return the conditionings with this role, in the order in which they were given."""
        return tuple(item for item in self.conditionings if item.role is role)

    def as_json(self) -> dict[str, Any]:
        """Return a JSON object that `from_json` turns back into an equal request."""
        told = {
            "model": self.model,
            "task": self.task.value,
            "prompt": self.prompt,
            "negative_prompt": self.negative_prompt,
            "seed": self.seed,
            "width": self.width,
            "height": self.height,
            "num_frames": self.num_frames,
            "frame_rate": str(self.frame_rate),
            "num_inference_steps": self.num_inference_steps,
            "guidance_scale": self.guidance_scale,
            "conditionings": [
                {"role": item.role.value, "path": str(item.path), "sha256": item.sha256} for item in self.conditionings
            ],
            "generate_audio": self.generate_audio,
            "options": dict(self.options),
            "warnings": list(self.warnings),
        }
        # Left out where there is none: what was kept before there were any must not look like another request.
        return told if self.extension is None else told | {"extension": dict(self.extension)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ResolvedRequest:
        """Rebuild a request stored by `as_json`."""
        conditionings = tuple(
            Conditioning(role=Role(item["role"]), path=Path(item["path"]), sha256=item["sha256"])
            for item in data["conditionings"]
        )
        return cls(
            **{
                **data,
                "task": Task(data["task"]),
                "frame_rate": Fraction(data["frame_rate"]),
                "conditionings": conditionings,
                "warnings": tuple(data["warnings"]),
            }
        )
