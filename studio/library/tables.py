"""The tables of the library's database."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Double,
    ForeignKey,
    Index,
    LargeBinary,
    String,
    Text,
    TypeDecorator,
    text,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from studio.redaction import redacted


class UtcDateTime(TypeDecorator[datetime]):
    """A point in time; SQLite forgets time zones, so they are taken off and put back here."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return value.astimezone(UTC) if value else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return value.replace(tzinfo=UTC) if value and value.tzinfo is None else value


class RedactedJson(TypeDecorator[dict[str, Any]]):
    """JSON that is kept without what must not be: an error may quote a library or a provider, and they a key."""

    impl = JSON
    cache_ok = True

    def process_bind_param(self, value: dict[str, Any] | None, dialect: Dialect) -> dict[str, Any] | None:  # noqa: ARG002
        return None if value is None else redacted(value)


class Base(DeclarativeBase):
    type_annotation_map = {dict[str, Any]: JSON, datetime: UtcDateTime}  # noqa: RUF012


class JobRow(Base):
    """One request on its way.

    pool: the kind of worker that runs it, local or remote. priority: higher first; among equals the smaller position.
    is_paused: nobody may take it. asked: what people ask of the worker that runs it, cancel or pause.
    is_attended: a person waits for it in front of the process that runs it, and no other process may.
    client_key: chosen by whoever submitted it; the same key twice is the same job.
    terms: how it is to be run apart from the request: policy, label, prompt policy ...
    worker: the id of the worker that holds or held it. token: goes up with every claim; a write of a worker that holds
    an older one is refused (a fencing token: Kleppmann, Designing Data-Intensive Applications, chapter 8).
    deaths: workers that died while they ran it, since it was last put into the queue by a person.
    process: id of the process that runs or ran it. estimate: of one clip; a policy may have several made.
    billed: money for all of them, as a provider said it.
    """

    __tablename__ = "jobs"
    __table_args__ = (
        Index("jobs_in_line", "state", text("priority DESC"), "position", "id"),
        Index("jobs_by_state_and_time", "state", "created_at", "id"),
        Index("jobs_by_time", "created_at", "id"),
        Index("jobs_of_batch", "batch_id", "entry"),
        Index("jobs_by_client_key", "client_key", unique=True),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    state: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str | None] = mapped_column(String(16))
    model: Mapped[str] = mapped_column(String(80))
    request: Mapped[dict[str, Any]]
    error: Mapped[dict[str, Any] | None] = mapped_column(RedactedJson)
    process: Mapped[str | None] = mapped_column(String(200))
    operation: Mapped[dict[str, Any] | None]
    pool: Mapped[str] = mapped_column(String(16), default="local")
    priority: Mapped[int] = mapped_column(default=0)
    position: Mapped[float] = mapped_column(Double, default=0.0)
    is_paused: Mapped[bool] = mapped_column(default=False)
    asked: Mapped[str | None] = mapped_column(String(16))
    is_attended: Mapped[bool] = mapped_column(default=False)
    batch_id: Mapped[str | None] = mapped_column(String(40))
    entry: Mapped[int | None]
    client_key: Mapped[str | None] = mapped_column(String(200))
    terms: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    worker: Mapped[str | None] = mapped_column(String(80), index=True)
    token: Mapped[int] = mapped_column(default=0)
    deaths: Mapped[int] = mapped_column(default=0)
    progress: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    estimate: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    billed: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]


class AttemptRow(Base):
    """One time that a worker took a job up. number: the job's token then. timings: seconds by stage.

    outcome: how it ended; NULL while it lasts.
    """

    __tablename__ = "attempts"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    worker: Mapped[str] = mapped_column(String(80))
    host: Mapped[str] = mapped_column(String(255))
    device: Mapped[str] = mapped_column(String(40))
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    outcome: Mapped[str | None] = mapped_column(String(16))
    error: Mapped[dict[str, Any] | None] = mapped_column(RedactedJson(none_as_null=True))
    timings: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))


