"""What all tables of the catalog's files have in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Row(BaseModel):
    """A table as it was read: nothing unknown in it, and nobody changes it."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)
