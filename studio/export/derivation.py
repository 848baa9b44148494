"""What is to be made of a sealed clip: another format, a part, a picture, its sound. Checked before any work."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from studio.errors import UnsupportedValue
from studio.export.formats import FORMATS, WEBP_STILL, Format
from studio.library.asset import Asset
from studio.provenance.origin import Origin

# Types from which others are made: whole clips with their credentials inside.
_PARENT_TYPES = ("video/mp4", "video/quicktime")
_MIN_SIDE = 16
_MOST_ENLARGED = 4
_MAX_RATE_FACTOR = 8


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What the asker wants changed; None leaves it as it is.

    frame: index of the one picture wanted, 0 for the first, -1 for the last. start, end: seconds of the part wanted.
    width: pixels; the height follows. frame_rate: frames per second.
    """

    frame: int | None = None
    start: Fraction | None = None
    end: Fraction | None = None
    width: int | None = None
    frame_rate: Fraction | None = None

    @property
    def is_empty(self) -> bool:
        return self == Wish()


@dataclass(frozen=True, kw_only=True)
class Derivation:
    """A wish that can be granted, with nothing left open.

    width, height: pixels of the result, 0 for sound. frame: index of the picture, None for all of the part.
    start, end: seconds; end None is the end of the clip. frame_rate: frames per second of the result.
    is_trimmed: something is cut off. is_retimed: the same length with more or fewer frames.
    notes: what the asker should know.
    """

    format: Format
    origin: Origin
    width: int
    height: int
    frame: int | None
    start: Fraction
    end: Fraction | None
    frame_rate: Fraction
    is_trimmed: bool
    is_resized: bool
    is_retimed: bool
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return what the library keeps of it."""
        return {
            "origin": self.origin.value,
            "mime_type": self.format.mime_type,
            "frame": self.frame,
            "start": str(self.start),
            "end": None if self.end is None else str(self.end),
            "width": self.width,
            "height": self.height,
            "frame_rate": str(self.frame_rate),
        }


def format_of(suffix: str) -> Format:
    """Return the format of a file name's suffix. Raises `UnsupportedValue`."""
    try:
        return FORMATS[suffix.lower()]
    except KeyError:
        raise UnsupportedValue("this is no format that can be exported", field="output", got=suffix or "no ending",
                               allowed=", ".join(FORMATS)) from None  # fmt: skip


def is_copy(asset: Asset, wanted: Format, wish: Wish) -> bool:
    """Say whether the sealed file itself is what is asked for."""
    return wish.is_empty and wanted.mime_type == asset.mime_type


def plan(asset: Asset, wanted: Format, wish: Wish) -> Derivation:
    """Settle what is to be made of an asset. Raises `UnsupportedValue`, naming the option and what is allowed."""
    if asset.mime_type not in _PARENT_TYPES:
        whole = f"asset {asset.parent_id}" if asset.parent_id else "the clip it came from"
        raise UnsupportedValue(f"a {asset.mime_type} file can only be copied as it is", field="output",
                               got=wanted.suffix, allowed=f"*{asset.path.suffix}",
                               fix=f"export {wanted.suffix} from {whole}")  # fmt: skip
    if wanted.kind == "animation" and wish.frame is not None and wanted.mime_type == "image/webp":
        wanted = WEBP_STILL
    _refuse_what_does_not_fit(wanted, wish)
    start, end = _part(asset, wish)
    is_trimmed = start > 0 or end is not None
    if wanted.kind == "sound":
        return Derivation(format=wanted, origin=Origin.DERIVED_SOUND, width=0, height=0, frame=None, start=start,
                          end=end, frame_rate=asset.frame_rate, is_trimmed=is_trimmed, is_resized=False,
                          is_retimed=False)  # fmt: skip
    width, height, size_notes = _size(asset, wanted, wish.width)
    frame_rate, rate_notes = _rate(asset, wanted, wish.frame_rate)
    if wanted.kind != "picture":
        _check_length(wanted, ((end or _seconds(asset)) - start) * frame_rate)
    return Derivation(
        format=wanted,
        origin=_origin(wanted, is_trimmed=is_trimmed),
        width=width,
        height=height,
        frame=_frame(asset, wish.frame) if wanted.kind == "picture" else None,
        start=start,
        end=end,
        frame_rate=frame_rate,
        is_trimmed=is_trimmed,
        is_resized=(width, height) != (asset.width, asset.height),
        is_retimed=frame_rate != asset.frame_rate,
        notes=size_notes + rate_notes,
    )


