"""The latest cheap picture of a clip in the making, where every front end of this library finds it."""

from __future__ import annotations

import io
from dataclasses import dataclass

import PIL.Image
import sqlalchemy as sa
from sqlalchemy.orm import Session

from studio.library.store import Store
from studio.library.tables import GlimpseRow
from studio.media import Preview

_QUALITY = 80
_MAX_SIDE = 512


@dataclass(frozen=True, kw_only=True)
class Glimpse:
    """A picture of an unfinished clip. number: goes up with each. content: the bytes of a file of this type."""

    number: int
    mime_type: str
    content: bytes


def drawn(preview: Preview) -> bytes:
    """Return a picture as a small JPEG file: a larger one is thinned out to 512 pixels.

    It comes from a model, perhaps of a plug-in: raises whatever comes of one that is no picture.
    """
    step = -(-max(preview.image.shape[:2]) // _MAX_SIDE)
    stream = io.BytesIO()
    PIL.Image.fromarray(preview.image[::step, ::step]).save(stream, "JPEG", quality=_QUALITY)
    return stream.getvalue()


def write_glimpse(session: Session, job_id: str, content: bytes, number: int) -> None:
    """Put a picture in the place of the job's last one. content: as `drawn` returned it."""
    session.merge(GlimpseRow(job_id=job_id, number=number, mime_type="image/jpeg", content=content))


def forget_glimpse(store: Store, job_id: str) -> None:
    """Delete the picture of a job that is no longer worked on."""
    with store.transaction() as session:
        session.execute(sa.delete(GlimpseRow).where(GlimpseRow.job_id == job_id))


def glimpse(store: Store, job_id: str) -> Glimpse | None:
    """Return the latest picture of a job; None where there is none."""
    with store.database.read() as session:
        row = session.get(GlimpseRow, job_id)
        return None if row is None else Glimpse(number=row.number, mime_type=row.mime_type, content=row.content)


def glimpse_numbers(store: Store, job_ids: list[str]) -> dict[str, int]:
    """Return the numbers of the latest pictures of these jobs; those without one are left out."""
    query = sa.select(GlimpseRow.job_id, GlimpseRow.number).where(GlimpseRow.job_id.in_(job_ids))
    with store.database.read() as session:
        return {row.job_id: row.number for row in session.execute(query)}
