"""What the page's routes share: one of everything for a server, and who asks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, FastAPI, Request

from studio.app import Studio
from studio.people.people import People
from studio.people.visitor import Action, Visitor, require
from ui.api.services import Services
from ui.api.slots import Slots
from ui.web.backstage.bench import Bench
from ui.web.backstage.bundling import Tickets
from ui.web.backstage.dealing import Deals
from ui.web.backstage.inspecting import Inspections
from ui.web.backstage.pulling import Pulls
from ui.web.backstage.seals import Seals
from ui.web.backstage.surgery import Surgery
from ui.web.visitor import visitor_of

MAX_EXPORTS = 2


@dataclass(frozen=True)
class Site:
    """One of each for a server. services: those that the REST API uses too. bench: what the form works with.

    seals: what is known of the library's own files. inspections: of files that were brought along. deals: pairs that
    are judged blind. tickets: for ZIP files. pulls: downloads of weights. surgery: where the doctor examines.
    exports: places for files that are made of clips, and for reports; what takes long keeps nobody from a short look.
    """

    services: Services
    bench: Bench
    seals: Seals
    inspections: Inspections
    pulls: Pulls
    surgery: Surgery
    deals: Deals = field(default_factory=Deals)
    tickets: Tickets = field(default_factory=Tickets)
    exports: Slots = field(default_factory=lambda: Slots("exports", MAX_EXPORTS, waiting=6, wait_seconds=300.0))

    @classmethod
    def of(cls, services: Services) -> Site:
        """Return a site where nothing has happened yet."""
        studio = services.studio
        return cls(
            services=services,
            bench=Bench.of(studio),
            seals=Seals(studio),
            inspections=Inspections(services),
            pulls=Pulls(studio.pull),
            surgery=Surgery(studio.doctor),
        )

    @asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        """Be there for as long as a server runs. What was uploaded goes when nothing works on it any more.

        Clips that are being made longer are left alone: to stop one cancels the window that a worker makes just then.
        """
        async with self.services.lifespan(app):
            try:
                yield
            finally:
                self.pulls.close()
                self.bench.estimator.close()
                await self.inspections.close()

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

    @property
    def model_names(self) -> dict[str, str]:
        """What people call the models of the catalog, by id."""
        return {spec.id: spec.name for spec in self.studio.registry.catalog}

    def require(self, action: Action, thing_id: str | None = None) -> None:
        """Raise `NotAllowed` unless the visitor may do this, to this thing."""
        require(self.visitor, action, thing_id, self.site.people)


def _asked(request: Request) -> Asked:
    return Asked(site=request.app.state.site, visitor=visitor_of(request))


Here = Annotated[Asked, Depends(_asked)]
