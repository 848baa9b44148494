"""Files out of the library: byte for byte, or made anew from a sealed clip as another format, a part or a picture."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from studio import __version__
from studio.config import Settings
from studio.delivery import check_destination, deliver
from studio.errors import DiskFull, EnvironmentFault, OutputRefused, SealFailed, StudioError
from studio.export.derivation import Derivation, Wish, format_of, is_copy, plan
from studio.export.gate import Gate
from studio.export.unaltered import require_unaltered
from studio.jobs.quarantine import Quarantine
from studio.library.asset import Asset
from studio.library.store import Store, new_id
from studio.provenance.certificates import watermark_key
from studio.provenance.inspect import read_c2pa
from studio.provenance.manifest import Ingredient, Provenance
from studio.provenance.prompts import prompt_key
from studio.provenance.sidecar import SIDECAR_SUFFIX, sidecar_of

_PREFIX = "export-"
# A folder that nobody works in and that is older than this was left by a process that died.
_STALE_SECONDS = 3600.0


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What an export led to. asset: the file's own record, the one asked for or one derived from it.

    path, sidecar: what was written; sidecar None where the Content Credentials are inside the file.
    notes: what the asker should know.
    """

    asset: Asset
    path: Path
    sidecar: Path | None
    notes: tuple[str, ...] = ()


