"""What somebody asks for who wants to compare: one request, and the models or parameters it is tried on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from fractions import Fraction
from typing import Any

from studio.consistency.policy import Policy
from studio.errors import RequestError, UnsupportedValue
from studio.jobs.job import JobWish
from studio.library.curation import tag_of
from studio.provenance.shown import MAX_TEXT_CHARACTERS, one_line
from studio.request import Conditioning, GenerationRequest, Role, Task
from studio.revision import revised
from studio.spending.money import Money

MIN_VARIANTS, MAX_VARIANTS = 2, 8
MAX_TITLE_CHARACTERS = 200
MAX_LABEL_CHARACTERS = 200
MAX_TAGS = 16
# What a variant may set otherwise: the rest of a request is what all have in common.
CHANGEABLE = tuple(item.name for item in fields(GenerationRequest) if item.name not in ("model", "on_unsupported"))
_SHORT = {"num_inference_steps": "steps", "guidance_scale": "guidance", "duration_seconds": "seconds"}


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One contestant. model: id of its row. changes: fields of the request that are set otherwise for it alone.

    label: how it is told apart, up to 200 characters; made of model and changes if empty.
    """

    model: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    label: str = ""

    def request(self, base: GenerationRequest) -> GenerationRequest:
        """Return what is asked of this variant's model; what the model lacks is to be left out and remarked."""
        changes = {"options": {**base.options, **self.changes["options"]}} if "options" in self.changes else {}
        return revised(base, {**self.changes, **changes, "model": self.model, "on_unsupported": "drop"}, None)

    def shown_as(self) -> str:
        """Return the label, or one made of model and changes."""
        return one_line(self.label or " ".join([self.model, *_words(self.changes)]), MAX_LABEL_CHARACTERS)

    def changes_as_json(self) -> dict[str, Any]:
        """Return the changes as a JSON object."""
        return {name: as_plain(value) for name, value in self.changes.items()}


@dataclass(frozen=True, kw_only=True)
class CompareWish:
    """A comparison. base: what all are asked for; its model is ignored. variants: 2 to 8, in the order they are shown.

    The same model may come several times with other changes. title: up to 200 characters. tags: up to 16 words of up to
    40 characters, kept in lower case; rankings can be made of one tag. priority, on_fail: of every job. max_cost: of
    all remote clips together; a comparison that may cost more, or nobody knows what, is refused.
    owner: the account whose the comparison and its jobs are; None for whoever sits at this machine.
    """

    base: GenerationRequest
    variants: Sequence[Variant]
    title: str = ""
    tags: Sequence[str] = ()
    priority: int = 0
    on_fail: Policy | None = None
    max_cost: Money | None = None
    owner: str | None = None

    def require_sense(self) -> None:
        """Raise a `RequestError` for what no comparison could be."""
        number = len(self.variants)
        if not MIN_VARIANTS <= number <= MAX_VARIANTS:
            raise UnsupportedValue(
                "a comparison has several contestants", field="variants", got=number,
                allowed=f"{MIN_VARIANTS} to {MAX_VARIANTS}", fix="name models, or values of a parameter",
            )  # fmt: skip
        for place, variant in enumerate(self.variants, 1):
            unknown = sorted(set(variant.changes) - set(CHANGEABLE))
            if unknown:
                raise UnsupportedValue(
                    f"entry {place} sets a field that a request does not have", field="changes", got=unknown[0],
                    allowed=", ".join(CHANGEABLE),
                )  # fmt: skip
        clean_title(self.title)
        clean_tags(self.tags)

    def job_wish(self) -> JobWish:
        """Return how each job is to be run."""
        return JobWish(priority=self.priority, on_fail=self.on_fail, max_cost=self.max_cost, owner=self.owner)


def clean_title(title: str) -> str:
    """Return a title as it is kept: one line. Raises `UnsupportedValue` if it is too long."""
    if len(title) > MAX_TITLE_CHARACTERS:
        raise UnsupportedValue(
            "too long", field="title", got=f"{len(title)} characters", allowed=f"up to {MAX_TITLE_CHARACTERS}"
        )
    return one_line(title, MAX_TITLE_CHARACTERS)


def clean_tags(tags: Iterable[str]) -> list[str]:
    """Return tags as they are kept: lower case, each once, in order. Raises `UnsupportedValue`."""
    if isinstance(tags, str):
        raise UnsupportedValue("tags are a list of words", field="tags", got=tags)
    found = list(dict.fromkeys(clean_tag(tag) for tag in tags))
    if len(found) > MAX_TAGS:
        raise UnsupportedValue("too many", field="tags", got=len(found), allowed=f"up to {MAX_TAGS}")
    return found


def clean_tag(tag: str) -> str:
    """Return one tag as the library keeps its own, and what steers a terminal left out. Raises `UnsupportedValue`."""
    return tag_of(one_line(tag, MAX_TEXT_CHARACTERS), "tags")


def base_as_json(base: GenerationRequest) -> dict[str, Any]:
    """Return what all contestants are asked for as a JSON object, without the model."""
    return {name: as_plain(getattr(base, name)) for name in CHANGEABLE}


def as_plain(value: Any) -> Any:
    """Return a field's value as JSON holds it; fractions as text, as a `ResolvedRequest` keeps them."""
    if isinstance(value, Fraction):
        return str(value)
    if isinstance(value, Mapping):
        return {str(name): as_plain(item) for name, item in value.items()}
    if isinstance(value, Conditioning):
        return {"role": value.role.value, "path": str(value.path), "sha256": value.sha256}
    if isinstance(value, list | tuple):
        return [as_plain(item) for item in value]
    return value.value if isinstance(value, Task | Role) else value


class TooFewEntries(RequestError):
    """Fewer than two of the contestants could be made, so that there would be nothing to compare."""


def _words(changes: Mapping[str, Any]) -> list[str]:
    """Return changes in a few words each, such as ``steps=4``."""
    plain = {name: value for name, value in changes.items() if name not in ("options", "conditionings")}
    options = changes.get("options") or {}
    found = [f"{_SHORT.get(name, name)}={as_plain(value)}" for name, value in (*plain.items(), *options.items())]
    files = [f"{item.role.value}={item.path.name}" for item in changes.get("conditionings") or ()]
    return [one_line(words, 60) for words in (*found, *files)]
