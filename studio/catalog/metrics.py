"""What learned checks measure with: rows as those of models, kept apart because nothing is generated with them."""

from __future__ import annotations

import importlib.resources
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from pydantic import Field, model_validator

from studio.catalog.row import Row
from studio.catalog.schema import Licence, Weights


class MetricSpec(Row):
    """Weights that learned checks measure with.

    checks: ``module:Class`` by the check's id. parameters_count: numbers in its networks together.
    sources: where the row's facts were read; checked_on: when.
    """

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    name: str
    summary: str
    checks: dict[str, str] = Field(min_length=1)
    licence: Licence
    weights: Weights
    parameters_count: int | None = None
    sources: tuple[str, ...] = ()
    checked_on: date | None = None

    @model_validator(mode="after")
    def _names_its_files(self) -> MetricSpec:
        if self.weights.source != "hub" or not self.weights.allow:
            raise ValueError("a metric's weights come from the hub, and `allow` names their files")
        return self


class LeftOut(Row):
    """A published metric that is not measured here, and why."""

    id: str
    title: str
    reason: str


@dataclass(frozen=True)
class MetricCatalog:
    """The rows, and what has none."""

    metrics: tuple[MetricSpec, ...]
    left_out: tuple[LeftOut, ...] = ()

    def __iter__(self) -> Iterator[MetricSpec]:
        return iter(self.metrics)

    def find(self, metric_id: str) -> MetricSpec | None:
        """Return the row with this id, None where there is none."""
        return next((spec for spec in self.metrics if spec.id == metric_id), None)

    def serving(self, check_id: str) -> MetricSpec | None:
        """Return the row whose weights this check needs, None where there is none."""
        return next((spec for spec in self.metrics if check_id in spec.checks), None)


def load_metrics() -> MetricCatalog:
    """Read the rows that ship with the studio."""
    file = importlib.resources.files("studio.catalog") / "metrics.toml"
    content = tomllib.loads(file.read_text(encoding="utf-8"))
    return MetricCatalog(
        metrics=tuple(MetricSpec.model_validate(row) for row in content["metrics"]),
        left_out=tuple(LeftOut.model_validate(row) for row in content["left_out"]),
    )
