"""How long a clip becomes where its provider does not ask for that: as long as the video that it is made from."""

from __future__ import annotations

import math
from dataclasses import replace

from studio.errors import UnsupportedValue
from studio.media import probe_video
from studio.request import GenerationRequest, Role

_SLACK_SECONDS = 0.05


def as_long_as_its_video(request: GenerationRequest) -> GenerationRequest:
    """Return a request that edits a video with that video's length, in whole seconds begun; any other as it is.

    Raises `UnsupportedValue` where it asks for a length of its own, `UnreadableMedia`.
    """
    video = next((item for item in request.conditionings if item.role is Role.SOURCE_VIDEO), None)
    if video is None:
        return request
    for field in ("duration_seconds", "num_frames"):
        if (asked := getattr(request, field)) is not None:
            words = "the clip is as long as the video that it edits"
            raise UnsupportedValue(words, field=field, got=asked, fix="leave it out, or cut the video first")
    seconds = probe_video(video.path, field="video").duration_seconds
    return replace(request, duration_seconds=math.ceil(seconds - _SLACK_SECONDS)) if seconds else request
