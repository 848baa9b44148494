"""The one report behind every front end: frozen data and its JSON."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from studio.library.asset import Asset
from studio.provenance.reading import C2paReading
from studio.provenance.shown import one_line
from studio.provenance.watermark import WatermarkReading

Word = Literal["intact", "altered", "recovered", "unknown"]
Result = Literal["ok", "notice", "unknown"]
Satisfied = Literal["yes", "no", "unknown"]
Match = Literal["credentials", "file hash", "watermark"]


@dataclass(frozen=True, kw_only=True)
class Conclusion:
    """What it comes to. word: one of four that are never mixed. sentence: for people."""

    word: Word
    sentence: str


@dataclass(frozen=True, kw_only=True)
class Recovered:
    """The record that the library keeps for an asset. It is not bound to the file at hand.

    reading: the stored record, validated by itself. holds: its signature and everything it signs are as they were.
    names_the_mark: whether it names the very mark that was read; None where no mark was read.
    """

    reading: C2paReading
    holds: bool
    names_the_mark: bool | None

    def as_json(self) -> dict[str, Any]:
        return {
            "note": "kept by this library and not bound to this file",
            "holds": self.holds,
            "names_the_mark": self.names_the_mark,
            # Its state and codes are about a file that is not at hand.
            "record": {k: v for k, v in self.reading.as_json().items() if k not in ("state", "codes", "findings")},
        }


@dataclass(frozen=True, kw_only=True)
class LibraryMatch:
    """The asset of this library that the file is, or came from.

    by: what led to it. is_same_file: byte for byte. recovered: its stored record, where the file carries none.
    """

    asset: Asset
    by: tuple[Match, ...]
    is_same_file: bool
    recovered: Recovered | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "asset": self.asset.id,
            "by": list(self.by),
            "same_file": self.is_same_file,
            "recovered": None if self.recovered is None else self.recovered.as_json(),
        }


@dataclass(frozen=True, kw_only=True)
class AudioFacts:
    """The first sound track. duration_seconds, start_seconds: as the file states, None where it does not."""

    codec: str
    sample_rate: int
    channels: int
    duration_seconds: float | None
    start_seconds: float | None


@dataclass(frozen=True, kw_only=True)
class MediaFacts:
    """What kind of file it is, as its header and its first frame say; None where they do not.

    duration_seconds, start_seconds: of the picture. faststart: MP4 and MOV only.
    video_seconds: of the video track alone. tags: what programs wrote into the header. problem: why little is known.
    """

    container: str | None
    size_bytes: int
    codec: str | None = None
    width: int | None = None
    height: int | None = None
    pixel_format: str | None = None
    frame_rate: float | None = None
    num_frames: int | None = None
    duration_seconds: float | None = None
    video_seconds: float | None = None
    start_seconds: float | None = None
    rotation: int = 0
    faststart: bool | None = None
    audio: AudioFacts | None = None
    tags: tuple[tuple[str, str], ...] = ()
    problem: str | None = None

    def as_json(self) -> dict[str, Any]:
        audio = None if self.audio is None else dict(vars(self.audio))
        return vars(self) | {"audio": audio, "tags": dict(self.tags)}


@dataclass(frozen=True, kw_only=True)
class ChecklistItem:
    """One thing that was looked at. result: ok, notice (worth knowing) or unknown. It is never a verdict on truth."""

    id: str
    title: str
    result: Result
    detail: str

    def as_json(self) -> dict[str, str]:
        return dict(vars(self))


@dataclass(frozen=True, kw_only=True)
class Disclosure:
    """One duty to say that a file was made by AI. where: what in the file meets it, or what is missing."""

    duty: str
    law: str
    satisfied: Satisfied
    where: str

    def as_json(self) -> dict[str, str]:
        return dict(vars(self))


@dataclass(frozen=True, kw_only=True)
class Verification:
    """Everything found out about one file.

    library: the asset of this library that it is or came from. reason: why it may not be trusted as it is, in plain
    words; None when it may. checklist, disclosures: empty where they were not asked for.
    was_searched: whether the slow search for a mark was made.
    """

    path: Path
    c2pa: C2paReading
    watermark: WatermarkReading
    conclusion: Conclusion
    reason: str | None
    library: LibraryMatch | None = None
    media: MediaFacts | None = None
    checklist: tuple[ChecklistItem, ...] = ()
    disclosures: tuple[Disclosure, ...] = ()
    was_searched: bool = False

    @property
    def is_intact(self) -> bool:
        return self.c2pa.state in ("trusted", "valid")

    @property
    def asset(self) -> Asset | None:
        """The library's own asset, whatever led to it."""
        return None if self.library is None else self.library.asset

    @property
    def notices(self) -> tuple[ChecklistItem, ...]:
        """What of the checklist is worth knowing."""
        return tuple(item for item in self.checklist if item.result == "notice")

    def as_json(self) -> dict[str, Any]:
        """Return the object of ``studio verify --json``."""
        mark = self.watermark
        return {
            "path": str(self.path),
            "conclusion": dict(vars(self.conclusion)),
            "reason": self.reason,
            "c2pa": self.c2pa.as_json(),
            "watermark": {
                "detected": mark.detected,
                "payload": mark.identifier,
                "confidence": mark.confidence,
                "bits": mark.bits if mark.detected else None,
                "transform": None if mark.transform is None else one_line(mark.transform),
                "with_index": mark.with_index,
                "searched": self.was_searched,
            },
            "asset": None if self.asset is None else self.asset.id,
            "library": None if self.library is None else self.library.as_json(),
            "media": None if self.media is None else self.media.as_json(),
            "checklist": [item.as_json() for item in self.checklist],
            "disclosures": [item.as_json() for item in self.disclosures],
        }
