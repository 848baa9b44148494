"""What the routes share: one studio, one look at its queue, places for uploads and for heavy work."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from fastapi import Depends, FastAPI, Request
from starlette.concurrency import run_in_threadpool

from studio.app import Studio
from studio.errors import StoreFault
from studio.jobs.job import Job, UnknownJob
from studio.jobs.overview import JobOverview
from studio.library.asset import Asset
from studio.library.store import UnknownAsset
from ui.api.events import EventHub
from ui.api.sealed_file import SealedFile
from ui.api.slots import Slots
from ui.api.uploads import UploadFolder

MAX_UPLOADS, MAX_INSPECTIONS = 8, 2
_LOOKS, _SECONDS_BETWEEN_LOOKS = 5, 0.1
# Whatever is not of this shape names nothing here, and is not asked of the database.
_ID = re.compile(r"[0-9A-Za-z-]{1,40}", re.ASCII)


@dataclass(frozen=True)
class Services:
    """One of each for a server. keys: held while a job is submitted under a key.

    root: below which clients find the lists of jobs and assets, such as ``/v1``; None for a page, which shows them.
    """

    studio: Studio
    overview: JobOverview
    hub: EventHub
    folder: UploadFolder
    root: str | None = None
    uploads: Slots = field(default_factory=lambda: Slots("uploads", MAX_UPLOADS, waiting=16))
    inspections: Slots = field(default_factory=lambda: Slots("inspections", MAX_INSPECTIONS, waiting=6))
    keys: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def of(cls, studio: Studio, root: str | None = None) -> Services:
        """Return the services over a studio, whose database is opened. Raises what opening it does."""
        overview = JobOverview(studio.store)
        folder = UploadFolder(studio.settings.home / "uploads")
        return cls(studio=studio, overview=overview, hub=EventHub(overview, studio.desk), folder=folder, root=root)

    @asynccontextmanager
    async def lifespan(self, _app: FastAPI) -> AsyncIterator[None]:
        """Be there for as long as a server runs; listeners are let go and uploads removed when it ends.

        What servers that were killed left of uploads goes first: nobody knows when the next one comes.
        """
        await run_in_threadpool(self.folder.sweep)
        try:
            yield
        finally:
            self.hub.close()
            await run_in_threadpool(self.folder.close)

    @property
    def home(self) -> Path:
        return self.studio.settings.home

    def job(self, job_id: str) -> Job:
        """Return the job with exactly this id. Raises `UnknownJob`."""
        with suppress(UnknownJob):
            if _ID.fullmatch(job_id) and (job := self.studio.desk.job(job_id)).id == job_id:
                return job
        raise UnknownJob("no such job", field="job", got=job_id, fix=self._listed_at("jobs"))

    def asset(self, asset_id: str) -> Asset:
        """Return the asset with exactly this id. Raises `UnknownAsset`."""
        with suppress(UnknownAsset):
            if _ID.fullmatch(asset_id) and (asset := self.studio.store.asset(asset_id)).id == asset_id:
                return asset
        raise self._unknown_asset(asset_id)

    def sealed_file(self, asset: Asset, headers: Mapping[str, str]) -> SealedFile:
        """Return an answer with the file of an asset. Raises what `SealedFile` does, `UnknownAsset` if it just went."""
        try:
            return SealedFile(asset, headers)
        except StoreFault:
            # Whoever removes an asset deletes its file first and its row a moment later.
            for _ in range(_LOOKS):
                if not self.studio.store.has_asset(asset.id):
                    raise self._unknown_asset(asset.id) from None
                time.sleep(_SECONDS_BETWEEN_LOOKS)
            raise

    def _unknown_asset(self, asset_id: str) -> UnknownAsset:
        fix = self._listed_at("assets")
        return UnknownAsset("no such asset in the library", field="id", got=asset_id, fix=fix)

    def _listed_at(self, what: str) -> str | None:
        return None if self.root is None else f"GET {self.root}/{what} lists them"


def services_of(request: Request) -> Services:
    """Return the services of the server that got a request."""
    services: Services = request.app.state.services
    return services


Here = Annotated[Services, Depends(services_of)]
