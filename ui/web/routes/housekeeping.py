"""What the settings are read from: money, folders, the machine."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from studio.app import Studio
from studio.catalog.schema import HasWeights
from studio.hub import Hub
from studio.jobs.devices import devices
from studio.jobs.reclaim import size_of
from studio.library.query import LibraryQuery
from studio.spending.report import CostReport, Group, cost_report
from ui.web.views.jobs import worker_view

_GROUPS: tuple[Group, ...] = ("provider", "model")
_GIB = 2**30
_NAMES_SHOWN = 40


def costs_now(studio: Studio) -> dict[str, dict[str, CostReport]]:
    """Return what was spent today and in this calendar month (UTC), each by provider and by model."""
    today = datetime.now(UTC).date()
    spans = {"today": today, "month": today.replace(day=1)}
    return {
        name: {by: cost_report(studio.store, studio.settings, by, since, today) for by in _GROUPS}
        for name, since in spans.items()
    }


def repository_bytes(spec: HasWeights, hub: Hub) -> int:
    """Return what a row's repository takes of the disk, unfinished downloads too; 0 for what ships with the studio."""
    if spec.weights is None or spec.weights.source == "embedded":
        return 0
    return _folder_bytes(hub.repository_folder(spec.weights.repository))


def _folder_bytes(folder: Path) -> int:
    blobs = folder / "blobs"  # the snapshots are links to these
    return size_of(blobs if blobs.is_dir() else folder) if folder.is_dir() else 0


def room_now(studio: Studio, specs: Iterable[HasWeights]) -> dict[str, Any]:
    """Return the bytes of each kind, the room that is left, and what could be freed. Walks the folders."""
    settings, hub = studio.settings, Hub.from_environment()
    settings.create_home()
    binned = studio.curation.items(studio.curation.ids(LibraryQuery(in_bin=True)))
    waste = studio.desk.gc(dry_run=True)
    repositories = {spec.weights.repository for spec in specs if spec.weights and spec.weights.source == "hub"}
    disk = shutil.disk_usage(settings.home)
    is_shared = settings.assets_url is not None
    return {
        "home": str(settings.home),
        "weights_folder": str(hub.cache),
        "disk_bytes": disk.total,
        "free_bytes": disk.free,
        "is_library_elsewhere": is_shared,
        "kinds": {
            "library": None if is_shared else size_of(settings.library_folder),
            "quarantine": size_of(settings.quarantine_folder),
            "uploads": size_of(settings.home / "uploads"),
            "embeddings": size_of(settings.embeddings_folder),
            "weights": sum(_folder_bytes(hub.repository_folder(name)) for name in sorted(repositories)),
            "database": sum(size_of(path) for path in settings.home.glob("studio.sqlite3*")),
        },
        "bin": {"number": len(binned), "size_bytes": sum(item.size_bytes for item in binned)},
        "waste": {
            "number": len(waste.removed),
            "size_bytes": waste.size_bytes,
            "kept_bytes": waste.kept_bytes,
            "names": list(waste.removed[:_NAMES_SHOWN]),
        },
    }


def machine_now(studio: Studio, models: Mapping[str, str]) -> dict[str, Any]:
    """Return the figures of this machine, and the limits that are set. models: names by id."""
    import psutil

    settings, memory = studio.settings, psutil.virtual_memory()
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "cpu_count": os.cpu_count(),
        "ram_bytes": memory.total,
        "ram_free_bytes": memory.available,
        "devices": list(devices(settings)),
        "limits": {
            "device": settings.device,
            "threads": settings.threads,
            "vram_bytes": None if settings.vram_limit is None else int(settings.vram_limit * _GIB),
            "embeddings_bytes": settings.embeddings_limit * 2**20,
        },
        "workers": [worker_view(worker, models) for worker in studio.desk.workers() if worker.is_alive],
    }
