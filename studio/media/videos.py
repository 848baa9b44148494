"""Reading video files of any kind: facts, frames with true times, and small clips whole."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from studio.errors import UnreadableMedia
from studio.media.animations import iter_webp_frames
from studio.media.containers import CONTAINERS, VIDEO_FORMATS, open_container, undecodable
from studio.media.files import has_index_first, is_cut_short, open_regular_file, sniff_mime_type
from studio.media.sound import read_audio
from studio.media.types import FrameClip, Image, TimedFrame, VideoFacts

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

MAX_FRAME_PIXELS = 8192 * 8192
MAX_CLIP_FRAMES = 2_000
MAX_CLIP_BYTES = 2 * 2**30

_HD_HEIGHT, _HD_WIDTH = 576, 1280


def probe_video(path: Path | str, *, field: str = "video") -> VideoFacts:
    """Return the facts of a video file; its first frame is decoded to make sure that it can be.

    Raises `UnreadableMedia` that blames `field`.
    """
    path = Path(path)
    with open_container(path, field=field) as (container, mime_type):
        stream = video_stream(container, path, field)
        frame = next(_decode(container, stream, path, field), None)
        if frame is None:
            raise undecodable(path, 0, field)
        with open_regular_file(path, field=field) as file:
            faststart = CONTAINERS[mime_type][1] == "mov" and has_index_first(file)
        turned = orientation(frame)
        return VideoFacts(
            container=CONTAINERS[mime_type][0],
            codec=stream.codec_context.codec.canonical_name,
            width=frame.height if turned.is_transposed else frame.width,
            height=frame.width if turned.is_transposed else frame.height,
            frame_rate=stated_rate(stream),
            num_frames=stream.frames or None,
            duration_seconds=duration_seconds(container, stream),
            pixel_format=stream.codec_context.pix_fmt or frame.format.name,
            has_audio=bool(container.streams.audio),
            rotation=int(frame.rotation) % 360,
            faststart=faststart,
        )


def iter_frames(path: Path | str, *, max_frames: int | None = None, field: str = "video") -> Iterator[TimedFrame]:
    """Yield the frames of a video file in the order of their display times, one in memory at a time.

    Rotation and mirroring are applied; transparent parts are laid on white; colours follow the matrix and range that
    the file states, and where it states no matrix BT.709 from 1280 wide or 577 high and BT.601 below, as players do.
    HDR is reduced to 8 bits without tone mapping. WebP pictures are read as well, a still one as a clip of one frame.
    Raises `UnreadableMedia`, after the frames before the damage.
    """
    path = Path(path)
    if sniff_mime_type(path, field=field) == "image/webp":
        yield from islice(iter_webp_frames(path, field=field), max_frames)
        return
    count = 0
    with open_container(path, field=field) as (container, mime_type):
        stream = video_stream(container, path, field)
        tick = stream.time_base or Fraction(1, 1000)
        step = float(1 / stated_rate(stream))
        first_pts: int | None = None
        last = -step
        shape: tuple[int, ...] | None = None
        turned: Orientation | None = None
        rotation = 0.0
        for frame in _decode(container, stream, path, field):
            first_pts = frame.pts if first_pts is None else first_pts
            # A frame without a time stamp follows the one before at the average rate.
            last = last + step if frame.pts is None or first_pts is None else float((frame.pts - first_pts) * tick)
            if turned is None or frame.rotation != rotation:
                # Looked up once: PyAV's side data holds on to its frame, and each frame would wait for the collector.
                turned, rotation = orientation(frame), frame.rotation
            image = np.ascontiguousarray(turned.apply(to_rgb(frame)))
            if shape is not None and image.shape != shape:
                raise UnreadableMedia(f"the picture changes its size at frame {count}", field=field, got=path,
                                      allowed="one size throughout", fix="re-encode it at one size")  # fmt: skip
            shape = image.shape
            count += 1
            yield TimedFrame(image=image, time_seconds=last)
            if count == max_frames:
                return
    with open_regular_file(path, field=field) as file:
        if count == 0 or is_cut_short(file, mime_type):
            raise undecodable(path, count, field)


def read_clip(
    path: Path | str, *, max_frames: int = MAX_CLIP_FRAMES, max_bytes: int = MAX_CLIP_BYTES, field: str = "video"
) -> FrameClip:
    """Read a small video whole, with its sound. max_bytes: of the raw frames in memory.

    Raises `UnreadableMedia` when it is damaged anywhere or larger than the bounds: nothing is cut off silently.
    """
    facts = probe_video(path, field=field)
    limit = min(max_frames, max_bytes // (facts.width * facts.height * 3))
    images: list[Image] = []
    for frame in iter_frames(path, field=field):
        if len(images) == limit:
            raise UnreadableMedia(f"the video is longer than {limit} frames of {facts.width} x {facts.height}",
                                  field=field, got=path, allowed=f"at most {max_frames} frames and {max_bytes:,} bytes",
                                  fix="cut it or scale it down")  # fmt: skip
        images.append(frame.image)
    return FrameClip(frames=np.stack(images), frame_rate=facts.frame_rate, audio=read_audio(path, field=field))


def video_stream(container: InputContainer, path: Path, field: str) -> VideoStream:
    """Return the first video stream; raises `UnreadableMedia` where there is none, or none of a size to be read."""
    if not container.streams.video:
        raise UnreadableMedia("the file holds no picture", field=field, got=path, allowed=VIDEO_FORMATS,
                              fix="choose a video file")  # fmt: skip
    stream = container.streams.video[0]
    if stream.codec_context is None:  # PyAV's stub says it never is; it is for a codec that nobody knows
        raise undecodable(path, 0, field)
    width, height = stream.codec_context.width, stream.codec_context.height
    if width * height > MAX_FRAME_PIXELS:
        raise UnreadableMedia(f"{width} x {height} is too large", field=field, got=path,
                              allowed=f"at most {MAX_FRAME_PIXELS:,} pixels a frame", fix="scale it down")  # fmt: skip
    return stream


def _decode(container: InputContainer, stream: VideoStream, path: Path, field: str) -> Iterator[VideoFrame]:
    import av

    count = 0
    try:
        for frame in container.decode(stream):
            if frame.width * frame.height > MAX_FRAME_PIXELS:
                raise ValueError("a frame larger than the header said")
            yield frame
            count += 1
    except (av.FFmpegError, OSError, ValueError, EOFError) as error:
        raise undecodable(path, count, field) from error


def to_rgb(frame: VideoFrame, *, is_exact: bool = True) -> Image:
    """Return the frame as (H, W, 3) uint8 RGB, as it is stored.

    is_exact: else colours are taken from the nearest sample and rounded down: six times as fast, and off by one level
    on average.
    """
    from av.video.reformatter import ColorRange, Colorspace, Interpolation

    has_alpha = any(component.is_alpha for component in frame.format.components)
    exact = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
    is_hd = frame.width >= _HD_WIDTH or frame.height > _HD_HEIGHT
    unspecified = Colorspace.ITU709 if is_hd else Colorspace.ITU601
    picture: Any = frame.reformat(
        format="rgba" if has_alpha else "rgb24",
        src_colorspace=unspecified if frame.colorspace == _UNSPECIFIED else None,
        dst_color_range=ColorRange.JPEG,
        interpolation=exact if is_exact else Interpolation.BICUBIC,
        threads=1,
    ).to_ndarray()
    if has_alpha:
        alpha = picture[:, :, 3:].astype(np.uint16)
        picture = ((picture[:, :, :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
    return cast(Image, picture)


_UNSPECIFIED = 2  # AVCOL_SPC_UNSPECIFIED


class Orientation:
    """How the stored picture is turned and mirrored, from the display matrix (ISO/IEC 14496-12, 8.3.2)."""

    def __init__(self, a: int, b: int, c: int, d: int) -> None:
        # A stored point (x, y) is shown at (a x + c y, b x + d y).
        self.is_transposed = a == 0 and d == 0 and b != 0 and c != 0
        self.flips_columns = (c if self.is_transposed else a) < 0
        self.flips_rows = (b if self.is_transposed else d) < 0

    def apply(self, image: Image) -> Image:
        image = image.transpose(1, 0, 2) if self.is_transposed else image
        image = image[:, ::-1] if self.flips_columns else image
        return image[::-1] if self.flips_rows else image


def orientation(frame: VideoFrame) -> Orientation:
    """Return how a player would turn this frame."""
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return Orientation(1, 0, 0, 1)
    values = np.frombuffer(cast(Any, matrix), np.int32)
    return Orientation(int(values[0]), int(values[1]), int(values[3]), int(values[4]))


def stated_rate(stream: VideoStream) -> Fraction:
    """Return the frames per second that a stream states, 25 where it states nothing."""
    if stream.codec_context.name == "gif" and stream.frames and stream.duration and stream.time_base:
        # Delays vary from frame to frame, and ffmpeg's average is a guess from the first few.
        return Fraction(stream.frames) / (stream.duration * stream.time_base)
    rate = stream.average_rate or stream.guessed_rate or stream.base_rate
    return Fraction(rate) if rate and rate > 0 else Fraction(25)


def duration_seconds(container: InputContainer, stream: VideoStream) -> float | None:
    """Return how long the picture lasts by its header, or else the file; None where neither says."""
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    return container.duration / 1_000_000 if container.duration else None
