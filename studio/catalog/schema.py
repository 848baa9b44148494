"""The shape of a catalog row: everything the studio knows about a model without loading it."""

from __future__ import annotations

import math
from datetime import date
from enum import StrEnum
from typing import Annotated, Any, Literal, Protocol

from pydantic import Field, model_validator

from studio.catalog.remote import Format, Remote
from studio.catalog.row import Row
from studio.request import OptionValue, Task

NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]*$"


class Status(StrEnum):
    LIVE = "live"
    LEGACY = "legacy"
    RETIRED = "retired"


class IntegerRange(Row):
    """Whole numbers `offset + k * step` within [min, max]. `frames = 4k + 1` is step 4, offset 1."""

    min: int
    max: int
    default: int
    step: int = Field(default=1, ge=1)
    offset: int = 0

    @model_validator(mode="after")
    def _default_is_allowed(self) -> IntegerRange:
        for name in ("min", "max", "default"):
            if not self.allows(getattr(self, name)):
                raise ValueError(f"{name} = {getattr(self, name)} breaks the range's own rule: {self.describe()}")
        return self

    def allows(self, value: int) -> bool:
        """Say whether `value` is one of the numbers."""
        return self.min <= value <= self.max and (value - self.offset) % self.step == 0

    def nearest(self, value: int) -> list[int]:
        """Return the one or two allowed numbers closest to `value`, in ascending order."""
        if value <= self.min:
            return [self.min]
        if value >= self.max:
            return [self.max]
        below = value - (value - self.offset) % self.step
        return sorted({max(below, self.min), min(below + self.step, self.max)})

    def describe(self) -> str:
        """Return the rule in words."""
        if self.min == self.max:
            return f"{self.min} only"
        if self.step == 1:
            return f"{self.min} to {self.max}"
        rule = f"{self.step}k" if self.offset % self.step == 0 else f"{self.step}k+{self.offset % self.step}"
        return f"{self.min} to {self.max} in steps of {self.step} ({rule})"


class FloatRange(Row):
    """Real numbers within [min, max]."""

    min: float
    max: float
    default: float

    @model_validator(mode="after")
    def _default_is_allowed(self) -> FloatRange:
        if not self.min <= self.default <= self.max:
            raise ValueError(f"default {self.default} lies outside {self.describe()}")
        return self

    def allows(self, value: float) -> bool:
        """Say whether `value` lies within; not a number never does."""
        return self.min <= value <= self.max

    def describe(self) -> str:
        """Return the rule in words."""
        return f"{self.min:g} only" if self.min == self.max else f"{self.min:g} to {self.max:g}"


class Option(Row):
    """A parameter that belongs to one model alone. unit and help are shown to people. max_characters: of a text."""

    type: Literal["integer", "number", "boolean", "choice", "text"]
    default: OptionValue
    min: float | None = None
    max: float | None = None
    max_characters: int = 2000
    choices: tuple[str, ...] = ()
    unit: str = ""
    help: str

    @model_validator(mode="after")
    def _default_is_allowed(self) -> Option:
        if not self.allows(self.default):
            raise ValueError(f"default {self.default!r} is not {self.describe()}")
        return self

    def allows(self, value: OptionValue) -> bool:
        """Say whether `value` has the right type and lies within; true and false are no numbers."""
        if self.type == "boolean" or isinstance(value, bool):
            return self.type == "boolean" and isinstance(value, bool)
        if self.type == "text":
            return isinstance(value, str) and len(value) <= self.max_characters and "\0" not in value
        if self.type == "choice" or isinstance(value, str):
            return self.type == "choice" and value in self.choices
        if self.type == "integer" and not isinstance(value, int):
            return False
        return (self.min is None or value >= self.min) and (self.max is None or value <= self.max)

    def describe(self) -> str:
        """Return what is allowed in words."""
        match self.type:
            case "boolean":
                return "true or false"
            case "choice":
                return ", ".join(self.choices)
            case "text":
                return f"text of up to {self.max_characters} characters"
            case _:
                noun = "a whole number" if self.type == "integer" else "a number"
                bounds = [f"from {self.min:g}"] if self.min is not None else []
                bounds += [f"to {self.max:g}"] if self.max is not None else []
                return " ".join([noun, *bounds])


class Licence(Row):
    """id: SPDX id, or the licence's own name. commercial_use: None where it depends or is unclear."""

    id: str
    url: str | None = None
    commercial_use: bool | None = None
    note: str = ""


class Weights(Row):
    """Where a local model's weights are.

    source: ``embedded`` ships with the studio; ``hub`` is pulled from the model hub by `studio models pull`.
    repository: hub repository, or folder name below ``weights/`` when embedded.
    revision: pinned commit; None records the commit of the first download and holds to it.
    sha256: pinned digests by file; empty records those of the first download.
    size_bytes: download size; None where not known.
    allow: file patterns to fetch; only safetensors, JSON and tokenizer files are ever fetched.
    gated: the hub asks for an account that accepted the licence.
    """

    source: Literal["embedded", "hub"]
    repository: str
    revision: str | None = None
    sha256: dict[str, str] = Field(default_factory=dict)
    size_bytes: int | None = None
    allow: tuple[str, ...] = ()
    variant: str | None = None
    gated: bool = False