class WorkerRow(Base):
    """A process that takes jobs from the queue.

    place: the machine since it was started, with the home folder; two workers of one place see each other's locks.
    beat: goes up for as long as the process lives. No clock is compared with another's.
    model: whose weights it holds. job_id: what it works on.
    """

    __tablename__ = "workers"

    id: Mapped[str] = mapped_column(String(80), primary_key=True)
    place: Mapped[str] = mapped_column(String(200))
    host: Mapped[str] = mapped_column(String(255))
    pid: Mapped[int]
    pool: Mapped[str | None] = mapped_column(String(16))
    device: Mapped[str] = mapped_column(String(40))
    is_resident: Mapped[bool]
    batch_id: Mapped[str | None] = mapped_column(String(40))
    model: Mapped[str | None] = mapped_column(String(80))
    job_id: Mapped[str | None] = mapped_column(String(40))
    beat: Mapped[int] = mapped_column(BigInteger, default=0)
    started_at: Mapped[datetime]


class BatchRow(Base):
    """One run of a batch file. number: later runs have higher ones.

    path: of the file, absolute. digest: SHA-256 of the file as it was read last.
    """

    __tablename__ = "batches"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    number: Mapped[int] = mapped_column(index=True)
    path: Mapped[str] = mapped_column(Text, index=True)
    digest: Mapped[str] = mapped_column(String(64))
    budget: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    created_at: Mapped[datetime]


class LedgerRow(Base):
    """One order at a provider, or one piece of work of this studio's own machines. It outlives the job it was for.

    number: of the clip in its job, from 1. order_number: counts the orders of that clip. is_left: the job was ordered
    anew or forgotten since, so that this is none of what it costs now. NULL job_id, number: not known any more.
    pool: local or remote. provider: short name; ``local`` for work of our own.
    state: open (sent or about to be), charged, free, or unknown; all but free count with their amount.
    amount: in units of currency; NULL where nobody knows. units: such as 60 of the unit ``credit``.
    source: of the amount: list price or provider. clip_seconds: of output; NULL unless it came.
    work_seconds: for how long a device of ours worked.
    """

    __tablename__ = "ledger"
    __table_args__ = (
        Index("ledger_by_order", "job_id", "number", "order_number", unique=True),
        Index("ledger_by_time", "ordered_at"),
        Index("ledger_of_batch", "batch_id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[str | None] = mapped_column(String(40))
    batch_id: Mapped[str | None] = mapped_column(String(40))
    number: Mapped[int | None]
    order_number: Mapped[int] = mapped_column(default=1)
    is_left: Mapped[bool] = mapped_column(default=False)
    pool: Mapped[str] = mapped_column(String(16))
    provider: Mapped[str] = mapped_column(String(40))
    model: Mapped[str] = mapped_column(String(80))
    task: Mapped[str] = mapped_column(String(40))
    state: Mapped[str] = mapped_column(String(16))
    ordered_at: Mapped[datetime]
    settled_at: Mapped[datetime | None]
    amount: Mapped[float | None] = mapped_column(Double)
    currency: Mapped[str | None] = mapped_column(String(8))
    units: Mapped[float | None] = mapped_column(Double)
    unit: Mapped[str | None] = mapped_column(String(20))
    source: Mapped[str | None] = mapped_column(String(16))
    clip_seconds: Mapped[float | None] = mapped_column(Double)
    work_seconds: Mapped[float | None] = mapped_column(Double)


class GlimpseRow(Base):
    """The latest cheap picture of a clip that is being made; it goes when the job ends."""

    __tablename__ = "glimpses"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int]
    mime_type: Mapped[str] = mapped_column(String(40))
    content: Mapped[bytes] = mapped_column(LargeBinary)


class SwitchRow(Base):
    """Something that is on or off for all, such as ``queue-paused``."""

    __tablename__ = "switches"

    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    is_on: Mapped[bool]


class AssetRow(Base):
    """One sealed file. path: relative to the library folder. frames_sha256: of the raw frames, before the mark.

    parent_id, derivation: the file that this one was made from and how, both NULL for a clip that a model made;
    the first becomes NULL when the parent is removed. ruling: what was decided about its checks; NULL for a derived
    file, and for a clip from before there was anything to decide. master: of a clip that came from a provider, what is
    known of the file as it came (sha256, size_bytes, mime_type, provider ...); it lies beside the sealed one.
    """

    __tablename__ = "assets"
    __table_args__ = (Index("assets_by_time", "created_at"),)

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    job_id: Mapped[str | None] = mapped_column(ForeignKey("jobs.id", ondelete="SET NULL"), index=True)
    parent_id: Mapped[str | None] = mapped_column(ForeignKey("assets.id", ondelete="SET NULL"), index=True)
    derivation: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    master: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
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
