"""The formats that a sealed file can leave the library in, as rows."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from studio.provenance.sidecar import SIDECAR_TYPES

Kind = Literal["video", "animation", "picture", "sound"]


@dataclass(frozen=True, kw_only=True)
class Format:
    """One format. suffix: of the file in the library, with its dot.

    max_frames, max_side, max_rate: what is still reasonable in it; frames, pixels and frames per second.
    """

    suffix: str
    mime_type: str
    kind: Kind
    max_frames: int | None = None
    max_side: int = 8192
    max_rate: Fraction = Fraction(240)

    @property
    def has_sidecar(self) -> bool:
        """Whether Content Credentials do not fit into the file and are written beside it."""
        return self.mime_type in SIDECAR_TYPES


MP4 = Format(suffix=".mp4", mime_type="video/mp4", kind="video")
WAV = Format(suffix=".wav", mime_type="audio/wav", kind="sound")
WEBP_STILL = Format(suffix=".webp", mime_type="image/webp", kind="picture")
_JPEG = Format(suffix=".jpg", mime_type="image/jpeg", kind="picture")

# An animation of more frames is hundreds of megabytes large, and players show GIFs at 50 frames per second at most.
FORMATS: dict[str, Format] = {
    ".mp4": MP4,
    ".mov": Format(suffix=".mov", mime_type="video/quicktime", kind="video"),
    ".mkv": Format(suffix=".mkv", mime_type="video/x-matroska", kind="video"),
    ".webm": Format(suffix=".webm", mime_type="video/webm", kind="video"),
    ".gif": Format(suffix=".gif", mime_type="image/gif", kind="animation", max_frames=600, max_side=1280,
                   max_rate=Fraction(50)),
    ".webp": Format(suffix=".webp", mime_type="image/webp", kind="animation", max_frames=600, max_side=1920,
                    max_rate=Fraction(60)),
    ".png": Format(suffix=".png", mime_type="image/png", kind="picture"),
    ".jpg": _JPEG,
    ".jpeg": _JPEG,
    ".wav": WAV,
}  # fmt: skip
