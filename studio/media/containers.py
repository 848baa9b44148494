"""Opening video and sound containers, by what is in them and never by their name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from studio.errors import UnreadableMedia
from studio.media.files import HEAD_BYTES, open_regular_file, sniff_head

if TYPE_CHECKING:
    from av.container import InputContainer

VIDEO_FORMATS = "MP4, MOV, WebM, MKV, AVI or GIF"

# Media type -> (our name, ffmpeg's demuxer). The demuxer is forced, because ffmpeg left to guess also opens playlists,
# which name other files and addresses.
CONTAINERS = {
    "video/mp4": ("mp4", "mov"),
    "video/quicktime": ("mov", "mov"),
    "video/webm": ("webm", "matroska"),
    "video/x-matroska": ("mkv", "matroska"),
    "video/x-msvideo": ("avi", "avi"),
    "video/x-flv": ("flv", "flv"),
    "video/mp2t": ("ts", "mpegts"),
    "application/ogg": ("ogg", "ogg"),
    "image/gif": ("gif", "gif"),
    "audio/mp4": ("m4a", "mov"),
    "audio/wav": ("wav", "wav"),
    "audio/mpeg": ("mp3", "mp3"),
    "audio/flac": ("flac", "flac"),
}


@contextmanager
def open_container(path: Path, *, field: str) -> Iterator[tuple[InputContainer, str]]:
    """Open a media file with the demuxer its content calls for; give the container and its media type."""
    import av

    with open_regular_file(path, field=field) as file:
        mime_type = sniff_head(file.read(HEAD_BYTES))
        if mime_type not in CONTAINERS:
            what = f"this is {mime_type}, not a video" if mime_type else "this is not a video"
            raise UnreadableMedia(what, field=field, got=path, allowed=VIDEO_FORMATS, fix="choose a video file")
        file.seek(0)
        try:
            # From the open file, not by name: ffmpeg reads names such as "concat:a|b" as instructions.
            container = av.open(file, mode="r", format=CONTAINERS[mime_type][1], metadata_errors="replace")
        except (av.FFmpegError, OSError, ValueError) as error:
            raise undecodable(path, 0, field) from error
        with container:
            yield container, mime_type


def undecodable(path: Path, num_frames: int, field: str) -> UnreadableMedia:
    """Return the error for a file whose decoding stopped after so many frames."""
    where = f"damaged or cut short after {num_frames} frames" if num_frames else "damaged; no frame can be decoded"
    return UnreadableMedia(f"the video is {where}", field=field, got=path, allowed=VIDEO_FORMATS,
                           fix="fetch or export the file again")  # fmt: skip
