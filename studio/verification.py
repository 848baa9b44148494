"""What may I trust about this file: credentials, mark and library record, put together."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from studio.config import Settings
from studio.errors import UnreadableMedia
from studio.library.asset import Asset
from studio.library.store import Store
from studio.media import iter_frames, open_regular_file, read_image, sniff_mime_type
from studio.provenance.certificates import has_watermark_key, own_anchors, watermark_key
from studio.provenance.inspect import C2paReading, read_c2pa
from studio.provenance.unbound_boxes import has_foreign_padding, unbound_sha256
from studio.provenance.watermark import WatermarkDetector, WatermarkReading

# The mark is the same in all frames; more of them only steady the reading.
MARK_FRAMES = 96

UNBOUND_MISMATCH = "org.localvideostudio.unboundBoxes.mismatch"
PADDING_MISMATCH = "org.localvideostudio.padding.mismatch"
FILE_MISMATCH = "org.localvideostudio.fileHash.mismatch"


@dataclass(frozen=True, kw_only=True)
class Verification:
    """Everything found out about one file.

    asset: the library's own record of it, matched by its credentials or its mark.
    reason: why it may not be trusted as it is, in plain words; None when it may.
    """

    path: Path
    c2pa: C2paReading
    watermark: WatermarkReading
    asset: Asset | None
    reason: str | None

    @property
    def is_intact(self) -> bool:
        return self.c2pa.state in ("trusted", "valid")

    def as_json(self) -> dict[str, Any]:
        """Return the object of ``studio verify --json``."""
        payload = self.watermark.payload
        return {
            "path": str(self.path),
            "c2pa": {
                "state": self.c2pa.state,
                "codes": list(self.c2pa.codes),
                "generator": self.c2pa.generator,
                "issuer": self.c2pa.issuer,
                "generation": self.c2pa.generation,
                "ingredients": [
                    {
                        "title": item.title,
                        "relationship": item.relationship,
                        "state": item.state,
                        "codes": list(item.codes),
                        "problem": item.problem,
                    }
                    for item in self.c2pa.ingredients
                ],
            },
            "watermark": {
                "detected": self.watermark.detected,
                "payload": None if payload is None else f"{payload:016x}",
                "confidence": self.watermark.confidence,
            },
            "asset": None if self.asset is None else self.asset.id,
            "reason": self.reason,
        }


def verify(path: Path, settings: Settings, store: Store) -> Verification:
    """Inspect any video or picture from anywhere. Nothing is fetched, nothing in the file is believed.

    Raises `UnreadableMedia` when there is no file to read; a file that makes no sense is reported, not raised.
    """
    _require_file(path)
    reading = read_c2pa(path, anchors_pem=own_anchors(settings.identity_folder))
    reading = _check_unbound_boxes(path, reading)
    mark = _read_mark(path, settings.identity_folder)
    asset = _known_asset(reading, mark, store)
    reading = _check_against_library(path, reading, asset)
    return Verification(path=path, c2pa=reading, watermark=mark, asset=asset, reason=_reason(path, reading, asset))


def _require_file(path: Path) -> None:
    """Refuse what is no file at all; an empty one is a file about which there is nothing good to say."""
    if path.is_file() and path.stat().st_size == 0:
        return
    open_regular_file(path, field="file").close()


def _check_unbound_boxes(path: Path, reading: C2paReading) -> C2paReading:
    """Catch edits in boxes that the hard binding leaves out."""
    if reading.state not in ("trusted", "valid"):
        return reading
    if has_foreign_padding(path):
        return _invalid(reading, PADDING_MISMATCH, "something was hidden in the padding of the signature")
    expected = (reading.generation or {}).get("unbound_sha256")
    if expected is None or unbound_sha256(path) == expected:
        return reading
    return _invalid(reading, UNBOUND_MISMATCH, "the file's header or padding was changed after signing")


def _check_against_library(path: Path, reading: C2paReading, asset: Asset | None) -> C2paReading:
    if asset is None or reading.state != "trusted" or _file_sha256(path) == asset.sha256:
        return reading
    return _invalid(reading, FILE_MISMATCH, "the file differs from the one this library sealed")


def _invalid(reading: C2paReading, code: str, problem: str) -> C2paReading:
    return replace(reading, state="invalid", codes=(*reading.codes, code), problem=problem)


def _read_mark(path: Path, identity_folder: Path) -> WatermarkReading:
    if not has_watermark_key(identity_folder):
        return WatermarkReading(detected=False, payload=None, confidence=0.0)
    detector = WatermarkDetector(watermark_key(identity_folder))
    with suppress(UnreadableMedia):  # whole frames before the damage may hold the mark
        mime_type = sniff_mime_type(path)
        if mime_type is not None and mime_type.startswith("image/") and mime_type != "image/gif":
            detector.update(read_image(path))
        elif mime_type is not None:
            for timed in islice(iter_frames(path), MARK_FRAMES):
                detector.update(timed.image)
    return detector.finish()


def _known_asset(reading: C2paReading, mark: WatermarkReading, store: Store) -> Asset | None:
    job_id = (reading.generation or {}).get("job_id")
    if reading.state == "trusted" and isinstance(job_id, str) and (asset := store.asset_of_job(job_id)):
        return asset
    return store.asset_with_watermark(f"{mark.payload:016x}") if mark.payload is not None else None


def _reason(path: Path, reading: C2paReading, asset: Asset | None) -> str | None:
    if reading.state == "trusted":
        return reading.problem
    if reading.state == "valid":
        if asset is not None and _file_sha256(path) != asset.sha256:
            return f"signed by somebody this studio does not know, although its mark is that of asset {asset.id}"
        return reading.problem or "intact, but the signer is not one this studio knows"
    words = reading.problem or ("it carries no Content Credentials" if reading.state == "absent" else "it was changed")
    if asset is None:
        return words
    return f"{words}; its invisible mark says it came from asset {asset.id} of this library"


def _file_sha256(path: Path) -> str:
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
