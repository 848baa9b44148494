"""What the page's routes share: the services of the studio, and who asks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request

from studio.app import Studio
from studio.people.people import People
from studio.people.visitor import Action, Visitor, require
from ui.api.services import Services
from ui.api.slots import Slots
from ui.web.visitor import visitor_of

MAX_EXPORTS = 2


@dataclass(frozen=True)
class Site:
    """One of each for a server. services: those that the REST API uses too.

    exports: places for files that are made of clips, and for reports; what takes long keeps nobody from a short look.
    """

    services: Services
    exports: Slots = field(default_factory=lambda: Slots("exports", MAX_EXPORTS, waiting=6, wait_seconds=300.0))

    @property
    def studio(self) -> Studio:
        return self.services.studio

    @property
    def people(self) -> People:
        return self.studio.people


@dataclass(frozen=True)
class Asked:
    """A request to the page: the site, and who asks."""

    site: Site
    visitor: Visitor

    @property
    def services(self) -> Services:
        return self.site.services

    @property
    def studio(self) -> Studio:
        return self.site.studio

    def require(self, action: Action, thing_id: str | None = None) -> None:
        """Raise `NotAllowed` unless the visitor may do this, to this thing."""
        require(self.visitor, action, thing_id, self.site.people)


def _asked(request: Request) -> Asked:
    return Asked(site=request.app.state.site, visitor=visitor_of(request))


Here = Annotated[Asked, Depends(_asked)]
