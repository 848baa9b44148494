"""Which model is chosen where nobody has chosen one."""

from __future__ import annotations

from studio.app import Studio
from studio.catalog.schema import ModelSpec
from studio.people.presets import last_job
from studio.people.visitor import Visitor
from ui.web.views.models import FIRST_MODEL, in_order


def default_model(studio: Studio, visitor: Visitor) -> str:
    """Return the model that a visitor used last; else the one for first visits, or the first that is ready."""
    rows = {spec.id: spec for spec in studio.registry.catalog if can_be_chosen(spec)}
    last = last_job(studio.store, visitor)
    if last is not None and last.model in rows:
        return last.model
    if FIRST_MODEL in rows and studio.registry.readiness(rows[FIRST_MODEL]).ready:
        return FIRST_MODEL
    return in_order(studio.models())[0].spec.id


def can_be_chosen(spec: ModelSpec) -> bool:
    """Say whether there is a class that makes clips with this row."""
    return spec.generator is not None and spec.retirement is None
