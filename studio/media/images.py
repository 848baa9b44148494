"""Reading still images from anywhere into plain RGB, and fitting them to a model's size."""

from __future__ import annotations

import io
import os
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from studio.errors import UnreadableMedia
from studio.media.files import HEAD_BYTES, open_regular_file, sniff_head
from studio.media.types import Image

if TYPE_CHECKING:
    import PIL.Image

MAX_IMAGE_PIXELS = 64_000_000
# An honest header is found far faster than this.
PATIENCE_SECONDS = 2.0
SLOWEST_BYTES_PER_SECOND = 20e6
# Named, so that a hostile file cannot reach Pillow's rarer decoders (EPS, for one, starts another program).
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "AVIF")
_ALLOWED = "PNG, JPEG, WebP, BMP, TIFF, AVIF or a single-frame GIF"


def read_image(path: Path | str, *, max_pixels: int = MAX_IMAGE_PIXELS, field: str = "image") -> Image:
    """Read a still image as (H, W, 3) uint8 RGB.

    EXIF orientation is applied, an embedded colour profile is converted to sRGB, 16-bit samples are scaled to 8 bits,
    transparent parts are laid on white. max_pixels: checked from the header, before anything is decoded.
    Raises `UnreadableMedia` that blames `field`: missing, empty, damaged, animated, too large, not an image.
    """
    path = Path(path)
    with open_regular_file(path, field=field) as file:
        # The whole file is decoded from memory: a file that another program is still writing cannot change midway.
        limit = max_pixels * 8 + 2**20
        if os.fstat(file.fileno()).st_size > limit:
            raise UnreadableMedia("the file is too large for an image", field=field, got=path,
                                  allowed=f"at most {limit // 2**20} MiB", fix="choose a smaller image")  # fmt: skip
        data = file.read()
    picture = _open(data, path, max_pixels, field)
    try:
        with picture:
            picture.load()
            return _to_rgb(picture, path, field)
    except UnreadableMedia:
        raise
    except Exception as error:  # a decoder fed with damaged data raises nearly anything
        raise _damaged(path, error, field) from error


def fit_image(image: Image, width: int, height: int) -> Image:
    """Scale an (H, W, 3) uint8 image to cover `width` x `height` pixels and cut the centre out of it.

    Lanczos with a support that grows with the reduction (Pillow), so that fine patterns do not alias. The cut is made
    in fractions of a pixel, before scaling, so the centre stays the centre.
    """
    import PIL.Image

    source_height, source_width = image.shape[:2]
    if (source_width, source_height) == (width, height):
        return np.ascontiguousarray(image)
    scale = max(width / source_width, height / source_height)
    left = (source_width - width / scale) / 2
    top = (source_height - height / scale) / 2
    left, top = max(left, 0.0), max(top, 0.0)  # rounding may leave them a hair below
    box = (left, top, source_width - left, source_height - top)
    fitted = PIL.Image.fromarray(image).resize((width, height), PIL.Image.Resampling.LANCZOS, box=box)
    return np.array(fitted)


def _open(data: bytes, path: Path, max_pixels: int, field: str) -> PIL.Image.Image:
    """Read the header and refuse what must not be decoded."""
    import PIL.Image

    stream = _PatientStream(data)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PIL.Image.DecompressionBombWarning)  # our own, lower cap follows
            picture = PIL.Image.open(stream, formats=_FORMATS)
    except TimeoutError as error:
        raise _endless(path, field) from error
    except PIL.Image.DecompressionBombError as error:
        raise _too_many_pixels(path, "far", max_pixels, field) from error
    except Exception as error:  # a decoder fed with damaged data raises nearly anything
        raise _not_an_image(data, path, field) from error
    width, height = picture.size
    if width * height > max_pixels:
        raise _too_many_pixels(path, f"{width} x {height} is", max_pixels, field)
    # A phone's MPO file is a JPEG photo followed by its gain map or second view, not an animation.
    num_frames = 1 if picture.format == "MPO" else _num_frames(picture, path, field)
    if num_frames > 1:
        raise UnreadableMedia(
            f"this is an animated image or has several pages ({num_frames} frames)",
            field=field,
            got=path,
            allowed=_ALLOWED,
            fix="save the frame you want as a PNG, or use the file as a video where the model takes one",
        )
    stream.is_timed = False
    return picture


