"""Who asks: put into each request by the door, read by routes and by gradio's listeners."""

from __future__ import annotations

from typing import Any

from studio.people.visitor import NotAllowed, Visitor

VISITOR = "visitor"  # in the state of a request's scope


def visitor_of(request: Any) -> Visitor:
    """Return who asks. request: of Starlette, or what gradio gives to a listener.

    Raises `NotAllowed` for a request that did not come through the door.
    """
    asked = getattr(request, "request", None) or request  # gradio's wraps the real one
    scope = getattr(asked, "scope", {})
    visitor = scope.get("state", {}).get(VISITOR)
    if not isinstance(visitor, Visitor):
        raise NotAllowed("nobody knows who asks", fix="load the page again")
    return visitor