class Exports:
    """Delivers assets; whatever has to be made for that goes through the gate and stays in the library."""

    def __init__(self, settings: Settings, store: Store, gate: Gate, quarantine: Quarantine) -> None:
        self._settings = settings
        self._store = store
        self._gate = gate
        self._quarantine = quarantine

    def export(
        self,
        asset_id: str,
        destination: Path,
        wish: Wish,
        *,
        overwrite: bool = False,
        on_stage: Callable[[str], None] = lambda _stage: None,
    ) -> Exported:
        """Write a sealed file to `destination`, whose ending chooses the format; a folder gets a copy.

        Everything that can be refused is refused before any work. Raises any `StudioError`; then the destination is as
        it was. What was already sealed for it stays in the library, and the error says so.
        """
        asset = self._store.asset(asset_id)
        target = destination / asset.path.name if destination.is_dir() and wish.is_empty else destination
        derivation = _planned(asset, target.suffix, wish)
        checked = self._check(target, asset if derivation is None else derivation, overwrite)
        made = self._made(asset, derivation, on_stage)
        try:
            return self._deliver(made, checked, overwrite)
        except StudioError as error:
            if derivation is not None:
                error.advise(f"it is made and in the library: `studio library export {made.id} FILE` copies it")
            raise

    def make(
        self, asset_id: str, suffix: str, wish: Wish, on_stage: Callable[[str], None] = lambda _stage: None
    ) -> Asset:
        """Make what `export` would write, seal it and keep it in the library, which is all: nothing is copied out.

        suffix: the ending that chooses the format, such as ``.png``. Returns the asset itself where that is asked for.
        """
        asset = self._store.asset(asset_id)
        return self._made(asset, _planned(asset, suffix, wish), on_stage)

    def _check(self, target: Path, made: Asset | Derivation, overwrite: bool) -> Path:
        home, suffix = self._settings.home, target.suffix.lower()
        checked = check_destination(target, suffix=suffix, overwrite=overwrite, home=home)
        if (made.sidecar is not None) if isinstance(made, Asset) else made.format.has_sidecar:
            try:
                check_destination(sidecar_of(target), suffix=SIDECAR_SUFFIX, overwrite=overwrite, home=home)
            except OutputRefused as error:
                error.message = f"Content Credentials do not fit into this format and go beside it, but {error.message}"
                error.advise(error.fix or "choose another name")
                raise
        return checked

    def _made(self, asset: Asset, derivation: Derivation | None, on_stage: Callable[[str], None]) -> Asset:
        """Return what is asked for, sealed. derivation: None for the asset as it is."""
        _require_file(asset)
        if derivation is None:
            require_unaltered(asset)
            return asset
        return self._derive(asset, derivation, on_stage)

    def _derive(self, parent: Asset, derivation: Derivation, on_stage: Callable[[str], None]) -> Asset:
        job_id = new_id()
        try:
            with self._workroom(job_id) as room:
                provenance = self._provenance(job_id, parent, derivation)
                return self._gate.derive(parent, derivation, provenance, room, on_stage)
        except DiskFull as error:
            error.advise("free some space, then export it again")
            raise
        except SealFailed as error:
            error.advise(f"the clip itself is untouched: `studio verify {parent.path}` says whether it is whole")
            raise

    def _deliver(self, asset: Asset, destination: Path, overwrite: bool) -> Exported:
        if asset.sidecar is None:
            deliver(asset.path, destination, overwrite=overwrite)
            return Exported(asset=asset, path=destination, sidecar=None, notes=_notes(asset))
        sidecar = sidecar_of(destination)
        deliver(asset.path, destination, overwrite=overwrite, companion=(asset.sidecar, sidecar))
        words = f"its Content Credentials are in {sidecar.name}: keep the two files together"
        return Exported(asset=asset, path=destination, sidecar=sidecar, notes=(words, *_notes(asset)))

    @contextmanager
    def _workroom(self, job_id: str) -> Iterator[Path]:
        """Give a folder on the library's disk, held by a lock; it and those of dead processes are removed."""
        self._sweep()
        name = _PREFIX + job_id
        try:
            with self._quarantine.lock(name):
                yield self._quarantine.folder(name)
        finally:
            self._quarantine.discard(name)

    def _sweep(self) -> None:
        for folder in self._settings.quarantine_folder.glob(f"{_PREFIX}*"):
            with suppress(OSError):  # its owner has just removed it
                is_old = time.time() - folder.stat().st_mtime > _STALE_SECONDS
                if is_old and not self._quarantine.is_in_work(folder.name):
                    self._quarantine.discard(folder.name)

    def _provenance(self, job_id: str, parent: Asset, derivation: Derivation) -> Provenance:
        """Tell how the new file came to be; who made the pictures is taken from the parent's own credentials."""
        record = None if parent.sidecar is None else parent.sidecar.read_bytes()
        told = read_c2pa(parent.path, manifest_store=record).generation or {}
        model: Mapping[str, Any] = told.get("model") or {}
        ingredient = Ingredient(
            path=parent.path, title=parent.path.name, mime_type=parent.mime_type, relationship="parentOf",
            sha256=parent.sha256,
        )  # fmt: skip
        return Provenance(
            job_id=job_id,
            origin=derivation.origin,
            task=parent.task,
            model_id=parent.model,
            model_name=str(model.get("name") or parent.model),
            repository=model.get("repository"),
            revision=model.get("revision"),
            weights_sha256=model.get("weights_sha256"),
            pipeline=str(told.get("pipeline") or "unknown"),
            provider=told.get("provider"),
            provider_job_id=told.get("provider_job_id"),
            seed=parent.seed,
            width=derivation.width,
            height=derivation.height,
            num_frames=1,
            frame_rate=derivation.frame_rate,
            prompt=parent.prompt,
            negative_prompt=parent.request.get("negative_prompt", ""),
            prompt_policy=self._settings.prompt_policy,
            prompt_key=prompt_key(watermark_key(self._settings.identity_folder), job_id),
            training_use=self._settings.training_use,
            is_trimmed=derivation.is_trimmed,
            is_resized=derivation.is_resized,
            is_retimed=derivation.is_retimed,
            ingredients=(ingredient,),
            warnings=derivation.notes,
            created_at=datetime.now(UTC),
            studio_version=__version__,
        )


def _planned(asset: Asset, suffix: str, wish: Wish) -> Derivation | None:
    """Return what has to be made; None where the asset itself is what is asked for. Raises `UnsupportedValue`."""
    wanted = format_of(suffix)
    return None if is_copy(asset, wanted, wish) else plan(asset, wanted, wish)


def _notes(asset: Asset) -> tuple[str, ...]:
    return tuple((asset.derivation or {}).get("notes", ()))


def _require_file(asset: Asset) -> None:
    missing = next((path for path in (asset.path, asset.sidecar) if path is not None and not path.is_file()), None)
    if missing is not None:
        raise EnvironmentFault(
            "the asset's file is gone from the library", got=missing, fix=f"`studio library remove {asset.id}`"
        )
