"""The plain facts of a media file of any kind. Never raises for what is in the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from studio.errors import UnreadableMedia
from studio.inspection.report import AudioFacts, MediaFacts
from studio.media import probe_video, sniff_mime_type
from studio.media.containers import CONTAINERS, open_container
from studio.provenance.inspect import PatientFile
from studio.provenance.shown import one_line

MAX_TAGS = 40


def media_facts(path: Path) -> MediaFacts:
    """Return the facts of a video, picture or sound file; `problem` says why where they cannot be told."""
    size = path.stat().st_size
    try:
        mime_type = sniff_mime_type(path)
    except UnreadableMedia as error:
        return MediaFacts(container=None, size_bytes=size, problem=error.message)
    if mime_type is None:
        return MediaFacts(container=None, size_bytes=size, problem="not a kind of media file that is known here")
    if mime_type.startswith("image/") and mime_type != "image/gif":
        return _picture(path, mime_type, size)
    return _film(path, mime_type, size)


def _picture(path: Path, mime_type: str, size: int) -> MediaFacts:
    """Read a picture's header; nothing is decoded."""
    import warnings

    import PIL.Image

    kind = mime_type.removeprefix("image/")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a size worth a warning is only told here
            # Pillow looks for the parts of a JPEG one byte at a time; a hostile one would keep it busy for a minute.
            formats = ("PNG", "JPEG", "WEBP", "BMP", "TIFF")
            with PatientFile(path) as file, PIL.Image.open(file, formats=formats) as picture:
                width, height = picture.size
                tags = _picture_tags(picture)
                return MediaFacts(container=kind, codec=kind, size_bytes=size, width=width, height=height,
                                  pixel_format=picture.mode, num_frames=1, tags=tags)  # fmt: skip
    except Exception:  # a decoder fed with damaged data raises nearly anything
        return MediaFacts(container=kind, size_bytes=size, problem="its header cannot be read")


def _picture_tags(picture: Any) -> tuple[tuple[str, str], ...]:
    """Return the software and times that EXIF (2.32, 4.6.4) or PNG text names."""
    names = {0x0131: "software", 0x0132: "date_time", 0x9003: "date_time", 0x010F: "make", 0x0110: "model"}
    # Pillow decodes a whole PNG to look for EXIF behind the picture; only what stands in front is read.
    exif = picture.getexif() if picture.format != "PNG" or "exif" in picture.info else {}
    found = [(name, one_line(exif[tag])) for tag, name in names.items() if exif.get(tag)]
    told = [
        (key.lower(), one_line(value)) for key, value in picture.info.items() if key in ("Software", "Creation Time")
    ]
    return tuple([*found, *told][:MAX_TAGS])


def _film(path: Path, mime_type: str, size: int) -> MediaFacts:
    container = CONTAINERS[mime_type][0] if mime_type in CONTAINERS else None
    audio: AudioFacts | None = None
    tags: tuple[tuple[str, str], ...] = ()
    start = length = None
    try:
        with open_container(path, field="file") as (opened, _mime_type):
            audio, tags = _audio(opened), _tags(opened)
            if opened.streams.video:
                start, length = _times(opened.streams.video[0])
            if not opened.streams.video:
                return MediaFacts(container=container, size_bytes=size, audio=audio, tags=tags,
                                  duration_seconds=None if audio is None else audio.duration_seconds)  # fmt: skip
        facts = probe_video(path)
    except UnreadableMedia as error:
        return MediaFacts(container=container, size_bytes=size, audio=audio, tags=tags, problem=error.message)
    return MediaFacts(
        container=facts.container,
        size_bytes=size,
        codec=facts.codec,
        width=facts.width,
        height=facts.height,
        pixel_format=facts.pixel_format,
        frame_rate=round(float(facts.frame_rate), 6),
        num_frames=facts.num_frames,
        duration_seconds=facts.duration_seconds,
        video_seconds=length,
        start_seconds=start,
        rotation=facts.rotation,
        faststart=facts.faststart if container in ("mp4", "mov") else None,
        audio=audio,
        tags=tags,
    )


def _audio(container: Any) -> AudioFacts | None:
    if not container.streams.audio:
        return None
    stream = container.streams.audio[0]
    context = stream.codec_context
    if context is None:
        return None
    start, length = _times(stream)
    return AudioFacts(
        codec=context.codec.canonical_name,
        sample_rate=int(context.sample_rate or 0),
        channels=int(context.channels or 0),
        duration_seconds=length,
        start_seconds=start,
    )


def _times(stream: Any) -> tuple[float | None, float | None]:
    """Return (start, duration) of a stream in seconds."""
    tick = stream.time_base
    start = None if tick is None or stream.start_time is None else round(float(stream.start_time * tick), 6)
    length = None if tick is None or not stream.duration else round(float(stream.duration * tick), 6)
    return start, length


def _tags(container: Any) -> tuple[tuple[str, str], ...]:
    found = [(one_line(name, 60).lower(), one_line(value)) for name, value in container.metadata.items()]
    for stream in (*container.streams.video[:1], *container.streams.audio[:1]):
        found += [
            (f"{stream.type}:{one_line(name, 60).lower()}", one_line(value)) for name, value in stream.metadata.items()
        ]
    return tuple(found[:MAX_TAGS])
