"""The tables of the library's database."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, DateTime, ForeignKey, Index, LargeBinary, String, Text, TypeDecorator
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class UtcDateTime(TypeDecorator[datetime]):
    """A point in time; SQLite forgets time zones, so they are taken off and put back here."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return value.astimezone(UTC) if value else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return value.replace(tzinfo=UTC) if value and value.tzinfo is None else value


class Base(DeclarativeBase):
    type_annotation_map = {dict[str, Any]: JSON, datetime: UtcDateTime}  # noqa: RUF012


class JobRow(Base):
    """One request on its way. process: id of the process that runs or ran it."""

    __tablename__ = "jobs"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    state: Mapped[str] = mapped_column(String(16), index=True)
    reason: Mapped[str | None] = mapped_column(String(16))
    model: Mapped[str] = mapped_column(String(80))
    request: Mapped[dict[str, Any]]
    error: Mapped[dict[str, Any] | None]
    process: Mapped[str | None] = mapped_column(String(200))
    operation: Mapped[dict[str, Any] | None]
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]


class AssetRow(Base):
    """One sealed file. path: relative to the library folder. frames_sha256: of the raw frames, before the mark.

    parent_id, derivation: the file that this one was made from and how, both NULL for a clip that a model made;
    the first becomes NULL when the parent is removed. ruling: what was decided about its checks; NULL for a derived
    file, and for a clip from before there was anything to decide.
    """

    __tablename__ = "assets"
    __table_args__ = (Index("assets_by_time", "created_at"),)

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    job_id: Mapped[str | None] = mapped_column(ForeignKey("jobs.id", ondelete="SET NULL"), index=True)
    parent_id: Mapped[str | None] = mapped_column(ForeignKey("assets.id", ondelete="SET NULL"), index=True)
    derivation: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    path: Mapped[str] = mapped_column(Text, unique=True)
    mime_type: Mapped[str] = mapped_column(String(40))
    sha256: Mapped[str] = mapped_column(String(64), index=True)
    frames_sha256: Mapped[str] = mapped_column(String(64))
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    width: Mapped[int]
    height: Mapped[int]
    num_frames: Mapped[int]
    frame_rate: Mapped[str] = mapped_column(String(40))
    model: Mapped[str] = mapped_column(String(80), index=True)
    task: Mapped[str] = mapped_column(String(40))
    prompt: Mapped[str] = mapped_column(Text)
    seed: Mapped[str] = mapped_column(String(20))
    request: Mapped[dict[str, Any]]
    report: Mapped[dict[str, Any]]
    checks_passed: Mapped[bool | None]
    ruling: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    watermark_id: Mapped[str | None] = mapped_column(String(16), index=True)
    manifest_store: Mapped[bytes] = mapped_column(LargeBinary)
    generation_seconds: Mapped[float]
    created_at: Mapped[datetime]