class HasWeights(Protocol):
    """Whatever has weights that can be pulled: a model, or what a learned check measures with."""

    @property
    def id(self) -> str: ...

    @property
    def weights(self) -> Weights | None: ...


class Parameters(Row):
    """What a request may hold. A field left None is one the model does not have.

    sizes: allowed (width, height) pairs in pixels; empty means any pair within the two ranges.
    max_pixels: bound on width x height. frame_rate: frames per second. frame_rates: where only some of them will do.
    formats, durations: what a remote model makes, by name and in whole seconds; `width`, `height`, `sizes` and
    `num_frames` follow from them (the first format is the default) and are left out of the row.
    option_sets: names of options that many rows share, see `studio.catalog.option_sets`; they are among `options`.
    prompt: whether a text prompt is required, optional or unused; prompt_grammar: what a tiny model understands.
    """

    width: IntegerRange
    height: IntegerRange
    sizes: tuple[tuple[int, int], ...] = ()
    max_pixels: int | None = None
    num_frames: IntegerRange
    frame_rate: FloatRange
    frame_rates: tuple[float, ...] = ()
    formats: tuple[Format, ...] = ()
    durations: IntegerRange | None = None
    num_inference_steps: IntegerRange | None = None
    guidance_scale: FloatRange | None = None
    prompt: Literal["required", "optional", "unused"] = "required"
    prompt_grammar: str = ""
    negative_prompt: bool = False
    seed: bool = True
    audio: bool = False
    option_sets: tuple[str, ...] = ()
    options: dict[str, Option] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _spell_out(cls, table: Any) -> Any:
        """Fill in what follows from formats and durations."""
        return spelled_out(table) if isinstance(table, dict) else table

    @model_validator(mode="after")
    def _default_size_is_allowed(self) -> Parameters:
        width, height = self.width.default, self.height.default
        if self.sizes and (width, height) not in self.sizes:
            raise ValueError(f"the default size {width}x{height} is none of the allowed sizes")
        if self.max_pixels is not None and width * height > self.max_pixels:
            raise ValueError(f"the default size {width}x{height} has more than {self.max_pixels} pixels")
        return self


def spelled_out(table: dict[str, Any]) -> dict[str, Any]:
    """Return a row's parameters with sizes and frames that follow from its formats and durations.

    A broken table comes back as it is: validation says what is wrong with it.
    """
    found = dict(table)
    try:
        sizes = [(int(item["width"]), int(item["height"])) for item in table.get("formats", ())]
        if sizes:
            for index, name in enumerate(("width", "height")):
                sides = [size[index] for size in sizes]
                found.setdefault(name, {"min": min(sides), "max": max(sides), "default": sides[0]})
            found.setdefault("sizes", list(dict.fromkeys(sizes)))
        durations, rate = table.get("durations"), table.get("frame_rate")
        if durations and rate:
            low, high = (rate["min"], rate["max"])
            frames = {"min": math.ceil(durations["min"] * low), "max": math.floor(durations["max"] * high)}
            found.setdefault("num_frames", frames | {"default": round(durations["default"] * rate["default"])})
    except (KeyError, TypeError, ValueError):
        return dict(table)
    return found


class Retirement(Row):
    """Why a model is gone. replacement: id of the row to use instead."""

    retired_on: date
    evidence: str
    replacement: str | None = None


class ModelSpec(Row):
    """One model, local or remote.

    aliases: other names that people try for it; `Catalog.get` finds the row by each. None is another row's id or alias,
    and none is inherited. A request that names an alias is kept under the row's id.
    generator: ``module:Class`` that serves it; None while no class is written, with `not_ready` saying so.
    parameters_count: numbers in all its networks together; None where not known.
    remote: where and how a provider serves it. settings: the generator class's own constants for this checkpoint.
    requires: packages the generator class imports, by import name; `studio models` says when one is missing.
    sources: where the row's facts were read; checked_on: when.
    """

    id: str = Field(pattern=NAME_PATTERN)
    aliases: tuple[Annotated[str, Field(pattern=NAME_PATTERN)], ...] = ()
    name: str
    summary: str
    family: str
    where: Literal["local", "remote"]
    generator: str | None = Field(default=None, pattern=r"^[A-Za-z_][A-Za-z0-9_.]*:[A-Za-z_][A-Za-z0-9_]*$")
    not_ready: str = ""
    tasks: tuple[Task, ...] = Field(min_length=1)
    status: Status = Status.LIVE
    retirement: Retirement | None = None
    licence: Licence
    weights: Weights | None = None
    parameters_count: int | None = None
    parameters: Parameters
    remote: Remote | None = None
    settings: dict[str, Any] = Field(default_factory=dict)
    requires: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    checked_on: date | None = None

    @model_validator(mode="after")
    def _is_whole(self) -> ModelSpec:
        if self.generator is None and not self.not_ready:
            raise ValueError("a row without a generator class says why in not_ready")
        if self.where == "local" and self.generator is not None and self.weights is None:
            raise ValueError("a local row names its weights")
        formats = self.parameters.formats
        homeless = [task for task in self.tasks if formats and not any(not f.tasks or task in f.tasks for f in formats)]
        if homeless:
            raise ValueError(f"no format serves {homeless[0].value}")
        if (self.status is Status.RETIRED) != (self.retirement is not None):
            raise ValueError("status retired and a [retirement] table go together")
        return self
