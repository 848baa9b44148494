"""What became of one entry of a batch: the facts that a report is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from studio.errors import StudioError
from studio.library.asset import Asset


@dataclass(frozen=True, kw_only=True)
class AssetFacts:
    """A sealed clip. path: absolute, of the file that a report shows: the copy at the job's output, or the library's.

    original: returns the library's, which is shown where the copy was moved away or changed; it may have to be fetched.
    sha256: of the file. frames_sha256: of the raw frames, before the mark. checks: how it stands with the checks, such
    as ``passed`` or ``flagged``. width, height: pixels. frame_rate: frames per second. attribution: words that a
    provider wants to see where its clip is shown.
    """

    path: Path
    sha256: str
    frames_sha256: str
    seed: int
    checks: str
    width: int
    height: int
    num_frames: int
    frame_rate: float | None = None
    attribution: str | None = None
    original: Callable[[], Path] | None = field(default=None, repr=False, compare=False)

    @classmethod
    def of(cls, asset: Asset, path: Path | None = None) -> AssetFacts:
        """Return the facts of an asset. path: of its copy, where one was asked for."""
        return cls(
            path=path or _path_of(asset),
            sha256=asset.sha256,
            frames_sha256=asset.frames_sha256,
            seed=asset.seed,
            checks=asset.standing,
            width=asset.width,
            height=asset.height,
            num_frames=asset.num_frames,
            frame_rate=float(asset.frame_rate),
            attribution=(asset.master or {}).get("attribution"),
            original=lambda: asset.path,
        )

    def as_json(self) -> dict[str, Any]:
        """Return a JSON object."""
        told = (name for name in self.__dataclass_fields__ if name != "original")
        return {name: getattr(self, name) for name in told} | {"path": str(self.path)}


@dataclass(frozen=True, kw_only=True)
class EntryOutcome:
    """One entry and what became of it.

    number, where, name: as in `BatchEntry`. state, reason: as in `JobState` and `FailureReason`.
    error: one sentence. request: as `ResolvedRequest.as_json` writes it. seconds: of all attempts together.
    attempts: how often it was begun. estimate, billed: ``{"amount": 0.25, "currency": "USD"}``, None for no money.
    """

    number: int
    where: str
    state: str
    request: Mapping[str, Any]
    name: str | None = None
    job_id: str | None = None
    reason: str | None = None
    error: str | None = None
    asset: AssetFacts | None = None
    seconds: float | None = None
    attempts: int = 0
    estimate: Mapping[str, Any] | None = None
    billed: Mapping[str, Any] | None = None

    def as_json(self) -> dict[str, Any]:
        """Return a JSON object."""
        asset = None if self.asset is None else self.asset.as_json()
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__}
        maps = {name: None if plain[name] is None else dict(plain[name]) for name in ("request", "estimate", "billed")}
        return {**plain, **maps, "asset": asset}


@dataclass(frozen=True, kw_only=True)
class Totals:
    """The figures of a whole batch.

    states: entries by state. checks: sealed clips by how they stand with their checks. seconds: of all jobs together.
    estimated, billed: amounts by currency.
    """

    entries: int
    states: Mapping[str, int]
    checks: Mapping[str, int]
    seconds: float
    attempts: int
    estimated: Mapping[str, float] = field(default_factory=dict)
    billed: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, outcomes: Iterable[EntryOutcome]) -> Totals:
        """Add up outcomes."""
        found = list(outcomes)
        return cls(
            entries=len(found),
            states=_counts(item.state for item in found),
            checks=_counts(item.asset.checks for item in found if item.asset is not None),
            seconds=sum(item.seconds or 0.0 for item in found),
            attempts=sum(item.attempts for item in found),
            estimated=_sums(item.estimate for item in found),
            billed=_sums(item.billed for item in found),
        )

    @property
    def succeeded(self) -> int:
        """How many entries have a sealed clip."""
        return self.states.get("succeeded", 0)

    def as_json(self) -> dict[str, Any]:
        """Return a JSON object."""
        return asdict(self)


def _path_of(asset: Asset) -> Path:
    """Return where the library's file is on this machine; or where it ought to be, if it cannot be brought here."""
    try:
        return asset.path
    except (StudioError, OSError):
        return Path(asset.as_json()["path"])


def _counts(words: Iterable[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for word in words:
        found[word] = found.get(word, 0) + 1
    return found


def _sums(amounts: Iterable[Mapping[str, Any] | None]) -> dict[str, float]:
    found: dict[str, float] = {}
    for money in amounts:
        if money is not None and money.get("amount") is not None:
            currency = str(money.get("currency"))
            found[currency] = round(found.get(currency, 0.0) + float(money["amount"]), 6)
    return found
