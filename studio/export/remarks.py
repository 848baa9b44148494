"""What is said of a clip's mark where there is something to be said."""

from __future__ import annotations

from studio.provenance.watermark import SHORT_BITS

NO_MARK = "watermark: this clip is too small, too short or too flat to hold one that can be read back"
SHORT_MARK = "watermark: this clip has room for a short mark of 24 bits only; it means something in this library alone"
NO_INHERITED_MARK = "watermark: the clip's mark can no longer be read in this format, size or length"


def mark_warnings(watermark_id: str | None) -> tuple[str, ...]:
    """Return what is to be said of a clip's mark. watermark_id: its hex digits, None where there is no mark."""
    if watermark_id is None:
        return (NO_MARK,)
    return (SHORT_MARK,) if len(watermark_id) == SHORT_BITS // 4 else ()
