"""Which paths there are from outside, and how much each takes: what is not named here does not exist."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ui.api.problems import Refusal
from ui.api.uploads import MAX_PICTURE_BYTES, MAX_VIDEO_BYTES

MIB = 2**20
DEFAULT_LIMIT = MIB
LIMITS: Mapping[str, int] = {
    "/login": 16 * 2**10,
    "/gradio_api/upload": MAX_PICTURE_BYTES,
    "/studio/comparisons": MAX_PICTURE_BYTES,
    "/studio/batches": 512 * MIB,
    "/studio/inspect": MAX_VIDEO_BYTES,
    "/studio/recipe": MAX_VIDEO_BYTES,
}
"""The largest bodies in bytes: of the path, or of what lies below it; the longest that fits counts."""

OWN = ("/studio/",)
"""Where the studio's own routes lie. Each asks by itself what a visitor may do."""

_GET, _POST = ("GET", "HEAD"), ("POST",)
_NAME = r"[A-Za-z0-9_.-]{1,200}"
# What the page of gradio 6 asks for, and no more: no proxy, no programs' endpoints, no history of runs, no monitoring.
_GRADIO = (
    (_GET, r"/"),
    (_GET, r"/config"),
    (_GET, r"/(theme\.css|favicon\.ico|manifest\.json|robots\.txt)"),
    (_GET, rf"/(assets|static)/({_NAME}/){{0,4}}{_NAME}"),
    (_GET, r"/gradio_api/(app_id|startup-events)"),
    (_GET, rf"/gradio_api/heartbeat/{_NAME}"),
    (_GET, r"/gradio_api/queue/data"),
    (_POST, r"/gradio_api/queue/join"),
    (_POST, rf"/gradio_api/run/{_NAME}"),
    (_POST, r"/gradio_api/(cancel|reset)"),
    (_POST, r"/gradio_api/upload"),
    (_GET, r"/gradio_api/upload_progress"),
    (_GET, r"/gradio_api/file=/.+"),
)
# What asks by itself what a visitor may do: gradio's way to call a listener, without which the page shows nothing, and
# what is only looked at although it is sent: a file to inspect, the choice of clips to download; one's own password.
_LOOKS = re.compile(
    r"/gradio_api/(queue/join|run/.*|cancel|reset)|/studio/inspect(/.*)?|/studio/library/bundles|/studio/settings/password",
    re.ASCII,
)
_STRANGE = re.compile(r"(^|/)\.\.?(/|$)|//|\\|[\x00-\x1f\x7f]")


@dataclass(frozen=True)
class Paths:
    """The paths that a door lets through. own: where routes of the studio lie, each beginning ending with a slash."""

    own: Sequence[str] = OWN
    limits: Mapping[str, int] | None = None

    def check(self, method: str, path: str) -> None:
        """Raise a `Refusal` for a path that there is not, or that has no such method."""
        if _STRANGE.search(path):
            raise Refusal(404, "there is no such path")
        if path.startswith(tuple(self.own)):
            methods: tuple[str, ...] = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
        else:
            methods = next((methods for methods, pattern in _ALLOWED if pattern.fullmatch(path)), ())
        if not methods:
            raise Refusal(404, "there is no such path")
        if method not in methods:
            allowed = ", ".join(methods)
            raise Refusal(
                405, "this path has no such method", got=method[:20], allowed=allowed, headers={"allow": allowed}
            )

    def limit(self, path: str) -> int:
        """Return how many bytes a request to this path may carry."""
        limits = LIMITS if self.limits is None else self.limits
        fitting = [name for name in limits if path == name or path.startswith(f"{name}/")]
        return limits[max(fitting, key=len)] if fitting else DEFAULT_LIMIT


_ALLOWED = tuple((methods, re.compile(pattern, re.ASCII)) for methods, pattern in _GRADIO)


def is_for_viewers(path: str) -> bool:
    """Say whether those who may only look may send something to this path."""
    return _LOOKS.fullmatch(path) is not None


def is_page(path: str) -> bool:
    """Say whether this is what people type into the address line: everything else the page asks for itself."""
    return path == "/"
