"""From an entry of OpenRouter's list of models to a row of the catalog; an entry that cannot be trusted becomes none.

The list is described at https://openrouter.ai/docs/api/api-reference/video-generation/list-videos-models; the names of
prices are read as far as they are understood.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from datetime import date
from itertools import pairwise
from typing import Any

from studio.discovery import LeftOut, Listing
from studio.errors import ProtocolError
from studio.request import Task

MAX_ENTRIES, MAX_ITEMS, MAX_SECONDS, MAX_PRICE = 1000, 100, 600, 100.0
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,60}/[A-Za-z0-9][A-Za-z0-9._:-]{0,80}")
_SIZE = re.compile(r"([1-9]\d{1,4})x([1-9]\d{1,4})")
_RATIO = re.compile(r"([1-9]\d?):([1-9]\d?)")
_SIDES = {"2K": 1440, "4K": 2160}
_MAX_SIDE = 16384
_NEAR = 0.06
_FIRST, _LAST = "first_frame", "last_frame"
_TEXT = (Task.TEXT_TO_VIDEO,)
_FRAMES = (Task.IMAGE_TO_VIDEO, Task.FIRST_LAST_FRAME_TO_VIDEO)
_TIER = r"(?:[_-](?P<tier>\d{3,4}p|\dk))?"
_SOUND = r"(?:_(?P<sound>with|without)_audio)?"
_PRICES = (
    (re.compile(rf"(?:(?P<task>text|image)_to_video_)?duration_seconds{_SOUND}{_TIER}"), 1.0),
    (re.compile(rf"per-video-second{_TIER}"), 1.0),
    (re.compile(rf"cents_per_(?:second_output|video_output_second){_SOUND}{_TIER}"), 0.01),
)


class _Unusable(Exception):
    """Why an entry becomes no row."""


def listing_of(data: Mapping[str, Any], base: str, today: date) -> Listing:
    """Return the rows that an answer leads to. base: id of the row that they extend. Raises `ProtocolError`."""
    entries = data.get("data")
    if not isinstance(entries, list) or len(entries) > MAX_ENTRIES:
        got = f"{len(entries)} entries" if isinstance(entries, list) else type(entries).__name__
        raise ProtocolError("the list of models is none", got=got, allowed=f"up to {MAX_ENTRIES} entries")
    rows: list[Mapping[str, Any]] = []
    left_out: list[LeftOut] = []
    for number, entry in enumerate(entries, 1):
        try:
            rows.append(row_of(entry, base, today))
        except _Unusable as reason:
            left_out.append(LeftOut(name=_name_of(entry) or f"entry {number}", reason=str(reason)))
    return Listing(rows=tuple(rows), left_out=tuple(left_out))


def row_of(entry: object, base: str, today: date) -> dict[str, Any]:
    """Return one row, as it is written into a catalog file."""
    if not isinstance(entry, dict):
        raise _Unusable("it is no object")
    name = entry.get("id")
    if not isinstance(name, str) or not _ID.fullmatch(name):
        raise _Unusable("its id is none")
    if entry.get("upscale_factor") is not None or entry.get("creativity") is not None:
        raise _Unusable("it enlarges videos and makes none")
    title = _words(_field(entry, "name", str), 80) or name
    formats = _formats(entry)
    durations, gaps = _durations(entry)
    has_sound = bool(_field(entry, "generate_audio", bool | None))
    prices = _prices(entry, today)
    choice = {"type": "choice", "default": name, "choices": [name]}
    return {
        "id": "openrouter-" + re.sub(r"[/:]", "-", name.lower()),
        "extends": base,
        "name": f"{title} (OpenRouter)",
        "summary": f"{title}, as OpenRouter listed it on {today.isoformat()}.",
        "tasks": [task.value for task in _tasks(entry)],
        "sources": [f"https://openrouter.ai/{name}"],
        "checked_on": today,
        "remote": {
            "model": name,
            "audio": "optional" if has_sound else "none",
            "exclusions": gaps or None,
            "prices": prices,
        },
        "parameters": {
            "seed": bool(_field(entry, "seed", bool | None)),
            "audio": has_sound,
            "durations": durations,
            "formats": formats or None,
            "options": {"model": choice},
        },
    }


def _field(entry: Mapping[str, Any], name: str, kind: Any) -> Any:
    """Return a field that the documentation requires, which may be null where it may."""
    if name not in entry or not isinstance(entry[name], kind):
        raise _Unusable(f"{name} is missing, or not what it may be")
    return entry[name]


def _list(entry: Mapping[str, Any], name: str, kind: type) -> list[Any]:
    """Return a list that may be null, as the same as an empty one."""
    found = _field(entry, name, list | None) or []
    if len(found) > MAX_ITEMS or not all(type(item) is kind for item in found):
        raise _Unusable(f"{name} is not what it may be")
    return list(dict.fromkeys(found))


def _tasks(entry: Mapping[str, Any]) -> list[Task]:
    frames = _list(entry, "supported_frame_images", str)
    tasks = [Task.TEXT_TO_VIDEO]
    if _FIRST in frames:
        tasks += [Task.IMAGE_TO_VIDEO, *([Task.FIRST_LAST_FRAME_TO_VIDEO] if _LAST in frames else [])]
    return [*tasks, Task.REFERENCE_TO_VIDEO]


def _durations(entry: Mapping[str, Any]) -> tuple[dict[str, int] | None, list[dict[str, Any]]]:
    """Return the seconds as a range in steps, and what lies between its ends and is not allowed."""
    seconds = sorted(_list(entry, "supported_durations", int))
    if not seconds:
        return None, []
    if not 1 <= seconds[0] <= seconds[-1] <= MAX_SECONDS:
        raise _Unusable("supported_durations are absurd")
    steps = [after - before for before, after in pairwise(seconds)]
    step = math.gcd(*steps) or 1
    words = f"clips of {', '.join(map(str, seconds[:-1]))} or {seconds[-1]} seconds are all that it makes"
    gaps = [
        {"reason": words, "longer_than_seconds": before, "shorter_than_seconds": before + wide}
        for before, wide in zip(seconds, steps, strict=False)
        if wide > step
    ]
    default = min(seconds, key=lambda number: (abs(number - 5), number))
    return {"min": seconds[0], "max": seconds[-1], "default": default, "step": step, "offset": seconds[0]}, gaps


def _formats(entry: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the pictures that it makes, 720p in 16:9 first; none where the list does not tell."""
    sizes = [_size(text) for text in _list(entry, "supported_sizes", str)]
    tiers = _list(entry, "supported_resolutions", str)
    ratios = [_ratio(text) for text in _list(entry, "supported_aspect_ratios", str)]
    found: dict[tuple[int, int], dict[str, Any]] = {}
    for tier in tiers:
        side = _SIDES.get(tier) or (int(tier[:-1]) if re.fullmatch(r"[1-9]\d{2,3}p", tier) else 0)
        for ratio in ratios if side else []:
            width, height = _pixels(side, ratio, sizes)
            form = {"width": width, "height": height, "resolution": tier, "aspect_ratio": f"{ratio[0]}:{ratio[1]}"}
            found.setdefault((width, height), form)
    if not found:
        found = {size: _by_size(*size) for size in sizes}
    if not found and (tiers or ratios):
        raise _Unusable("its picture sizes are not understood")
    return sorted(found.values(), key=lambda form: (form["resolution"], form["aspect_ratio"]) != ("720p", "16:9"))


