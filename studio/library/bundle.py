"""Many assets in one ZIP: the sealed files byte for byte, what lies beside them, and a manifest that tells of all."""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Protocol, cast

from studio import __version__
from studio.config import PromptPolicy, Settings
from studio.delivery import check_destination, deliver_written
from studio.disk import require_room
from studio.errors import Canceled, StoreFault, UnsupportedValue, VerificationFailed
from studio.library.asset import Asset
from studio.library.browsing import AssetItem, read_items
from studio.library.lineage import sources_of
from studio.library.store import Store
from studio.provenance.certificates import watermark_key
from studio.provenance.prompts import PROMPT_FIELDS, prompt_key, repeats, told

MAX_BUNDLED = 10_000
MANIFEST = "manifest.json"
_CHUNK_BYTES = 2**20
# A folder of this machine at the beginning of a value or of one of several in it, such as that of a LoRA.
_FOLDER = re.compile(r"(?<![^\s,:])(?:~|[A-Za-z]:)?[/\\](?:[^,/\\]*[/\\])*")
_OF_CHECKS = ("id", "title", "score", "value", "unit", "threshold", "passed", "reason", "worst_frames")


class Sink(Protocol):
    """Where the bytes of a ZIP go. It need not be able to go back."""

    def write(self, data: bytes, /) -> int:
        """Take some bytes, and return how many."""

    def flush(self) -> None:
        """Pass them on."""


@dataclass(frozen=True, kw_only=True)
class BundleProgress:
    """How far it is. done, total: files of the library."""

    done: int
    total: int
    done_bytes: int
    total_bytes: int


@dataclass(frozen=True, kw_only=True)
class Bundled:
    """What was written."""

    path: Path
    assets: tuple[Asset, ...]
    size_bytes: int


Watch = Callable[[BundleProgress], None]
IsCanceled = Callable[[], bool]


