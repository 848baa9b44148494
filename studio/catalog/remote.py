"""What a catalog row says of a model that runs at a provider: address, keys, limits, prices, duties."""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import Field, model_validator

from studio.catalog.row import Row
from studio.request import Task


class Format(Row):
    """A picture that a remote model makes. width, height: pixels. resolution: the tier, such as ``720p``.

    aspect_ratio: such as ``16:9``. sent_as: how the provider names it where it takes neither tier nor ratio.
    tasks: for which it may be chosen; empty means all of the model's.
    """

    width: int = Field(ge=16, le=16384)
    height: int = Field(ge=16, le=16384)
    resolution: str
    aspect_ratio: str = Field(pattern=r"^\d+:\d+$")
    sent_as: str = ""
    tasks: tuple[Task, ...] = ()


class Exclusion(Row):
    """Values that do not go together: a request to which all that is named applies is refused.

    reason: one clause for people, without a stop. Empty or None: whatever the request says.
    """

    reason: str
    tasks: tuple[Task, ...] = ()
    resolutions: tuple[str, ...] = ()
    aspect_ratios: tuple[str, ...] = ()
    longer_than_seconds: float | None = None
    shorter_than_seconds: float | None = None
    frame_rates: tuple[float, ...] = ()
    with_audio: bool | None = None


class PromptLimit(Row):
    """How long a prompt may be, counted as the provider counts."""

    max: int = Field(gt=0)
    unit: Literal["characters", "utf16", "bytes"] = "characters"

    def count(self, text: str) -> int:
        """Return the length of a text in this unit."""
        match self.unit:
            case "characters":
                return len(text)
            case "utf16":
                return len(text.encode("utf-16-le")) // 2
            case "bytes":
                return len(text.encode())


class InputLimits(Row):
    """How a picture or a video travels to the provider, and what it takes.

    transport: in the request as a data URI, as base64 without a prefix, as a part of a form; or by an upload before it.
    max_bytes: of the file, before base64. min_side, max_side: pixels. min_ratio, max_ratio: width by height.
    """

    transport: Literal["data-uri", "base64", "multipart", "upload"]
    mime_types: tuple[str, ...]
    max_bytes: int = Field(gt=0)
    min_side: int = 1
    max_side: int | None = None
    min_ratio: float | None = None
    max_ratio: float | None = None
    max_seconds: float | None = None


class PriceRule(Row):
    """What a clip costs to which all that is named applies. amount: in the table's currency, per second or per clip."""

    amount: float = Field(ge=0)
    per: Literal["second", "clip"] = "second"
    tasks: tuple[Task, ...] = ()
    resolutions: tuple[str, ...] = ()
    seconds: tuple[float, ...] = ()
    with_audio: bool | None = None


class Surcharge(Row):
    """What an option's value adds, or each picture in the role of a reference beyond the first few.

    amount: in the table's currency, per second, per clip or per reference. free: how many references cost nothing.
    """

    option: str = ""
    value: str = ""
    amount: float
    per: Literal["second", "clip", "reference"] = "second"
    free: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _names_what_costs(self) -> Surcharge:
        if (self.per == "reference") == bool(self.option):
            raise ValueError("a surcharge is for an option's value, or per reference")
        if self.free and self.per != "reference":
            raise ValueError("only references can be free")
        return self


class Prices(Row):
    """A provider's list prices. The first rule that fits counts.

    minimum: of one clip. credit: what one of the provider's credits costs, None where it bills no credits.
    as_of: the day on which they were read. evidence: where.
    """

    currency: str = Field(pattern=r"^[A-Z]{3}$")
    rules: tuple[PriceRule, ...]
    surcharges: tuple[Surcharge, ...] = ()
    minimum: float = 0.0
    credit: float | None = None
    as_of: date
    evidence: str


class Remote(Row):
    """Where and how a model is served. `ModelSpec.settings` holds what only its adapter understands.

    provider: short name, such as ``runway``; keys, costs and limits are kept by it. model: its name there; empty where
    the option ``model`` names it.
    base_url: without a slash at the end. base_url_variable: environment variable that takes its place.
    key_variables: environment variables that hold the key, the first that is set counts. secret_variables: of the
    second half of a pair of keys, where a provider has such. needs_key: False where a server may do without.
    key_url: the page where one gets a key.
    cancel: which jobs can be stopped. cancel_refunds: whether a job stopped while it runs costs nothing.
    poll_seconds: the shortest time between two questions. deadline_seconds: how long a job is waited for.
    url_seconds: how long an address of a result holds; None where unknown.
    query_seconds: how long a job can be asked for; None where unknown.
    max_seed: the highest seed, None where there is none.
    audio: none, optional, or always there. max_references: pictures in the role of a reference.
    c2pa: whether the provider signs its files. marks: what else it puts into them.
    attribution: words that must stand where its clips are shown. restrictions: where or for what it may not be used.
    evidence: how sure the row's facts are: documentation, sdk, third-party.
    """

    provider: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    provider_name: str
    model: str = ""
    base_url: str = Field(pattern=r"^https?://[^/\s]+(/\S*[^/\s])?$")
    base_url_variable: str
    key_variables: tuple[str, ...] = ()
    secret_variables: tuple[str, ...] = ()
    needs_key: bool = True
    key_url: str = ""
    cancel: Literal["none", "queued", "running"] = "none"
    cancel_refunds: bool | None = None
    poll_seconds: float = Field(default=5.0, gt=0)
    deadline_seconds: float = Field(default=3600.0, gt=0)
    url_seconds: float | None = None
    query_seconds: float | None = None
    prompt_limit: PromptLimit | None = None
    max_seed: int | None = None
    audio: Literal["none", "optional", "always"] = "none"
    max_references: int = 0
    image: InputLimits | None = None
    video: InputLimits | None = None
    exclusions: tuple[Exclusion, ...] = ()
    prices: Prices | None = None
    c2pa: Literal["yes", "claimed", "unknown"] = "unknown"
    marks: tuple[str, ...] = ()
    attribution: str = ""
    attribution_url: str = ""
    restrictions: str = ""
    evidence: Literal["documentation", "sdk", "third-party"] = "documentation"
