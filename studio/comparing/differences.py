"""What a contestant does otherwise than was asked, or than the others: told by comparing, never by trusting."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from studio.catalog.schema import ModelSpec
from studio.comparing.fitting import lines_of, ratio_of, wanted_size
from studio.comparing.wish import as_plain
from studio.provenance.shown import one_line
from studio.request import GenerationRequest, ResolvedRequest, Role
from studio.resolving.clip_length import seconds_of
from studio.resolving.picture_size import names_of

# 832x480 is called 16:9 although it is not quite.
_SAME_SHAPE = 0.04
_SAME_RATE = 0.001
_SIZE_FIELDS = ("width", "height", "resolution", "aspect_ratio")
_OTHER_NAMES = {"last-frame": "last_image"}


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One thing that is not as it was asked for, or where nothing was asked for and the contestants differ.

    field: of the request, or ``size``. asked, made: as JSON holds them, None where there is nothing to name.
    sentence: for people.
    """

    field: str
    asked: Any
    made: Any
    sentence: str

    def as_json(self) -> dict[str, Any]:
        """Return a JSON object, which `from_json` reads."""
        return dict(self.__dict__)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Difference:
        """Rebuild what `as_json` wrote."""
        return cls(field=data["field"], asked=data["asked"], made=data["made"], sentence=data["sentence"])


@dataclass(frozen=True)
class Made:
    """A contestant that can be made: its row, what it was asked for, and what it will do."""

    spec: ModelSpec
    asked: GenerationRequest
    resolved: ResolvedRequest

    @property
    def seconds(self) -> float:
        """How long its clip lasts."""
        return float(seconds_of(self.spec, self.resolved.num_frames, self.resolved.frame_rate))

    @property
    def size(self) -> str:
        """Width and height of its clip, such as ``832x480``."""
        return f"{self.resolved.width}x{self.resolved.height}"


def differences_of(made: Made) -> list[Difference]:
    """Return what a contestant does otherwise than it was asked."""
    tellers = (_ends, _prompts, _size, _shape, _rate, _length, _figures, _seed, _audio, _options)
    found = [item for tell in tellers for item in tell(made)]
    told = {item.field for item in found} | {item.field.partition(" ")[0] for item in found}
    for warning in made.resolved.warnings:
        field = warning.partition(":")[0]
        if _OTHER_NAMES.get(field, field) not in told:
            found.append(Difference(field=field, asked=None, made=None, sentence=warning))
    return found


def differences_between(contestants: Mapping[int, Made]) -> dict[int, list[Difference]]:
    """Return what nobody asked for and the contestants do differently, by the number of each."""
    found: dict[int, list[Difference]] = {number: [] for number in contestants}
    for field, value_of, words in _OPEN:
        values = {number: value_of(made) for number, made in contestants.items() if _is_open(made.asked, field)}
        if len(set(values.values())) < 2:
            continue
        for number, value in values.items():
            others = list(dict.fromkeys(words(other) for other in values.values() if other != value))
            sentence = f"{field}: none was asked for; this one makes {words(value)}, others {' or '.join(others)}"
            found[number].append(Difference(field=field, asked=None, made=value, sentence=sentence))
    for number, twin in _twins(contestants):
        sentence = f"request: it comes out the same as that of entry {twin}: nothing tells the two apart"
        found[number].append(Difference(field="request", asked=None, made=None, sentence=sentence))
    return found


def _twins(contestants: Mapping[int, Made]) -> Iterator[tuple[int, int]]:
    seen: dict[str, int] = {}
    for number, made in contestants.items():
        request = made.resolved.as_json() | {"warnings": []}
        if not made.spec.parameters.seed:  # each time another clip, whatever is asked
            continue
        twin = seen.setdefault(repr(request), number)
        if twin != number:
            yield number, twin


def _is_open(asked: GenerationRequest, field: str) -> bool:
    names = {"size": _SIZE_FIELDS, "duration_seconds": ("duration_seconds", "num_frames")}.get(field, (field,))
    return all(getattr(asked, name) is None for name in names)


_OPEN: tuple[tuple[str, Callable[[Made], Any], Callable[[Any], str]], ...] = (
    ("size", lambda made: made.size, str),
    ("duration_seconds", lambda made: round(made.seconds, 3), lambda value: f"{value:g} s"),
    ("frame_rate", lambda made: round(float(made.resolved.frame_rate), 3), lambda value: f"{value:g} per second"),
    ("generate_audio", lambda made: made.resolved.generate_audio, lambda value: "sound" if value else "no sound"),
)


def _told(field: str, asked: Any, value: Any, words: str) -> Difference:
    sentence = f"{field}: {one_line(asked, 80)} was asked for; {words}"
    return Difference(field=field, asked=as_plain(asked), made=as_plain(value), sentence=sentence)


def _ends(made: Made) -> Iterator[Difference]:
    kept = {item.role for item in made.resolved.conditionings}
    for item in made.asked.conditionings:
        if item.role not in kept:
            field = {Role.FIRST_FRAME: "image", Role.LAST_FRAME: "last_image"}.get(item.role, item.role.value)
            sentence = f"{field}: {made.spec.id} takes none; it was left out"
            yield Difference(field=field, asked=item.path.name, made=None, sentence=sentence)


