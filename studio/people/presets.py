"""What somebody keeps for next time: values of a model's form under a name, and the prompts they used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from studio.errors import NotFound, UnsupportedValue
from studio.jobs.job import Job, job_of_row
from studio.library.people_tables import OwnerRow, PresetRow
from studio.library.store import Store, new_id
from studio.library.tables import JobRow
from studio.people.visitor import Visitor

MAX_NAME, MAX_PRESETS = 80, 100
# Of so many of the latest jobs the prompts are read.
_JOBS_READ = 400


class UnknownPreset(NotFound):
    """Nobody keeps values under this name."""


@dataclass(frozen=True, kw_only=True)
class Preset:
    """Values of a model's form. values: by field, as JSON holds them."""

    id: str
    model: str
    name: str
    values: dict[str, Any]


class Presets:
    """Presets of each visitor and model. What whoever sits at this machine keeps is nobody else's."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def of_model(self, visitor: Visitor, model: str) -> list[Preset]:
        """Return a visitor's presets of a model, by name."""
        query = sa.select(PresetRow).where(*_theirs(visitor, model)).order_by(PresetRow.name).limit(MAX_PRESETS)
        with self._store.database.read() as session:
            return [_preset(row) for row in session.scalars(query)]

    def preset(self, visitor: Visitor, preset_id: str) -> Preset:
        """Return one of a visitor's presets. Raises `UnknownPreset`."""
        with self._store.database.read() as session:
            row = session.get(PresetRow, preset_id)
            if row is None or row.account != _account(visitor):
                raise _unknown(preset_id)
            return _preset(row)

    def save(self, visitor: Visitor, model: str, name: str, values: Mapping[str, Any]) -> Preset:
        """Keep values under a name, in the place of what was kept under it. Raises `UnsupportedValue` for the name."""
        name = fit_preset_name(name)

        def work(session: Session) -> Preset:
            row = session.scalar(sa.select(PresetRow).where(*_theirs(visitor, model), PresetRow.name == name))
            if row is None:
                _require_room(session, visitor, model)
                row = PresetRow(id=new_id(), account=_account(visitor), model=model, name=name, values={},
                                created_at=datetime.now(UTC))  # fmt: skip
                session.add(row)
            row.values = dict(values)
            return _preset(row)

        return self._store.database.retrying(work)

    def remove(self, visitor: Visitor, preset_id: str) -> Preset:
        """Forget a preset. Raises `UnknownPreset`."""

        def work(session: Session) -> Preset:
            row = session.get(PresetRow, preset_id)
            if row is None or row.account != _account(visitor):
                raise _unknown(preset_id)
            found = _preset(row)
            session.delete(row)
            return found

        return self._store.database.retrying(work)


def last_job(store: Store, visitor: Visitor, model: str | None = None) -> Job | None:
    """Return the latest job that a visitor handed in by hand, of any model or of one; None where there is none."""
    query = _own_jobs(visitor).where(JobRow.batch_id.is_(None), ~_made_on_the_way()).limit(1)
    if model is not None:
        query = query.where(JobRow.model == model)
    with store.database.read() as session:
        row = session.scalar(query)
        return None if row is None else job_of_row(row)


def recent_prompts(store: Store, visitor: Visitor, limit: int = 50) -> list[str]:
    """Return the prompts that a visitor used last, each once, the latest first."""
    query = _own_jobs(visitor).limit(_JOBS_READ)
    with store.database.read() as session:
        prompts = [str(row.request.get("prompt") or "") for row in session.scalars(query)]
    return list(dict.fromkeys(prompt for prompt in prompts if prompt.strip()))[:limit]


def fit_preset_name(name: str) -> str:
    """Return a name that values may be kept under. Raises `UnsupportedValue`."""
    name = " ".join(name.split())
    if not name or len(name) > MAX_NAME or not name.isprintable():
        allowed = f"1 to {MAX_NAME} printable characters"
        raise UnsupportedValue("not a name for a preset", field="name", got=name or "nothing", allowed=allowed)
    return name


def _account(visitor: Visitor) -> str:
    return visitor.name or ""


def _theirs(visitor: Visitor, model: str) -> tuple[sa.ColumnElement[bool], ...]:
    return PresetRow.account == _account(visitor), PresetRow.model == model


def _own_jobs(visitor: Visitor) -> sa.Select[JobRow]:
    """Return a query of a visitor's jobs, the latest first: for whoever sits at this machine those without an owner."""
    owner = sa.select(OwnerRow.account).where(OwnerRow.thing_id == JobRow.id).scalar_subquery()
    is_theirs = owner.is_(None) if visitor.name is None else owner == visitor.name
    return sa.select(JobRow).where(is_theirs).order_by(JobRow.created_at.desc(), JobRow.id.desc())


def _made_on_the_way() -> sa.ColumnElement[bool]:
    """Say which jobs a program handed in: windows of longer clips."""
    return sa.func.coalesce(JobRow.client_key, "").startswith("extend:", autoescape=True)


def _require_room(session: Session, visitor: Visitor, model: str) -> None:
    number = session.scalar(sa.select(sa.func.count()).select_from(PresetRow).where(*_theirs(visitor, model)))
    if (number or 0) >= MAX_PRESETS:
        raise UnsupportedValue("there are too many presets of this model", field="name", got=number,
                               allowed=f"up to {MAX_PRESETS}", fix="delete one first")  # fmt: skip


def _unknown(preset_id: str) -> UnknownPreset:
    return UnknownPreset("there is no such preset", field="preset", got=preset_id, fix="choose one from the list")


def _preset(row: PresetRow) -> Preset:
    return Preset(id=row.id, model=row.model, name=row.name, values=dict(row.values))