def _refuse_what_does_not_fit(wanted: Format, wish: Wish) -> None:
    picture, timed = wanted.kind == "picture", wanted.kind in ("video", "animation")
    rules = (
        ("frame", wish.frame, picture, "a still picture: .png, .jpg or .webp"),
        ("start", wish.start, not picture, "a clip or its sound; --frame picks a picture"),
        ("end", wish.end, not picture, "a clip or its sound; --frame picks a picture"),
        ("width", wish.width, wanted.kind != "sound", "a clip or a picture"),
        ("frame_rate", wish.frame_rate, timed, "a clip"),
    )
    for name, value, fits, what in rules:
        if value is not None and not fits:
            raise UnsupportedValue("this option does not go with the format", field=name, got=wanted.suffix,
                                   allowed=what)  # fmt: skip


def _part(asset: Asset, wish: Wish) -> tuple[Fraction, Fraction | None]:
    length, beat = _seconds(asset), 1 / asset.frame_rate
    start = wish.start or Fraction(0)
    if not 0 <= start <= length - beat:
        raise UnsupportedValue("outside the clip", field="start", got=f"{float(start):g} s",
                               allowed=f"0 to {float(length - beat):.3f} s")  # fmt: skip
    if wish.end is not None and not start < wish.end <= length + Fraction(1, 1000):
        raise UnsupportedValue("outside the clip", field="end", got=f"{float(wish.end):g} s",
                               allowed=f"more than {float(start):g} and at most {float(length):.3f} s")  # fmt: skip
    end = None if wish.end is None or wish.end >= length else wish.end
    if end is not None and (end - start) < beat:
        raise UnsupportedValue("this part is shorter than one frame", field="end", got=f"{float(end):g} s",
                               allowed=f"at least {float(start + beat):.3f} s")  # fmt: skip
    return start, end


def _size(asset: Asset, wanted: Format, width: int | None) -> tuple[int, int, tuple[str, ...]]:
    largest = min(wanted.max_side, _MOST_ENLARGED * asset.width)
    if width is not None and not _MIN_SIDE <= width <= largest:
        raise UnsupportedValue("out of range", field="width", got=width, allowed=f"{_MIN_SIDE} to {largest}")
    chosen = width or asset.width
    notes: tuple[str, ...] = ()
    longer = max(asset.width, asset.height)
    if width is None and longer > wanted.max_side:
        chosen = asset.width * wanted.max_side // longer
        notes = (f"scaled down to {chosen} pixels wide, as {wanted.suffix[1:].upper()} files grow too large",)
    if chosen == asset.width:
        return asset.width, asset.height, ()
    height = max(round(Fraction(asset.height * chosen, asset.width)), 1)
    if wanted.kind == "video":  # 4:2:0 needs even sides
        chosen, height = chosen - chosen % 2, max(height - height % 2, 2)
    if height > wanted.max_side or height < _MIN_SIDE:
        raise UnsupportedValue("the height that follows from it is out of range", field="width", got=width,
                               allowed=f"a height of {_MIN_SIDE} to {wanted.max_side}")  # fmt: skip
    return chosen, height, notes


def _rate(asset: Asset, wanted: Format, frame_rate: Fraction | None) -> tuple[Fraction, tuple[str, ...]]:
    if frame_rate is None and asset.frame_rate <= wanted.max_rate:
        return asset.frame_rate, ()
    if frame_rate is None:
        halved = asset.frame_rate
        while halved > wanted.max_rate:
            halved /= 2
        shown, of = float(halved), float(asset.frame_rate)
        return halved, (f"{wanted.suffix[1:].upper()} plays {shown:g} frames per second of the clip's {of:g}",)
    most = min(wanted.max_rate, asset.frame_rate * _MAX_RATE_FACTOR)
    if not Fraction(1, 10) <= frame_rate <= most:
        raise UnsupportedValue("out of range", field="frame_rate", got=frame_rate, allowed=f"0.1 to {float(most):g}")
    return frame_rate, ()


def _check_length(wanted: Format, num_frames: Fraction) -> None:
    if wanted.max_frames is not None and num_frames > wanted.max_frames:
        raise UnsupportedValue(f"too many frames for one {wanted.suffix} file", field="output",
                               got=f"{int(num_frames)} frames", allowed=f"at most {wanted.max_frames}",
                               fix="shorten it with --start and --end, or lower --frame-rate")  # fmt: skip


def _frame(asset: Asset, frame: int | None) -> int:
    if frame is None:
        return asset.num_frames // 2
    if not -1 <= frame < asset.num_frames:
        raise UnsupportedValue("the clip has no such frame", field="frame", got=frame,
                               allowed=f"0 to {asset.num_frames - 1}")  # fmt: skip
    return asset.num_frames - 1 if frame == -1 else frame


def _origin(wanted: Format, *, is_trimmed: bool) -> Origin:
    if wanted.kind == "picture":
        return Origin.DERIVED_STILL
    if wanted.kind == "animation":
        return Origin.ANIMATED_PICTURE
    return Origin.TRIMMED if is_trimmed else Origin.CONVERTED


def _seconds(asset: Asset) -> Fraction:
    return asset.num_frames / asset.frame_rate