def _prompts(made: Made) -> Iterator[Difference]:
    for field, words in (("prompt", "reads no text"), ("negative_prompt", "has none")):
        asked, value = getattr(made.asked, field), getattr(made.resolved, field)
        if asked != value:
            sentence = f"{field}: {made.spec.id} {words}; it was left out"
            yield Difference(field=field, asked=asked, made=value or None, sentence=sentence)


def _size(made: Made) -> Iterator[Difference]:
    asked, resolved = made.asked, made.resolved
    sides = ((asked.width, resolved.width), (asked.height, resolved.height))
    if any(wanted not in (None, side) for wanted, side in sides):
        width, height = wanted_size(made.spec, asked)
        yield _told("size", f"{width:.0f}x{height:.0f}", made.size, f"{made.spec.id} makes {made.size}")
    if asked.resolution is None:
        return
    name, _ = names_of(made.spec, resolved.width, resolved.height, resolved.task)
    same = lines_of(asked.resolution) == min(resolved.width, resolved.height)
    if not same and asked.resolution.strip().casefold() != name.strip().casefold():
        words = f"{made.spec.id} makes {name} ({made.size})"
        yield _told("resolution", asked.resolution, name, words)


def _shape(made: Made) -> Iterator[Difference]:
    asked, resolved = made.asked, made.resolved
    wanted = ratio_of(asked.aspect_ratio)
    if wanted is None and asked.width is not None and asked.height is not None:
        wanted = asked.width / asked.height
    ratio = resolved.width / resolved.height
    if wanted is None or abs(ratio / wanted - 1) <= _SAME_SHAPE:
        return
    _, name = names_of(made.spec, resolved.width, resolved.height, resolved.task)
    shown = asked.aspect_ratio or f"{asked.width}:{asked.height}"
    if name.strip() != shown.strip():
        yield _told("aspect_ratio", shown, name, f"this one is {ratio:.3g} times as wide as high ({name})")


def _rate(made: Made) -> Iterator[Difference]:
    wanted, rate = made.asked.frame_rate, float(made.resolved.frame_rate)
    if wanted is not None and abs(float(wanted) - rate) > _SAME_RATE:
        words = f"{made.spec.id} makes {rate:g} frames per second"
        yield _told("frame_rate", f"{float(wanted):g}", f"{rate:g}", words)


def _length(made: Made) -> Iterator[Difference]:
    asked, resolved = made.asked, made.resolved
    is_both = asked.duration_seconds is not None  # then the seconds count
    if not is_both and asked.num_frames not in (None, resolved.num_frames):
        words = f"{made.spec.id} makes {resolved.num_frames} frames, {made.seconds:g} s"
        yield _told("num_frames", asked.num_frames, resolved.num_frames, words)
    wanted = None if asked.duration_seconds is None else float(asked.duration_seconds)
    if wanted is not None and abs(wanted - made.seconds) > _SAME_RATE:
        words = f"{made.spec.id} makes {made.seconds:.4g} s ({resolved.num_frames} frames)"
        yield _told("duration_seconds", f"{wanted:g}", round(made.seconds, 3), words)


def _figures(made: Made) -> Iterator[Difference]:
    for field in ("num_inference_steps", "guidance_scale"):
        asked, value = getattr(made.asked, field), getattr(made.resolved, field)
        if asked is not None and asked != value:
            has = "has no such parameter" if value is None else f"takes {value:g}"
            yield _told(field, asked, value, f"{made.spec.id} {has}")


def _seed(made: Made) -> Iterator[Difference]:
    asked = made.asked.seed
    if not made.spec.parameters.seed:
        sentence = f"seed: {made.spec.id} takes none: its provider draws one, and the clip cannot be made again exactly"
        yield Difference(field="seed", asked=asked, made=None, sentence=sentence)
    elif asked is not None and asked != made.resolved.seed:
        yield _told("seed", asked, made.resolved.seed, f"{made.spec.id} takes {made.resolved.seed}")


def _audio(made: Made) -> Iterator[Difference]:
    asked, value = made.asked.generate_audio, made.resolved.generate_audio
    if asked is not None and asked != value:
        words = "its sound cannot be switched off" if value else "makes no sound"
        yield _told("generate_audio", "sound" if asked else "no sound", value, f"{made.spec.id}: {words}")


def _options(made: Made) -> Iterator[Difference]:
    for name, asked in made.asked.options.items():
        value = made.resolved.options.get(name)
        if name not in made.resolved.options:
            yield _told(f"option {name}", asked, None, f"{made.spec.id} has no such option")
        elif str(asked).strip().lower() != str(value).strip().lower() and not _is_same_number(asked, value):
            yield _told(f"option {name}", asked, value, f"{made.spec.id} takes {one_line(value, 80)}")


def _is_same_number(one: object, other: object) -> bool:
    try:
        return float(str(one)) == float(str(other))
    except ValueError:
        return False


def sentences(found: Sequence[Difference]) -> list[str]:
    """Return differences in words for people."""
    return [item.sentence for item in found]
