"""Which asset of this library a file is or came from, and the record that the library keeps of it."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from studio.config import Settings
from studio.inspection.report import LibraryMatch, Match, Recovered
from studio.library.asset import Asset, file_sha256
from studio.library.store import Store
from studio.library.tables import AssetRow
from studio.media import Image
from studio.provenance.certificates import has_watermark_key, watermark_key
from studio.provenance.inspect import read_manifest_store
from studio.provenance.manifest import SOFT_BINDING_LABEL
from studio.provenance.reading import C2paReading
from studio.provenance.trust import OWN_LIST, TrustList
from studio.provenance.watermark import ALGORITHM, FULL_BITS, MAX_FRAMES, WatermarkDetector, WatermarkReading
from studio.provenance.watermark.reading import NOTHING_FOUND

# The mark is the same in all frames; more of them only steady the reading.
MARK_FRAMES = MAX_FRAMES

# What a record says about content that it was not found in.
_CONTENT_CODES = ("assertion.bmffHash.mismatch", "assertion.dataHash.mismatch", "assertion.boxesHash.mismatch",
                  "signingCredential.untrusted")  # fmt: skip


class MarkReader:
    """Reads this studio's mark from the frames it is shown, and says which asset it names."""

    def __init__(self, settings: Settings, store: Store) -> None:
        folder = settings.identity_folder
        self._store = store
        self._detector = _detector(watermark_key(folder), store) if has_watermark_key(folder) else None
        self._count = 0

    @property
    def is_done(self) -> bool:
        return self._detector is None or self._count >= MARK_FRAMES

    @property
    def has_seen(self) -> bool:
        """Whether there is a key to look with, and something to look at."""
        return self._count > 0

    def look(self, image: Image) -> None:
        """Look at the next frame, (H, W, 3) uint8 RGB."""
        if self._detector is not None:
            self._detector.update(image)
            self._count += 1

    def finish(self, *, search: bool) -> tuple[WatermarkReading, Asset | None]:
        """Return the mark and its asset. search: take up to nine seconds to undo crops, scaling and the like.

        A short mark is found by chance too easily to say anything unless the library knows it.
        """
        if self._detector is None or self._count == 0:
            return NOTHING_FOUND, None
        mark = self._detector.finish(search=search)
        asset = self._store.asset_with_watermark(mark.identifier) if mark.identifier is not None else None
        return (NOTHING_FOUND, None) if mark.detected and mark.bits < FULL_BITS and asset is None else (mark, asset)


def _detector(key: bytes, store: Store) -> WatermarkDetector:
    """Return a reader that knows the marks of this library: a faint one is recognised where it could not be read."""
    known = [int(item, 16) for item in store.watermark_ids(FULL_BITS // 4)]
    return WatermarkDetector(key, known, store.marked_sizes())


def asset_of_credentials(reading: C2paReading, store: Store) -> Asset | None:
    """Return the asset that a record of this studio tells of; a stranger's word about one counts for nothing."""
    job_id = (reading.generation or {}).get("job_id")
    if reading.state != "trusted" or reading.trust_list != OWN_LIST or not isinstance(job_id, str):
        return None
    return store.asset_of_job(job_id)


def asset_of_file(path: Path, store: Store) -> Asset | None:
    """Return the asset whose file this is byte for byte, or None. It is read only if an asset has its size."""
    with store.database.read() as session:
        sizes = sa.select(AssetRow.id).where(AssetRow.size_bytes == path.stat().st_size).limit(1)
        if session.scalars(sizes).first() is None:
            return None
    query = sa.select(AssetRow.id).where(AssetRow.sha256 == file_sha256(path)).order_by(AssetRow.created_at).limit(1)
    with store.database.read() as session:
        asset_id = session.scalars(query).first()
    return None if asset_id is None else store.asset(asset_id)


def is_record_of(asset: Asset, reading: C2paReading, store: Store) -> bool:
    """Say whether this is the very record that the asset has, so that its file must be that one.

    A copy made before the asset got its time stamp has the record without it, and is what it was.
    """
    stored = _manifest_store(asset, store)
    if stored is None or reading.identifier is None:
        return False
    return read_manifest_store(stored).identifier == reading.identifier


def match(
    found: Mapping[Match, Asset | None], mark: WatermarkReading, reading: C2paReading, store: Store,
    lists: Sequence[TrustList],
) -> LibraryMatch | None:  # fmt: skip
    """Put together what led to an asset. found: the asset that each way led to, the most certain way first."""
    asset = next((item for item in found.values() if item is not None), None)
    if asset is None:
        return None
    # A mark names the original, and every cut and other format of it carries the same one.
    family = _line_of(asset, store)
    by = tuple(name for name, item in found.items() if item is not None and item.id in family)
    has_record = reading.state in ("trusted", "valid")
    return LibraryMatch(
        asset=asset,
        by=by,
        is_same_file="file hash" in by,
        recovered=None if has_record else _recover(asset, mark, store, lists),
    )


def _line_of(asset: Asset, store: Store) -> set[str]:
    """Return the ids of an asset and of all that it was made from in turn, as far as the library still knows them."""
    line, parent_id = {asset.id}, asset.parent_id
    while parent_id is not None and parent_id not in line:
        line.add(parent_id)
        with store.database.read() as session:
            parent_id = session.scalar(sa.select(AssetRow.parent_id).where(AssetRow.id == parent_id))
    return line


def _recover(asset: Asset, mark: WatermarkReading, store: Store, lists: Sequence[TrustList]) -> Recovered | None:
    """Read the record that the library keeps of an asset, and see whether it holds and names the mark that was read."""
    stored = _manifest_store(asset, store)
    if stored is None:
        return None
    reading = read_manifest_store(stored, lists=lists)
    return Recovered(
        reading=reading,
        holds=reading.manifest is not None and not set(reading.failures) - set(_CONTENT_CODES),
        names_the_mark=names_mark(reading.manifest or {}, mark) if mark.detected else None,
    )


def _manifest_store(asset: Asset, store: Store) -> bytes | None:
    with store.database.read() as session:
        stored = session.scalar(sa.select(AssetRow.manifest_store).where(AssetRow.id == asset.id))
    return bytes(stored) if stored else None


def names_mark(manifest: Mapping[str, Any], mark: WatermarkReading) -> bool:
    """Say whether a manifest's soft binding is this very mark: its algorithm and its value."""
    if mark.payload is None:
        return False
    expected = mark.payload.to_bytes(-(-mark.bits // 8), "big")
    bindings = (item.get("data") for item in manifest.get("assertions") or () if _is_binding(item))
    return any(
        data.get("alg") == ALGORITHM and any(_value(block) == expected for block in data.get("blocks") or ())
        for data in bindings
        if isinstance(data, Mapping)
    )


def _is_binding(assertion: Mapping[str, Any]) -> bool:
    return str(assertion.get("label", "")).split("__", 1)[0] == SOFT_BINDING_LABEL


def _value(block: Mapping[str, Any]) -> bytes | None:
    try:
        return base64.b64decode(str(block.get("value")), validate=True)
    except (binascii.Error, ValueError):
        return None
