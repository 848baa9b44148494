"""Clips, pictures and sound in memory and on disk: the types, and the only place that decodes."""

from studio.media.digest import FramesDigest, frames_sha256
from studio.media.files import open_regular_file, sniff_mime_type
from studio.media.images import MAX_IMAGE_PIXELS, fit_image, read_image
from studio.media.packets import count_frames, frame_times
from studio.media.picking import pick_frames
from studio.media.sound import open_sound, read_audio
from studio.media.sound_walk import SoundWalk
from studio.media.streams import LiveFrame, LiveStream, open_live
from studio.media.types import (
    Audio,
    EncodedClip,
    FrameClip,
    Frames,
    Image,
    Preview,
    Sound,
    TimedFrame,
    TimedSound,
    VideoFacts,
)
from studio.media.video_walk import VideoHeader, VideoWalk, Walked
from studio.media.videos import iter_frames, probe_video, read_clip

__all__ = [
    "MAX_IMAGE_PIXELS",
    "Audio",
    "EncodedClip",
    "FrameClip",
    "Frames",
    "FramesDigest",
    "Image",
    "LiveFrame",
    "LiveStream",
    "Preview",
    "Sound",
    "SoundWalk",
    "TimedFrame",
    "TimedSound",
    "VideoFacts",
    "VideoHeader",
    "VideoWalk",
    "Walked",
    "count_frames",
    "fit_image",
    "frame_times",
    "frames_sha256",
    "iter_frames",
    "open_live",
    "open_regular_file",
    "open_sound",
    "pick_frames",
    "probe_video",
    "read_audio",
    "read_clip",
    "read_image",
    "sniff_mime_type",
]