def _by_size(width: int, height: int) -> dict[str, Any]:
    divisor = math.gcd(width, height)
    ratio = f"{width // divisor}:{height // divisor}"
    tier, sent_as = f"{min(width, height)}p", f"{width}x{height}"
    return {"width": width, "height": height, "resolution": tier, "aspect_ratio": ratio, "sent_as": sent_as}


def _pixels(side: int, ratio: tuple[int, int], sizes: Iterable[tuple[int, int]]) -> tuple[int, int]:
    """Return the listed size with this shorter side and about this ratio, else the one that follows from both."""
    wanted = ratio[0] / ratio[1]
    fitting = [size for size in sizes if min(size) == side and abs(size[0] / size[1] / wanted - 1) < _NEAR]
    if fitting:
        return min(fitting, key=lambda size: abs(size[0] / size[1] - wanted))
    longer = 2 * round(side * max(wanted, 1 / wanted) / 2)
    return (longer, side) if wanted >= 1 else (side, longer)


def _size(text: str) -> tuple[int, int]:
    found = _SIZE.fullmatch(text)
    if found is None or max(int(found[1]), int(found[2])) > _MAX_SIDE or min(int(found[1]), int(found[2])) < 16:
        raise _Unusable("supported_sizes are absurd")
    return int(found[1]), int(found[2])


