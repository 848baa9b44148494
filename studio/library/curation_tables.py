"""The tables of what people add to their clips: ratings, captions, tags, collections, and what is in the bin."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from studio.library.tables import Base


class NoteRow(Base):
    """What people say of an asset. rating: 1 .. 5. binned_at: when it was put into the bin, NULL if it is not there."""

    __tablename__ = "notes"

    asset_id: Mapped[str] = mapped_column(ForeignKey("assets.id", ondelete="CASCADE"), primary_key=True)
    rating: Mapped[int | None]
    caption: Mapped[str] = mapped_column(Text, default="")
    binned_at: Mapped[datetime | None] = mapped_column(index=True)


class TagRow(Base):
    """One tag of one asset, in lower case."""

    __tablename__ = "tags"

    asset_id: Mapped[str] = mapped_column(ForeignKey("assets.id", ondelete="CASCADE"), primary_key=True)
    tag: Mapped[str] = mapped_column(String(40), primary_key=True, index=True)


class CollectionRow(Base):
    """A named set of assets."""

    __tablename__ = "collections"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    name: Mapped[str] = mapped_column(String(80), unique=True)
    created_at: Mapped[datetime]


class CollectedRow(Base):
    """One asset in one collection."""

    __tablename__ = "collected"

    collection_id: Mapped[str] = mapped_column(ForeignKey("collections.id", ondelete="CASCADE"), primary_key=True)
    asset_id: Mapped[str] = mapped_column(ForeignKey("assets.id", ondelete="CASCADE"), primary_key=True, index=True)
    added_at: Mapped[datetime]
