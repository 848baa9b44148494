"""Is the container put together as programs do it: order of its parts, bytes behind its end, brand and codec."""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from studio.inspection.report import ChecklistItem, MediaFacts
from studio.media.boxes import top_level_boxes
from studio.provenance.reading import C2paReading

MAX_BOXES = 10_000
TAIL_BYTES = 2**20

_KNOWN_BOXES = {b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"uuid", b"meta", b"moof", b"mfra", b"sidx",
                b"styp", b"pdin", b"emsg", b"prft", b"udta", b"ssix", b"pnot"}  # fmt: skip
_ONCE = (b"ftyp", b"moov", b"meta", b"mfra", b"pdin")
# ffmpeg's codec names that a brand's programs write (ISO/IEC 14496-12, annex E, and the makers' own documents).
_QUICKTIME_ONLY = {"prores", "qtrle", "dnxhd", "rawvideo", "mjpeg", "svq3"}
_WEBM_CODECS = {"vp8", "vp9", "av1", "libdav1d", "libvpx-vp9"}


def container_items(path: Path, facts: MediaFacts, reading: C2paReading) -> list[ChecklistItem]:
    """Return what the container's build tells. It takes a look at headers and at the end, not at the picture."""
    with open(path, "rb") as file:
        layout = _boxes(file) if facts.container in ("mp4", "mov", "m4a") else _no_boxes()
        tail = _tail(file, facts)
    return [layout, tail, _kind(facts), _record(reading)]


def _item(item_id: str, title: str, problems: list[str], fine: str) -> ChecklistItem:
    return ChecklistItem(
        id=item_id, title=title, result="notice" if problems else "ok", detail="; ".join(problems) or fine
    )


def _no_boxes() -> ChecklistItem:
    return ChecklistItem(id="container.layout", title="order of the parts", result="unknown",
                         detail="this kind of file has no index to look at")  # fmt: skip


def _boxes(file: BinaryIO) -> ChecklistItem:
    kinds = [kind for kind, _start, _size in islice(top_level_boxes(file), MAX_BOXES)]
    problems = []
    if len(kinds) == MAX_BOXES:
        problems.append(f"more than {MAX_BOXES} parts")
    problems += [
        f"{kinds.count(kind)} {kind.decode()} parts where one belongs" for kind in _ONCE if kinds.count(kind) > 1
    ]
    if b"moov" not in kinds:
        problems.append("no index")
    if strange := sorted({kind.decode("ascii", "replace") for kind in set(kinds) - _KNOWN_BOXES})[:5]:
        problems.append(f"parts of a kind that players do not know ({', '.join(strange)})")
    if kinds and kinds[0] not in (b"ftyp", b"wide", b"moov", b"skip", b"free", b"mdat", b"pnot", b"styp"):
        problems.append("it does not begin as such files do")
    is_web = b"mdat" not in kinds or b"moov" not in kinds or kinds.index(b"moov") < kinds.index(b"mdat")
    where = (
        "in front of the data, as for the web" if is_web else "behind the data, as cameras and many programs write it"
    )
    return _item("container.layout", "order of the parts", problems, f"one index, {where}; nothing unusual")


def _tail(file: BinaryIO, facts: MediaFacts) -> ChecklistItem:
    size = file.seek(0, os.SEEK_END)
    end = _stated_end(file, facts.container, size)
    if end is None:
        return ChecklistItem(id="container.tail", title="bytes behind the end", result="unknown",
                             detail="this kind of file does not say where it ends")  # fmt: skip
    if end > size:
        problem = [f"the file is {end - size:,} bytes shorter than it says: it was cut off or not fetched whole"]
    else:
        problem = [f"{size - end:,} bytes stand behind the file's end, where players do not look"] if end < size else []
    return _item("container.tail", "bytes behind the end", problem, "the file ends where it says")


def _stated_end(file: BinaryIO, container: str | None, size: int) -> int | None:
    """Return where the file ends by its own account, None where it gives none."""
    match container:
        case "mp4" | "mov" | "m4a":
            return max((start + length for _kind, start, length in islice(top_level_boxes(file), MAX_BOXES)), default=0)
        case "avi" | "wav" | "webp":
            file.seek(0)
            head = file.read(8)
            claimed = int.from_bytes(head[4:8], "little")
            return None if claimed in (0, 0xFFFFFFFF) or size > 2**30 else 8 + claimed + claimed % 2
        case "png" | "jpeg":
            mark = b"IEND\xaeB`\x82" if container == "png" else b"\xff\xd9"
            file.seek(max(0, size - TAIL_BYTES))
            at = file.read(TAIL_BYTES).rfind(mark)
            return None if at < 0 else max(0, size - TAIL_BYTES) + at + len(mark)
        case "gif":
            file.seek(max(0, size - 1))
            return size if file.read(1) == b";" else None
    return None


def _kind(facts: MediaFacts) -> ChecklistItem:
    """Compare the brand with the codec inside it."""
    title, brand = "brand and codec", dict(facts.tags).get("major_brand", "").strip()
    if facts.codec is None:
        return ChecklistItem(id="container.kind", title=title, result="unknown", detail="the codec is not known")
    problems = []
    if facts.container == "mp4" and facts.codec in _QUICKTIME_ONLY:
        problems.append(f"{facts.codec} in an MP4 is something that few programs write")
    if facts.container == "webm" and facts.codec not in _WEBM_CODECS:
        problems.append(f"{facts.codec} does not belong into WebM")
    if facts.container == "mov" and any(name == "encoder" and "lavf" in value.lower() for name, value in facts.tags):
        problems.append("a QuickTime file that ffmpeg wrote, not a camera or an editor")
    named = f"{facts.container} ({brand})" if brand else str(facts.container)
    return _item("container.kind", title, problems, f"{facts.codec} in {named} fits together")


def _record(reading: C2paReading) -> ChecklistItem:
    title = "Content Credentials"
    if reading.state in ("trusted", "valid"):
        broken = [f"a file that went into it is not as its record says: {item}" for item in reading.broken_ingredients]
        return _item("credentials", title, broken, "a signed record fits the file")
    if reading.state == "invalid":
        return ChecklistItem(id="credentials", title=title, result="notice",
                             detail=reading.problem or "the record does not hold")  # fmt: skip
    return ChecklistItem(id="credentials", title=title, result="unknown",
                         detail="no signed record; most files carry none, however they were made")  # fmt: skip