class Bundles:
    """Writes ZIP files of assets. Nothing is compressed: clips are already."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._settings = settings

    def bundle(
        self,
        ids: Sequence[str],
        destination: Path,
        watch: Watch = lambda _progress: None,
        is_canceled: IsCanceled = lambda: False,
    ) -> Bundled:
        """Write a new ``.zip`` file, whole or not at all. ids: of assets, or their beginnings; up to MAX_BUNDLED.

        Raises `UnsupportedValue`, `UnknownAsset`, `OutputRefused`, `DiskFull`, `StoreFault` for a file that is gone,
        `VerificationFailed` for one that is not what was sealed, `Canceled`.
        """
        path = check_destination(destination, suffix=".zip", overwrite=False, home=self._settings.home)
        assets = self.chosen(ids)
        size_bytes = sum(asset.size_bytes for asset in assets)
        require_room(path.parent, size_bytes, what="the ZIP file")
        deliver_written(path, lambda stream: self.write(assets, stream, watch, is_canceled))
        return Bundled(path=path, assets=assets, size_bytes=path.stat().st_size)

    def chosen(self, ids: Sequence[str]) -> tuple[Asset, ...]:
        """Return the assets of these ids once each, in this order. Raises `UnsupportedValue`, `UnknownAsset`."""
        wanted = list(dict.fromkeys(ids))
        if not 1 <= len(wanted) <= MAX_BUNDLED:
            raise UnsupportedValue("not a number of assets that fits into one file", field="ids", got=len(wanted),
                                   allowed=f"1 to {MAX_BUNDLED}")  # fmt: skip
        return tuple({asset.id: asset for asset in map(self._store.asset, wanted)}.values())

    def write(
        self,
        assets: Sequence[Asset],
        sink: Sink,
        watch: Watch = lambda _progress: None,
        is_canceled: IsCanceled = lambda: False,
    ) -> None:
        """Write the ZIP piece by piece, from its first byte to its last. Raises as `bundle`, and what `sink` does."""
        total, done_bytes = sum(asset.size_bytes for asset in assets), 0
        manifest = json.dumps(self.manifest(assets), indent=2, ensure_ascii=False).encode()
        with zipfile.ZipFile(cast("IO[bytes]", sink), "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
            archive.writestr(_entry(MANIFEST, datetime.now(UTC), len(manifest)), manifest)
            for number, asset in enumerate(assets, 1):
                _put(archive, asset, is_canceled)
                done_bytes += asset.size_bytes
                watch(BundleProgress(done=number, total=len(assets), done_bytes=done_bytes, total_bytes=total))

    def manifest(self, assets: Sequence[Asset]) -> dict[str, Any]:
        """Return what the ZIP tells of its files: of prompts no more than the prompt policy allows."""
        ids = [asset.id for asset in assets]
        with self._store.database.read() as session:
            items = {item.id: item for item in read_items(session, ids)}
            sources = sources_of(session, ids)
        return {
            "studio": __version__,
            "created_at": datetime.now(UTC).isoformat(),
            "assets": [self._told(asset, items.get(asset.id), sources.get(asset.id, [])) for asset in assets],
        }

    def _told(self, asset: Asset, item: AssetItem | None, sources: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": asset.id,
            "file": _name(asset),
            "sidecar": None if asset.sidecar is None else _sidecar_name(asset),
            "sha256": asset.sha256,
            "size_bytes": asset.size_bytes,
            "mime_type": asset.mime_type,
            "kind": asset.kind,
            "width": asset.width,
            "height": asset.height,
            "num_frames": asset.num_frames,
            "frame_rate": str(asset.frame_rate),
            "model": asset.model,
            "task": asset.task,
            "seed": str(asset.seed),
            "created_at": asset.created_at.isoformat(),
            "prompt": self._prompt(asset),
            "request": self._request(asset),
            "checks": {"standing": asset.standing, "results": [_check(check) for check in asset.report["checks"]]},
            "made_from": sources,
            "provider": (asset.master or {}).get("provider"),
            "attribution": (asset.master or {}).get("attribution"),
            "caption": item.caption if item else "",
            "rating": item.rating if item else None,
            "tags": list(item.tags) if item else [],
        }

    def _prompt(self, asset: Asset) -> dict[str, Any]:
        policy, prompts = self._settings.prompt_policy, _prompts(asset)
        key = None
        if policy is PromptPolicy.HASH:
            key = prompt_key(watermark_key(self._settings.identity_folder), asset.id)
        return told(policy, prompts, key)

    def _request(self, asset: Asset) -> dict[str, Any]:
        """Return the request without prompts, which are told elsewhere, and without folders of this machine."""
        request, prompts = asset.request, _prompts(asset).values()
        is_full = self._settings.prompt_policy is PromptPolicy.FULL

        def may_tell(value: object) -> bool:
            return is_full or not isinstance(value, str) or not repeats(value, prompts)

        options = {name: value for name, value in request.get("options", {}).items() if may_tell(value)}
        return {name: value for name, value in request.items() if name not in PROMPT_FIELDS} | {
            "conditionings": [{name: item[name] for name in ("role", "sha256")} for item in request["conditionings"]],
            "options": {name: _without_folders(value) for name, value in options.items()},
            "warnings": [words for words in request.get("warnings", ()) if may_tell(words)],
        }


def _prompts(asset: Asset) -> dict[str, str]:
    return {name: str(asset.request.get(name) or "") for name in PROMPT_FIELDS} | {"prompt": asset.prompt}


def _without_folders(value: object) -> object:
    return _FOLDER.sub("", value) if isinstance(value, str) else value


def _check(check: dict[str, Any]) -> dict[str, Any]:
    return {name: check[name] for name in _OF_CHECKS if name in check}


def _name(asset: Asset) -> str:
    return f"{asset.id}{Path(asset.name).suffix}"


def _sidecar_name(asset: Asset) -> str:
    sidecar = asset.sidecar
    return f"{asset.id}{sidecar.suffix}" if sidecar else ""


def _entry(name: str, made_at: datetime, size_bytes: int) -> zipfile.ZipInfo:
    """Return the head of one file. The earliest year of the format is 1980."""
    when = max(made_at.astimezone(UTC), datetime(1980, 1, 1, tzinfo=UTC))
    entry = zipfile.ZipInfo(name, when.timetuple()[:6])
    entry.file_size, entry.external_attr = size_bytes, 0o100644 << 16
    return entry


def _put(archive: zipfile.ZipFile, asset: Asset, is_canceled: IsCanceled) -> None:
    """Copy an asset's file and its sidecar, and see on the way that it is what was sealed."""
    digest = _copy(archive, asset, asset.path, _name(asset), is_canceled)
    if digest != asset.sha256:
        raise VerificationFailed("the file in the library was changed after it was sealed", got=asset.id,
                                 fix=f"leave it out, or delete it: `studio library remove {asset.id}`")  # fmt: skip
    if (sidecar := asset.sidecar) is not None:
        _copy(archive, asset, sidecar, _sidecar_name(asset), is_canceled)


def _copy(archive: zipfile.ZipFile, asset: Asset, source: Path, name: str, is_canceled: IsCanceled) -> str:
    """Return the hex SHA-256 of what was copied."""
    digest = hashlib.sha256()
    try:
        stream = open(source, "rb")  # noqa: SIM115
    except OSError as error:
        raise StoreFault(f"a file of the library cannot be read ({error.strerror or error})", field="asset",
                         got=asset.id, fix="leave it out") from error  # fmt: skip
    with stream, archive.open(_entry(name, asset.created_at, source.stat().st_size), "w") as target:
        while chunk := stream.read(_CHUNK_BYTES):
            if is_canceled():
                raise Canceled
            digest.update(chunk)
            target.write(chunk)
    return digest.hexdigest()
