"""What a worker on another machine is told when it is hired, and whether it is fit to work there."""

from __future__ import annotations

import hashlib
import json
import os
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from operator import methodcaller
from pathlib import Path
from typing import Any

from studio import __version__
from studio.app import Studio
from studio.config import Settings
from studio.disk import write_durably
from studio.errors import EnvironmentFault, StudioError
from studio.provenance.certificates import watermark_key
from studio.provenance.safekeeping import WATERMARK

_PREFIX = "STUDIO_"
# Every machine has these of its own.
_OF_ONE_MACHINE = ("STUDIO_HOME", "STUDIO_DEVICE", "STUDIO_THREADS", "STUDIO_API_TOKEN")


@dataclass(frozen=True, kw_only=True)
class Orders:
    """What one worker is hired for. batch_id, pool: the jobs it takes. models: that it must be able to run.

    identity: what it must sign with, see `seal_of`. version: of the studio that hires it. device: None for the one that
    the machine's own settings name. environment: settings; a password may be among them, so it is never shown.
    catalog: rows of models that the one who hires knows beyond those that ship, by file name.
    """

    batch_id: str
    pool: str
    models: tuple[str, ...]
    identity: str
    version: str = __version__
    device: str | None = None
    environment: Mapping[str, str] = field(repr=False)
    catalog: Mapping[str, str] = field(default_factory=dict, repr=False)


def orders_for(studio: Studio, *, batch_id: str, pool: str, models: Iterable[str], is_here: bool) -> Orders:
    """Return the orders of a worker. is_here: it runs on this machine, over the same home folder."""
    settings = studio.settings
    environment = {name: value for name, value in os.environ.items() if name.startswith(_PREFIX)}
    for name in () if is_here else _OF_ONE_MACHINE:
        environment.pop(name, None)
    if is_here:
        environment["STUDIO_HOME"] = str(settings.home)
    rows = (settings.home / "catalog").glob("*.toml")
    return Orders(
        batch_id=batch_id,
        pool=pool,
        models=tuple(sorted(set(models))),
        identity=seal_of(studio),
        environment=environment,
        catalog={path.name: path.read_text(encoding="utf-8") for path in rows},
    )


def seal_of(studio: Studio) -> str:
    """Return a digest of what files are signed and marked with here; it tells nothing of the keys."""
    key = hashlib.sha256(b"which watermark key is this" + watermark_key(studio.settings.identity_folder)).hexdigest()
    return f"{studio.identity.show().fingerprint}:{key}"


def open_studio(orders: Orders) -> Studio:
    """Return a studio over this machine's own home that works as the orders say.

    The settings of this process become those of the orders. Raises an `EnvironmentFault` if it is not fit to work.
    """
    if orders.version != __version__:
        raise EnvironmentFault(
            "another version of the studio is installed there",
            got=__version__,
            allowed=orders.version,
            fix="install the same version on all machines",
        )
    own = {name: os.environ[name] for name in _OF_ONE_MACHINE if name in os.environ}
    for name in [name for name in os.environ if name.startswith(_PREFIX)]:
        del os.environ[name]
    os.environ.update(own | dict(orders.environment))
    settings = Settings.read()
    if orders.device is not None:
        settings = settings.model_copy(update={"device": orders.device})
    studio = Studio(settings, catalog=_catalog(orders, settings.home / "cache"))
    _require_identity(studio, orders)
    for model in orders.models:
        studio.workshop.require_ready(model)
    return studio


def _catalog(orders: Orders, cache: Path) -> Path:
    """Return a folder with the rows of models that came with the orders, the same one for the same rows."""
    digest = hashlib.sha256(json.dumps(dict(orders.catalog), sort_keys=True).encode()).hexdigest()
    folder = cache / f"catalog-{digest[:16]}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, content in orders.catalog.items():
        write_durably(folder / Path(name).name, methodcaller("write", content.encode()))
    return folder


def _require_identity(studio: Studio, orders: Orders) -> None:
    # One that is not there yet is not made: it could only be another one.
    folder = studio.settings.identity_folder
    if not (folder / WATERMARK).is_dir() or seal_of(studio) != orders.identity:
        raise EnvironmentFault(
            "the signing identity there is not the one of the machine that started the batch",
            field="STUDIO_IDENTITY_FOLDER",
            got=folder,
            fix="set it, where the batch is started, to a folder that all machines share, and copy the identity there",
        )


def fault_report(error: Exception) -> dict[str, Any]:
    """Return what the one who hires is told of an error."""
    if not isinstance(error, StudioError):
        error = EnvironmentFault(f"an unexpected error ({type(error).__name__}: {error})")
    return {"host": socket.gethostname(), "error": error.as_json()}
