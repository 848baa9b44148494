"""Are the times and names that programs wrote into the header plausible."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from studio.inspection.report import ChecklistItem, MediaFacts
from studio.provenance.reading import C2paReading

# One day of grace: a camera's clock may run on local time.
_GRACE = timedelta(days=1)
_FFMPEG = ("lavf", "lavc", "x264", "x265")
_EDITORS = ("adobe", "premiere", "after effects", "photoshop", "davinci", "resolve", "final cut", "capcut", "imovie",
            "handbrake", "kdenlive", "shotcut", "openshot", "vegas", "filmora", "gimp", "affinity", "canva", "inshot",
            "kinemaster", "lightworks", "avid", "blender", "movavi", "camtasia", "obs")  # fmt: skip
_TIME_TAGS = ("creation_time", "date_time", "creation time", "date", "video:creation_time")
_NAME_TAGS = ("encoder", "software", "handler_name", "video:encoder", "video:handler_name", "comment",
              "com.apple.quicktime.software", "writing_application", "encoded_by")  # fmt: skip


def metadata_items(facts: MediaFacts, reading: C2paReading) -> list[ChecklistItem]:
    """Return what the tags tell; anybody can write anything into them, so they are hints at best."""
    return [_time(facts), _software(facts, is_sealed=reading.state in ("trusted", "valid"))]


def _time(facts: MediaFacts) -> ChecklistItem:
    stated = next((value for name, value in facts.tags if name in _TIME_TAGS), None)
    moment = None if stated is None else _parse(stated)
    title, item_id = "time of creation", "metadata.time"
    if stated is None or moment is None:
        words = "no time is stated, as most programs leave it" if stated is None else "the stated time cannot be read"
        return ChecklistItem(id=item_id, title=title, result="unknown", detail=words)
    if moment > datetime.now(UTC) + _GRACE:
        return ChecklistItem(id=item_id, title=title, result="notice", detail=f"it lies in the future: {stated}")
    if moment.year <= 1970:
        return ChecklistItem(id=item_id, title=title, result="notice",
                             detail=f"{stated} is what a clock says that was never set")  # fmt: skip
    return ChecklistItem(id=item_id, title=title, result="ok", detail=f"{stated}; anybody can write any time there")


def _parse(text: str) -> datetime | None:
    spelled = re.sub(r"^(\d{4}):(\d\d):(\d\d)", r"\1-\2-\3", text)  # EXIF writes a date with colons
    try:
        moment = datetime.fromisoformat(spelled)
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _software(facts: MediaFacts, *, is_sealed: bool) -> ChecklistItem:
    told_all = [value for name, value in facts.tags if name in _NAME_TAGS and "handler" not in value.lower()]
    named = list(dict.fromkeys(told_all))[:3]
    title, item_id = "programs that wrote it", "metadata.software"
    if not named:
        return ChecklistItem(id=item_id, title=title, result="unknown", detail="none is named")
    told = ", ".join(named)
    low = told.lower()
    if is_sealed:
        return ChecklistItem(id=item_id, title=title, result="ok", detail=f"{told}, before it was signed")
    if any(name in low for name in _EDITORS):
        return ChecklistItem(id=item_id, title=title, result="notice", detail=f"an editing program was used: {told}")
    if any(name in low for name in _FFMPEG):
        return ChecklistItem(id=item_id, title=title, result="notice",
                             detail=f"last written by ffmpeg ({told}), as many sites and programs do: "
                             "it is not what came out of a camera")  # fmt: skip
    return ChecklistItem(id=item_id, title=title, result="ok", detail=told)
