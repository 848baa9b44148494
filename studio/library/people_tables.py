"""The tables of people: who may come in, what is whose, and what somebody keeps for next time."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from studio.library.tables import Base


class AccountRow(Base):
    """Somebody who may come in from elsewhere. role: viewer, creator or admin. password: a salted hash, never itself.

    is_closed: may not come in any more; what is theirs stays theirs.
    """

    __tablename__ = "accounts"

    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    role: Mapped[str] = mapped_column(String(16))
    password: Mapped[str] = mapped_column(String(300))
    is_closed: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime]


class VisitRow(Base):
    """A login that holds. token_sha256: hex digest of the cookie's value, which is kept nowhere."""

    __tablename__ = "visits"

    token_sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    account: Mapped[str] = mapped_column(ForeignKey("accounts.name", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]


class OwnerRow(Base):
    """Whose a job, an asset or a comparison is. A clip has the id of its job, and one row stands for both.

    What has no row belongs to whoever sits at this machine.
    """

    __tablename__ = "owners"

    thing_id: Mapped[str] = mapped_column(String(40), primary_key=True)
    account: Mapped[str] = mapped_column(ForeignKey("accounts.name", ondelete="CASCADE"), index=True)


class PresetRow(Base):
    """Values of a model's form under a name. account: empty for whoever sits at this machine. values: by field."""

    __tablename__ = "presets"
    __table_args__ = (Index("presets_by_name", "account", "model", "name", unique=True),)

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    account: Mapped[str] = mapped_column(String(40), default="")
    model: Mapped[str] = mapped_column(String(80))
    name: Mapped[str] = mapped_column(String(80))
    values: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]
