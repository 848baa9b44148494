"""Clips, pictures and sound in memory and on disk: the types, and the only place that decodes."""

from studio.media.digest import FramesDigest, frames_sha256
from studio.media.files import open_regular_file, sniff_mime_type
from studio.media.images import MAX_IMAGE_PIXELS, fit_image, read_image
from studio.media.packets import count_frames, frame_times
from studio.media.sound import open_sound, read_audio
from studio.media.types import Audio, EncodedClip, FrameClip, Frames, Image, Preview, Sound, TimedFrame, VideoFacts
from studio.media.videos import iter_frames, probe_video, read_clip

__all__ = [
    "MAX_IMAGE_PIXELS",
    "Audio",
    "EncodedClip",
    "FrameClip",
    "Frames",
    "FramesDigest",
    "Image",
    "Preview",
    "Sound",
    "TimedFrame",
    "VideoFacts",
    "count_frames",
    "fit_image",
    "frame_times",
    "frames_sha256",
    "iter_frames",
    "open_regular_file",
    "open_sound",
    "probe_video",
    "read_audio",
    "read_clip",
    "read_image",
    "sniff_mime_type",
]
