"""What may I trust about this file: credentials, mark and library record, put together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from studio.config import Settings
from studio.errors import UnreadableMedia
from studio.inspection.checklist import TemporalViewer, checklist
from studio.inspection.conclusion import conclude, reason
from studio.inspection.disclosures import disclosures
from studio.inspection.media_facts import media_facts
from studio.inspection.recovery import (
    MarkReader,
    asset_of_credentials,
    asset_of_file,
    is_record_of,
    match,
)
from studio.inspection.report import MediaFacts, Verification
from studio.inspection.traces import PictureViewer
from studio.inspection.viewing import show
from studio.library.store import Store
from studio.media import open_regular_file, sniff_mime_type
from studio.provenance.explain import explain
from studio.provenance.inspect import GAVE_UP, C2paReading, read_c2pa
from studio.provenance.record_layout import foreign_part
from studio.provenance.sidecar import places_beside, record_at
from studio.provenance.trust import TrustList, trusted_lists
from studio.provenance.unbound_boxes import unbound_sha256

UNBOUND_MISMATCH = "org.localvideostudio.unboundBoxes.mismatch"
PADDING_MISMATCH = "org.localvideostudio.padding.mismatch"
LAYOUT_MISMATCH = "org.localvideostudio.record.layout"
FILE_MISMATCH = "org.localvideostudio.fileHash.mismatch"

MARK_SECONDS, CHECKLIST_SECONDS = 4.0, 2.5


def verify(
    path: Path, settings: Settings, store: Store, *, search: bool = True, with_checklist: bool = True
) -> Verification:
    """Inspect any video, picture or sound from anywhere. Nothing is fetched, nothing in the file is believed.

    search: where nothing else tells anything, take up to nine seconds to look for a mark in a changed picture.
    with_checklist: also look at the file itself, and at what the law wants to be disclosed.
    Raises `UnreadableMedia` when there is no file to read; a file that makes no sense is reported, not raised.
    """
    _require_file(path)
    lists = trusted_lists(settings)
    reading = _read(path, lists)
    same = asset_of_file(path, store)
    told = asset_of_credentials(reading, store)
    if told is not None and same is not None and told.sha256 == same.sha256:
        same = told  # files whose record lies beside them may be the same to the byte
    if told is not None and same is None and is_record_of(told, reading, store):
        reading = _invalid(reading, FILE_MISMATCH)
    facts = _facts(path, reading)
    marks, temporal, picture = MarkReader(settings, store), TemporalViewer(facts), PictureViewer()
    viewers = (marks, temporal, picture) if with_checklist else (marks,)
    show(path, facts, viewers, max_seconds=CHECKLIST_SECONDS if with_checklist else MARK_SECONDS)
    mark, marked = marks.finish(search=False)
    may_search = (
        search and marks.has_seen and not mark.detected and same is None and reading.state in ("absent", "invalid")
    )
    if may_search:
        mark, marked = marks.finish(search=True)
    library = match({"file hash": same, "credentials": told, "watermark": marked}, mark, reading, store, lists)
    verification = Verification(
        path=path,
        c2pa=reading,
        watermark=mark,
        library=library,
        conclusion=conclude(reading, library),
        reason=reason(reading, library),
        media=facts,
        was_searched=may_search,
    )
    if not with_checklist:
        return verification
    return replace(
        verification,
        checklist=checklist(path, facts, reading, temporal, picture),
        disclosures=disclosures(verification),
    )


def _facts(path: Path, reading: C2paReading) -> MediaFacts:
    """Return the facts of the file; nobody else is asked to read what is built to keep a reader busy."""
    if GAVE_UP in reading.codes:
        return MediaFacts(container=None, size_bytes=path.stat().st_size, problem=reading.problem)
    return media_facts(path)


def _require_file(path: Path) -> None:
    """Refuse what is no file at all; an empty one is a file about which there is nothing good to say."""
    if path.is_file() and path.stat().st_size == 0:
        return
    open_regular_file(path, field="file").close()


def _read(path: Path, lists: Sequence[TrustList]) -> C2paReading:
    """Read the record in the file, or the one beside it, and what the SDK leaves unchecked in both."""
    reading = read_c2pa(path, lists=lists)
    if reading.state != "absent" or GAVE_UP in reading.codes:
        return _check_unbound(path, reading, None)
    for place, counts_if_broken in places_beside(path, _kind(path)):
        manifest_store = record_at(place)
        if manifest_store is None:
            continue
        beside = _check_unbound(path, read_c2pa(path, lists=lists, manifest_store=manifest_store), manifest_store)
        if beside.state in ("trusted", "valid") or (beside.state == "invalid" and counts_if_broken):
            return beside
    return reading


def _kind(path: Path) -> str | None:
    try:
        return sniff_mime_type(path)
    except UnreadableMedia:
        return None


def _check_unbound(path: Path, reading: C2paReading, manifest_store: bytes | None) -> C2paReading:
    """Catch edits in what the hard binding and the signature leave out."""
    if reading.state not in ("trusted", "valid"):
        return reading
    found = foreign_part(path, manifest_store, strict=reading.generation is not None)
    if found is not None:
        return _invalid(reading, PADDING_MISMATCH if found == "padding" else LAYOUT_MISMATCH)
    expected = (reading.generation or {}).get("unbound_sha256")
    if expected is None or unbound_sha256(path) == expected:
        return reading
    return _invalid(reading, UNBOUND_MISMATCH)


def _invalid(reading: C2paReading, code: str) -> C2paReading:
    return replace(
        reading,
        state="invalid",
        codes=(*reading.codes, code),
        failures=(*reading.failures, code),
        problem=explain((code,)),
        trust_list=None,
    )
