"""The tables of comparisons: one request on several generators, and what people thought of what came out."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from studio.library.tables import Base


class ComparisonRow(Base):
    """One request on several generators or with several parameters. request: as it was asked, before any model's rules.

    tags: words that rankings are ordered by, in lower case.
    """

    __tablename__ = "comparisons"
    __table_args__ = (Index("comparisons_by_time", "created_at", "id"),)

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    title: Mapped[str] = mapped_column(String(200), default="")
    request: Mapped[dict[str, Any]]
    tags: Mapped[list[str]] = mapped_column(JSON)
    created_at: Mapped[datetime]


class EntryRow(Base):
    """One contestant. number: from 1. label: how it is told apart, such as the model and what is set otherwise.

    job_id: of the job that makes its clip, and the clip's own id. differences: what it does otherwise than was asked,
    in sentences, each with the field. changes: what was set otherwise for this entry on purpose.
    """

    __tablename__ = "entries"

    comparison_id: Mapped[str] = mapped_column(ForeignKey("comparisons.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    label: Mapped[str] = mapped_column(String(200))
    model: Mapped[str] = mapped_column(String(80), index=True)
    job_id: Mapped[str | None] = mapped_column(String(40), index=True)
    changes: Mapped[dict[str, Any]]
    differences: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    error: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))


class VoteRow(Base):
    """What somebody thought of two clips that were shown side by side. left, right: numbers of entries.

    verdict: left, right, tie or both_bad. reasons: words from the list of reasons, or somebody's own.
    was_blind: whether names were hidden. voter: account, empty for whoever sits at this machine.
    """

    __tablename__ = "votes"
    __table_args__ = (Index("votes_by_comparison", "comparison_id", "created_at"),)

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    comparison_id: Mapped[str] = mapped_column(ForeignKey("comparisons.id", ondelete="CASCADE"))
    left: Mapped[int]
    right: Mapped[int]
    verdict: Mapped[str] = mapped_column(String(16))
    reasons: Mapped[list[str]] = mapped_column(JSON)
    was_blind: Mapped[bool]
    voter: Mapped[str] = mapped_column(String(40), default="")
    created_at: Mapped[datetime]