def _ratio(text: str) -> tuple[int, int]:
    found = _RATIO.fullmatch(text)
    if found is None:
        raise _Unusable("supported_aspect_ratios are not what they may be")
    return int(found[1]), int(found[2])


def _prices(entry: Mapping[str, Any], today: date) -> dict[str, Any] | None:
    """Return the prices in US dollars; None where none of them is by the second, as with prices by the token."""
    given = entry.get("pricing_skus") or {}
    if not isinstance(given, dict) or len(given) > MAX_ITEMS:
        raise _Unusable("pricing_skus are not what they may be")
    amounts = {str(name): _amount(value) for name, value in given.items()}
    tiers = {tier.lower(): tier for tier in _list(entry, "supported_resolutions", str)}
    priced = _priced_tasks(amounts)
    rules = [rule for name, amount in amounts.items() if (rule := _rule(name, amount, tiers, priced))]
    if not rules:
        return None
    return {
        "currency": "USD",
        "rules": sorted(rules, key=lambda rule: -len(rule)),  # what is said of the fewest clips comes first
        "minimum": round(amounts.get("minimum_cents_per_generation", 0.0) * 0.01, 6),
        "as_of": today,
        "evidence": "OpenRouter's list of models",
    }


def _rule(name: str, amount: float, tiers: Mapping[str, str], priced: list[str]) -> dict[str, Any] | None:
    for pattern, factor in _PRICES:
        found = pattern.fullmatch(name)
        if found is None:
            continue
        said = found.groupdict()
        rule: dict[str, Any] = {"amount": round(amount * factor, 8)}
        tasks = {"text": _TEXT, "image": _FRAMES}.get(said.get("task") or "")
        if tasks is not None or priced:
            rule["tasks"] = [task.value for task in tasks] if tasks is not None else priced
        if tier := said.get("tier"):
            rule["resolutions"] = [tiers.get(tier.lower(), tier)]
        if sound := said.get("sound"):
            rule["with_audio"] = sound == "with"
        return rule
    return None


def _priced_tasks(amounts: Mapping[str, float]) -> list[str]:
    """Return the tasks of which seconds are the whole price; empty for all. Pictures may cost extra, by the piece."""
    if any("image_input" in name for name, amount in amounts.items() if amount):
        return [task.value for task in _TEXT]
    if any("reference" in name for name, amount in amounts.items() if amount):
        return [task.value for task in (*_TEXT, *_FRAMES)]
    return []


def _amount(value: object) -> float:
    try:
        amount = math.nan if isinstance(value, bool) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        raise _Unusable("a price is no number") from None
    if not 0 <= amount <= MAX_PRICE * 100:
        raise _Unusable("a price is absurd")
    return amount


def _name_of(entry: object) -> str:
    return _words(entry.get("id", ""), 60) if isinstance(entry, dict) else ""


def _words(text: object, limit: int) -> str:
    """Return a text in one line, without what cannot be printed."""
    shown = "".join(letter if letter.isprintable() else " " for letter in text) if isinstance(text, str) else ""
    return " ".join(shown.split())[:limit]
