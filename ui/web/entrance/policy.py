"""What every answer of the page tells the browser: load nothing from elsewhere, be framed by nobody, tell nobody."""

from __future__ import annotations

from starlette.types import Message

_PAGE = (
    "default-src 'self'; script-src {scripts}; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' blob:; font-src 'self' data:; connect-src 'self'; "
    "worker-src 'self' blob:; frame-src 'none'; object-src 'none'; base-uri 'self'; form-action 'self'; "
    "frame-ancestors 'none'"
)
# The page for a login is a form and a style sheet.
LOGIN = (
    "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
# What somebody uploaded is shown as a picture or a video within the page; opened by itself it can do nothing.
FOREIGN = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src 'self'; media-src 'self'; frame-ancestors 'none'; sandbox"
)

_OWN_FEATURES = ("camera", "fullscreen", "clipboard-write")
_NO_FEATURES = ("microphone", "geolocation", "payment", "usb", "serial", "hid", "midi", "display-capture")
_FEATURES = ", ".join([*(f"{name}=(self)" for name in _OWN_FEATURES), *(f"{name}=()" for name in _NO_FEATURES)])
_ALWAYS = {
    b"x-content-type-options": b"nosniff",
    # Not no-referrer: under that, browsers send a form's `Origin` as null, and it could not be told from a stranger's.
    b"referrer-policy": b"same-origin",
    b"permissions-policy": _FEATURES.encode(),
    b"cross-origin-resource-policy": b"same-origin",
    b"x-frame-options": b"DENY",
}
_FOREIGN_PATH = "/gradio_api/file="
_HASHED_PATH = "/assets/"  # their names change with their content
_IMMUTABLE = b"private, max-age=31536000, immutable"


def page_policy(nonce: str | None = None) -> str:
    """Return the content policy of a page. nonce: of the scripts within it that may run; None lets none run.

    Gradio compiles what a component does in the browser (`js_on_load`) with ``Function``, and writes styles into
    elements.
    """
    inline = "" if nonce is None else f" 'nonce-{nonce}'"
    return _PAGE.format(scripts=f"'self' 'unsafe-eval'{inline}")


def with_policy(message: Message, path: str, *, is_secure: bool) -> Message:
    """Return the start of an answer with the headers of the house. A route's own content policy and caching stay.

    is_secure: over TLS, or on loopback; elsewhere browsers complain about what they then do not keep.
    """
    kept = [(name.lower(), value) for name, value in message["headers"]]
    kept = [item for item in kept if item[0] not in _ALWAYS and not item[0].startswith(b"access-control-")]
    there = {name for name, _ in kept}
    extra = dict(_ALWAYS)
    if is_secure:
        extra[b"cross-origin-opener-policy"] = b"same-origin"
    if b"content-security-policy" not in there:
        extra[b"content-security-policy"] = (FOREIGN if path.startswith(_FOREIGN_PATH) else page_policy()).encode()
    if b"cache-control" not in there:
        extra[b"cache-control"] = _caching(message["status"], path)
    return {**message, "headers": [*kept, *extra.items()]}


def _caching(status: int, path: str) -> bytes:
    """Nothing may be kept where others find it; what is not the page itself may be asked for again before use."""
    if status == 200 and path.startswith(_HASHED_PATH):
        return _IMMUTABLE
    return b"no-store" if path == "/" or status >= 400 else b"private, no-cache"
