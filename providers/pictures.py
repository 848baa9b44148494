"""Makes a user's picture or video fit for the way to a provider: turned, converted, scaled down, told nothing more."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from studio.catalog.remote import InputLimits, Remote
from studio.errors import InputRefused, UnsupportedValue
from studio.media import Image, open_regular_file, probe_video, read_image, sniff_mime_type
from studio.request import Conditioning, ResolvedRequest, Role

_QUALITIES = (95, 90, 82, 72)
_SMALLER = 0.8


@dataclass(frozen=True)
class Attachment:
    """A picture or a video as it is sent. width, height: pixels. link: what stands for it in the request.

    link: a data URI, base64, or what an upload gave; empty where the content is sent as a part of a form.
    """

    role: Role
    content: bytes = field(repr=False)
    mime_type: str
    width: int
    height: int
    link: str = field(default="", repr=False)

    @cached_property
    def base64(self) -> str:
        """The content as base64, without a prefix."""
        return base64.b64encode(self.content).decode()

    @property
    def data_uri(self) -> str:
        """The content as a data URI (RFC 2397)."""
        return f"data:{self.mime_type};base64,{self.base64}"


@dataclass(frozen=True, kw_only=True)
class Attachments:
    """What goes along with a request."""

    first: Attachment | None = None
    last: Attachment | None = None
    references: tuple[Attachment, ...] = ()
    video: Attachment | None = None


def attachments_of(
    request: ResolvedRequest, remote: Remote, note: Callable[[str], None], link: Callable[[Attachment], Attachment]
) -> Attachments:
    """Return a request's pictures and video, as the provider takes them.

    note: is told what had to be changed. link: gives each the word that stands for it, uploading it where need be.
    Raises `InputRefused` for what cannot be made to fit.
    """

    def of(item: Conditioning | None) -> Attachment | None:
        if item is None:
            return None
        is_video = item.role is Role.SOURCE_VIDEO
        limits = remote.video if is_video else remote.image
        if limits is None:
            kind = "videos" if is_video else "pictures"
            raise UnsupportedValue(f"{remote.provider_name} takes no {kind} here", field=item.role.value, got=item.path)
        return link(_video(item, limits) if is_video else picture(item, limits, note))

    references = (of(item) for item in request.conditionings if item.role is Role.REFERENCE)
    return Attachments(
        first=of(request.conditioning(Role.FIRST_FRAME)),
        last=of(request.conditioning(Role.LAST_FRAME)),
        references=tuple(item for item in references if item is not None),
        video=of(request.conditioning(Role.SOURCE_VIDEO)),
    )


def picture(item: Conditioning, limits: InputLimits, note: Callable[[str], None]) -> Attachment:
    """Return a picture within the limits. It is written anew, without the place and the camera that its file may tell.

    PNG stays PNG where it fits, all else becomes JPEG. note: is told of a picture that was made smaller.
    """
    image = read_image(item.path, field=item.role.value)
    height, width = image.shape[:2]
    _require_shape(item, width, height, limits)
    small = _within_sides(image, limits)
    wants_png = sniff_mime_type(item.path) == "image/png" or "image/jpeg" not in limits.mime_types
    if wants_png and "image/png" in limits.mime_types:
        content = _written(small, "PNG")
        if len(content) <= limits.max_bytes:
            return _attachment(item, content, "image/png", small, (width, height), note)
    if "image/jpeg" not in limits.mime_types:
        raise _too_large(item, limits)
    while True:
        for quality in _QUALITIES:
            content = _written(small, "JPEG", quality)
            if len(content) <= limits.max_bytes:
                return _attachment(item, content, "image/jpeg", small, (width, height), note)
        if min(small.shape[:2]) * _SMALLER < max(limits.min_side, 16):
            raise _too_large(item, limits)
        small = _scaled(small, _SMALLER)


def _attachment(
    item: Conditioning, content: bytes, mime_type: str, image: Image, size: tuple[int, int], note: Callable[[str], None]
) -> Attachment:
    height, width = image.shape[:2]
    if (width, height) != size:
        note(f"{item.role.value}: {size[0]}x{size[1]} was sent as {width}x{height}")
    return Attachment(item.role, content, mime_type, width, height)


def _require_shape(item: Conditioning, width: int, height: int, limits: InputLimits) -> None:
    ratio = width / height
    if not (limits.min_ratio or 0.0) <= ratio <= (limits.max_ratio or float("inf")):
        allowed = f"width by height from {limits.min_ratio or 0:g} to {limits.max_ratio or float('inf'):g}"
        raise InputRefused("too narrow or too wide", field=item.role.value, got=f"{width}x{height}", allowed=allowed)
    if min(width, height) < limits.min_side:
        allowed = f"sides of at least {limits.min_side} pixels"
        raise InputRefused("the picture is too small", field=item.role.value, got=f"{width}x{height}", allowed=allowed)


def _within_sides(image: Image, limits: InputLimits) -> Image:
    longest = max(image.shape[:2])
    if limits.max_side is None or longest <= limits.max_side:
        return image
    return _scaled(image, limits.max_side / longest)


def _scaled(image: Image, factor: float) -> Image:
    import cv2

    height, width = image.shape[:2]
    size = (max(round(width * factor), 1), max(round(height * factor), 1))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def _written(image: Image, kind: str, quality: int = 95) -> bytes:
    from PIL import Image as Pillow

    stream = io.BytesIO()
    more = {"quality": quality} if kind == "JPEG" else {"compress_level": 6}
    Pillow.fromarray(image).save(stream, kind, **more)
    return stream.getvalue()


def _video(item: Conditioning, limits: InputLimits) -> Attachment:
    mime_type = sniff_mime_type(item.path) or ""
    if mime_type not in limits.mime_types:
        allowed = ", ".join(limits.mime_types)
        raise InputRefused("this kind of video is not taken", field=item.role.value, got=mime_type, allowed=allowed)
    facts = probe_video(item.path)
    if item.path.stat().st_size > limits.max_bytes:
        raise _too_large(item, limits)
    return Attachment(item.role, _bytes_of(item), mime_type, facts.width, facts.height)


def _bytes_of(item: Conditioning) -> bytes:
    with open_regular_file(item.path, field=item.role.value) as stream:
        return stream.read()


def _too_large(item: Conditioning, limits: InputLimits) -> InputRefused:
    return InputRefused(
        "the file is too large to be sent",
        field=item.role.value,
        got=f"{item.path.stat().st_size} bytes",
        allowed=f"up to {limits.max_bytes} bytes",
        fix="make it smaller or shorter",
    )