def _num_frames(picture: PIL.Image.Image, path: Path, field: str) -> int:
    """Return the number of frames or pages, for which Pillow goes through the whole file."""
    try:
        return int(getattr(picture, "n_frames", 1))
    except TimeoutError as error:
        raise _endless(path, field) from error
    except Exception as error:  # a decoder fed with damaged data raises nearly anything
        raise _damaged(path, error, field) from error


class _PatientStream(io.BytesIO):
    """Bytes that end the reading of a header once it has taken longer than an honest one would.

    Pillow looks for the parts of a JPEG one byte at a time; a hostile one would keep it busy for a minute. The time
    allowed grows with the bytes that were really read.
    """

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.is_timed = True
        self._delivered, self._started = 0, time.monotonic()
        self._size = len(data)

    def read(self, size: int | None = -1, /) -> bytes:
        allowed = PATIENCE_SECONDS + min(self._delivered, self._size) / SLOWEST_BYTES_PER_SECOND
        if self.is_timed and time.monotonic() > self._started + allowed:
            raise TimeoutError("reading it takes too long")
        content = super().read(size)
        self._delivered += len(content)
        return content


def _to_rgb(picture: PIL.Image.Image, path: Path, field: str) -> Image:
    import PIL.Image

    picture = _upright(picture)
    profile = picture.info.get("icc_profile")
    if picture.mode == "F":
        raise UnreadableMedia("floating-point pixels have no agreed brightness", field=field, got=path,
                              allowed="8 or 16 bits per channel", fix="save the image as PNG")  # fmt: skip
    if picture.mode.startswith("I"):
        deep = np.clip(np.asarray(picture).astype(np.int64), 0, 65535)
        picture = PIL.Image.fromarray(((deep + 128) // 257).astype(np.uint8))
    if picture.mode == "P":
        picture = picture.convert("RGBA" if "transparency" in picture.info else "RGB")
    if picture.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        alpha = picture.getchannel("A")
        white = PIL.Image.new("RGB", picture.size, "white")
        white.paste(_to_srgb(picture.convert("RGB"), profile), mask=alpha)
        return np.array(white)
    return np.array(_to_srgb(picture, profile))


def _upright(picture: PIL.Image.Image) -> PIL.Image.Image:
    from PIL import ImageOps

    try:
        return ImageOps.exif_transpose(picture)
    except Exception:  # damaged EXIF says nothing about the pixels
        return picture


def _to_srgb(picture: PIL.Image.Image, profile: bytes | None) -> PIL.Image.Image:
    """Convert from the embedded colour profile; one that is damaged or of the wrong kind is ignored, as browsers do."""
    from PIL import ImageCms

    if profile and picture.mode in ("RGB", "L", "CMYK"):
        try:
            source: Any = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(picture, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
            return converted if converted is not None else picture.convert("RGB")
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            pass
    return picture.convert("RGB")


def _too_many_pixels(path: Path, size: str, max_pixels: int, field: str) -> UnreadableMedia:
    return UnreadableMedia(f"{size} too many pixels", field=field, got=path,
                           allowed=f"at most {max_pixels:,} pixels", fix="scale the image down first")  # fmt: skip


def _endless(path: Path, field: str) -> UnreadableMedia:
    return UnreadableMedia("finding the picture in this file takes far longer than in any honest one", field=field,
                           got=path, allowed=_ALLOWED, fix="open it in an image editor and save it again")  # fmt: skip


def _damaged(path: Path, error: Exception, field: str) -> UnreadableMedia:
    what = "cut short" if "truncated" in str(error).lower() else "damaged"
    return UnreadableMedia(f"the image is {what} and cannot be decoded", field=field, got=path, allowed=_ALLOWED,
                           fix="open it in an image editor and save it again")  # fmt: skip


def _not_an_image(data: bytes, path: Path, field: str) -> UnreadableMedia:
    mime_type = sniff_head(data[:HEAD_BYTES])
    if mime_type and mime_type.startswith("image/"):
        if mime_type == "image/heic":
            return UnreadableMedia("HEIC pictures cannot be read", field=field, got=path, allowed=_ALLOWED,
                                   fix="save it as JPEG or PNG")  # fmt: skip
        return _damaged(path, ValueError("header"), field)
    what = f"this is {mime_type}, not an image" if mime_type else "this is not an image"
    return UnreadableMedia(what, field=field, got=path, allowed=_ALLOWED, fix="choose an image file")
