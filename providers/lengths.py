"""How long a clip becomes that is made from a video: as long as that, or longer by what is asked for."""

from __future__ import annotations

import math
from dataclasses import replace

from studio.errors import UnsupportedValue
from studio.media import probe_video
from studio.request import GenerationRequest, ResolvedRequest, Role

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


def longer_than_its_video(resolved: ResolvedRequest, added: int, most: float) -> ResolvedRequest:
    """Return a request that extends a video, with a remark on how long the clip becomes: the video and what is added.

    added, most: seconds that are asked for, and how long a clip may become.
    Raises `UnsupportedValue`, `UnreadableMedia`.
    """
    video = resolved.conditioning(Role.SOURCE_VIDEO)
    seconds = None if video is None else probe_video(video.path, field="video").duration_seconds
    if not seconds:
        return resolved
    if seconds + added > most + _SLACK_SECONDS:
        raise UnsupportedValue(
            "the clip would become too long", field="duration_seconds", got=f"{seconds:.4g} s and {added} s more",
            allowed=f"up to {most:g} s with the video", fix="ask for fewer seconds, or cut the video first",
        )  # fmt: skip
    remark = f"duration_seconds: the clip is the video of {seconds:.4g} s and {added} s more"
    return replace(resolved, warnings=(*resolved.warnings, remark))
