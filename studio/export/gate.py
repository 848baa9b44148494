"""The single exit: checks a raw clip, marks it, encodes it, signs it, verifies it, and lets it into the library."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from studio.config import Settings
from studio.consistency.check import ClipContext
from studio.consistency.policy import Judge, Ruling
from studio.consistency.report import Report
from studio.disk import is_full, write_durably
from studio.errors import (
    DiskFull,
    RequestError,
    SealFailed,
    StudioError,
    UnsupportedValue,
)
from studio.export.context import clip_context, with_unassessed
from studio.export.converting import convert
from studio.export.derivation import Derivation
from studio.export.encoder import EncodedFacts
from studio.export.formats import MP4, Format
from studio.export.label import label_of
from studio.export.marking import mark_and_encode
from studio.export.master import master_of
from studio.export.parts import open_part, sound_of_part
from studio.export.pictures import thumbnail
from studio.export.remarks import NO_INHERITED_MARK, mark_warnings
from studio.export.signer import sign
from studio.export.source import Source, open_clip
from studio.export.stamping import add_time_stamp, has_time_stamp
from studio.export.unaltered import require_unaltered
from studio.export.waves import write_wav
from studio.export.witness import Findings, Witness
from studio.jobs.quarantine import RawMaterial
from studio.library.admission import admit, readmit, undo_half_replacement
from studio.library.asset import Asset, file_sha256
from studio.library.store import Store
from studio.media import count_frames
from studio.provenance.certificates import SigningIdentity, watermark_key
from studio.provenance.inspect import read_c2pa
from studio.provenance.manifest import Provenance, build_manifest
from studio.provenance.origin import RECIPES
from studio.provenance.sidecar import SIDECAR_SUFFIX
from studio.provenance.signers import active_identity
from studio.provenance.stamp_queue import StampQueue
from studio.provenance.timestamps import Clock, clock_of
from studio.provenance.trust import TrustList, identity_list, trusted_lists
from studio.provenance.unbound_boxes import unbound_sha256
from studio.provenance.watermark import SHORT_BITS, WatermarkRecord, random_payload

Stage = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class _Made:
    """A finished file without credentials. digest: of the raw frames, or of the samples. poster: None for sound.

    mark: as read back from the file; mark_is_inherited: it came with the parent and was not put in anew.
    """

    path: Path
    format: Format
    width: int
    height: int
    num_frames: int
    frame_rate: Fraction
    report: Report
    digest: str
    poster: bytes | None
    mark: WatermarkRecord | None
    mark_is_inherited: bool = False


class Gate:
    """Seals clips for one library with one identity."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._store = store
        self._settings = settings
        self._identity_folder = settings.identity_folder

    def seal(
        self,
        raw: RawMaterial,
        workdir: Path,
        on_stage: Stage = lambda _stage: None,
        judge: Callable[[Report], Ruling] | None = None,
        admitted: Callable[[Session], None] = lambda _session: None,
    ) -> Asset:
        """Turn a raw clip into an asset. Memory does not grow with the clip's length.

        workdir: a folder on the library's disk; everything half-made stays below it and is removed.
        on_stage: told the name of each step. judge: decides from the report; the clip's own policy by default.
        admitted: what is to be written in the same transaction as the asset, or neither; it may raise to refuse.
        Raises `ChecksFailed`, `SealFailed`, or an `EnvironmentFault` such as `DiskFull`; then nothing has entered the
        library and the raw clip is untouched.
        """
        with _failures(), _room(workdir) as room:
            on_stage("checking")
            made = self._mark_and_encode(raw, room, on_stage)
            ruling = (judge or Judge(policy=raw.policy, seed=raw.request.seed))(made.report)
            watermark_id = None if made.mark is None else made.mark.identifier
            provenance, request = raw.provenance, raw.request
            columns = {
                "job_id": provenance.job_id,
                "model": provenance.model_id,
                "task": provenance.task,
                "prompt": provenance.prompt,
                "seed": str(request.seed),
                "request": request.as_json(),
                "generation_seconds": raw.seconds,
                "watermark_id": watermark_id,
                "ruling": ruling.as_json(),
            }
            columns["master"], original = master_of(raw, room)
            complete = _complete(replace(provenance, ruling=ruling), made, mark_warnings(watermark_id))
            return self._sign_and_admit(made, complete, room, on_stage, columns, admitted, original)

    def derive(
        self,
        parent: Asset,
        derivation: Derivation,
        provenance: Provenance,
        workdir: Path,
        on_stage: Stage = lambda _stage: None,
    ) -> Asset:
        """Make another asset out of one: another format, a part, a picture, the sound.

        provenance: of the new file, with `parent` as its ingredient; its job id becomes the new asset's.
        workdir, on_stage: as for `seal`. Raises `VerificationFailed` when the parent's file is not what was sealed,
        `UnsupportedValue` when it has no sound to be taken, and what `seal` raises.
        """
        require_unaltered(parent)
        with _failures(), _room(workdir) as room:
            on_stage("checking")
            made = self._convert(parent, derivation, room, on_stage)
            is_lost = parent.watermark_id is not None and made.mark is None and derivation.format.kind != "sound"
            warnings = (NO_INHERITED_MARK,) if is_lost else ()
            columns = {
                "job_id": None,
                "parent_id": parent.id,
                "derivation": derivation.as_json() | {"notes": [*derivation.notes, *warnings]},
                "model": parent.model,
                "task": parent.task,
                "prompt": parent.prompt,
                "seed": str(parent.seed),
                "request": parent.request,
                "generation_seconds": 0.0,
                "watermark_id": None if made.mark is None else parent.watermark_id,
            }
            return self._sign_and_admit(made, _complete(provenance, made, warnings), room, on_stage, columns)

    def stamp(self, asset: Asset, workdir: Path) -> Asset:
        """Give a sealed file the time stamp it has to do without so far. Everything else in it stays as it was.

        workdir: as for `seal`. Raises `NoTimeStamp` when the authority gives none, `VerificationFailed` when the file
        is not what was sealed, and what `seal` raises; then file and row are as they were.
        """
        queue = StampQueue(self._settings)
        with _failures(), queue.locked(), _room(workdir) as room:
            asset = self._store.asset(asset.id)  # another process may just have done it
            undo_half_replacement(asset, queue.before(asset.id))
            require_unaltered(asset)
            if has_time_stamp(asset, self._settings):
                queue.done(asset.id)
                return asset
            stamped = room / f"stamped{asset.path.suffix}"
            manifest_store = add_time_stamp(asset, stamped, self._settings)
            queue.keep_before(asset.id, asset.path)
            columns = {"sha256": file_sha256(stamped), "size_bytes": stamped.stat().st_size}
            renewed = readmit(
                self._store, asset, stamped, before=queue.before(asset.id), manifest_store=manifest_store, **columns
            )
            queue.done(asset.id)
            return renewed

    def _mark_and_encode(self, raw: RawMaterial, room: Path, on_stage: Stage) -> _Made:
        source = _labelled(open_clip(raw.clip), raw.provenance)
        witness = Witness(clip_context(raw.request, source), source.expected_frames, sound=source.sound)
        on_stage("marking")
        facts, mark = mark_and_encode(
            source,
            room / "encoded.mp4",
            key=watermark_key(self._identity_folder),
            payload=self._fresh_payload(),
            watch=witness.see,
        )
        return _made(facts, MP4, self._seen(witness), mark)

    def _seen(self, witness: Witness) -> Findings:
        findings = witness.findings()
        return replace(findings, report=with_unassessed(findings.report, self._settings))

    def _fresh_payload(self) -> int:
        """Return a random payload that no clip of this library carries, be it cut to a short one."""
        while True:
            payload = random_payload()
            short = payload % (1 << SHORT_BITS)
            if short and not self._store.assets_with_watermark(f"{short:0{SHORT_BITS // 4}x}"):
                return payload

    def _convert(self, parent: Asset, derivation: Derivation, room: Path, on_stage: Stage) -> _Made:
        encoded = room / f"encoded{derivation.format.suffix}"
        if derivation.format.kind == "sound":
            return _extract_sound(parent, derivation, encoded)
        source = open_part(parent, derivation)
        is_clip = derivation.format.kind != "picture"
        clip = ClipContext(frame_rate=source.raw_rate)
        witness = Witness(clip, source.expected_frames, sound=source.sound, checks=is_clip)
        on_stage("encoding")
        key = watermark_key(self._identity_folder)
        made = convert(source, derivation, encoded, key=key, parent_mark=parent.watermark_id, watch=witness.see)
        return _made(made.facts, derivation.format, self._seen(witness), made.mark, is_inherited=made.is_inherited)

    def _sign_and_admit(
        self,
        made: _Made,
        provenance: Provenance,
        room: Path,
        on_stage: Stage,
        columns: dict[str, Any],
        admitted: Callable[[Session], None] = lambda _session: None,
        original: Path | None = None,
    ) -> Asset:
        identity, clock = active_identity(self._settings), clock_of(self._settings)
        on_stage("signing")
        signed, manifest_store = _sign(made, room, provenance, identity, trusted_lists(self._settings), clock)
        if clock is not None and clock.missed is not None:
            StampQueue(self._settings).add(provenance.job_id, clock.missed)
        on_stage("verifying")
        is_apart = made.format.has_sidecar
        _verify(signed, made, provenance.job_id, identity, manifest_store if is_apart else None)
        sidecar = room / f"signed{SIDECAR_SUFFIX}" if is_apart else None
        if sidecar is not None:
            write_durably(sidecar, lambda stream: stream.write(manifest_store))
        return admit(
            self._store,
            signed,
            relative_path=f"{provenance.created_at:%Y-%m}/{provenance.job_id}{made.format.suffix}",
            sidecar=sidecar,
            original=original,
            admitted=admitted,
            id=provenance.job_id,
            mime_type=made.format.mime_type,
            sha256=file_sha256(signed),
            frames_sha256=made.digest,
            size_bytes=signed.stat().st_size,
            width=made.width,
            height=made.height,
            num_frames=made.num_frames,
            frame_rate=str(made.frame_rate),
            report=made.report.as_json(),
            checks_passed=made.report.passed,
            manifest_store=manifest_store,
            created_at=provenance.created_at,
            **columns,
        )


def _labelled(source: Source, provenance: Provenance) -> Source:
    """Let the visible label be drawn where one is wanted: after the checks, before the mark."""
    is_modified = RECIPES[provenance.origin].relationship == "parentOf" and provenance.provider is None
    label = label_of(provenance.visible_label, source.height, source.width, is_modified=is_modified)
    return source if label is None else replace(source, draw=label)


def _made(
    facts: EncodedFacts, wanted: Format, findings: Findings, mark: WatermarkRecord | None, *, is_inherited: bool = False
) -> _Made:
    return _Made(path=facts.path, format=wanted, width=facts.width, height=facts.height, num_frames=facts.num_frames,
                 frame_rate=facts.frame_rate, report=findings.report, digest=findings.digest,
                 poster=thumbnail(findings.poster), mark=mark, mark_is_inherited=is_inherited)  # fmt: skip


def _extract_sound(parent: Asset, derivation: Derivation, destination: Path) -> _Made:
    sound = sound_of_part(parent, derivation)
    if sound is None:
        raise UnsupportedValue("this clip has no sound", field="output", got=derivation.format.suffix,
                               allowed="formats with a picture")  # fmt: skip
    digest = write_wav(sound, destination)
    report = Report(checks=(), num_frames=0, frame_rate=parent.frame_rate, width=0, height=0, passed=None)
    return _Made(path=destination, format=derivation.format, width=0, height=0, num_frames=0,
                 frame_rate=parent.frame_rate, report=report, digest=digest, poster=None, mark=None)  # fmt: skip


def _complete(provenance: Provenance, made: _Made, warnings: tuple[str, ...]) -> Provenance:
    """Add what is known only now. The file's own figures win over those asked for."""
    is_boxes = made.format.mime_type in ("video/mp4", "video/quicktime")
    return replace(
        provenance,
        checks=tuple((check.id, check.passed, check.score) for check in made.report.checks),
        width=made.width,
        height=made.height,
        num_frames=made.num_frames,
        frame_rate=made.frame_rate,
        unbound_sha256=unbound_sha256(made.path) if is_boxes else None,
        warnings=(*provenance.warnings, *warnings),
    )


def _sign(
    made: _Made,
    room: Path,
    provenance: Provenance,
    identity: SigningIdentity,
    lists: tuple[TrustList, ...],
    clock: Clock | None,
) -> tuple[Path, bytes]:
    signed = room / f"signed{made.format.suffix}"
    manifest = build_manifest(
        provenance,
        title=f"{provenance.job_id}{made.format.suffix}",
        watermark=made.mark,
        watermark_is_inherited=made.mark_is_inherited,
    )
    store = sign(
        made.path,
        signed,
        mime_type=made.format.mime_type,
        manifest=manifest,
        ingredients=provenance.ingredients,
        identity=identity,
        lists=lists,
        clock=clock,
        thumbnail_jpeg=made.poster,
        is_embedded=not made.format.has_sidecar,
    )
    made.path.unlink()
    return signed, store


def _verify(signed: Path, made: _Made, job_id: str, identity: SigningIdentity, manifest_store: bytes | None) -> None:
    """Read the finished file as a stranger would and compare it with what should be in it."""
    reading = read_c2pa(
        signed, mime_type=made.format.mime_type, lists=[identity_list(identity)], manifest_store=manifest_store
    )
    if reading.state != "trusted":
        raise SealFailed(f"the signed file does not verify ({reading.problem or ', '.join(reading.codes)})")
    if (reading.generation or {}).get("job_id") != job_id:
        raise SealFailed("the signed file tells of another job")
    num_frames = count_frames(signed) if made.num_frames else 0
    if num_frames != made.num_frames:
        raise SealFailed(f"the signed file has {num_frames} frames instead of {made.num_frames}")


@contextmanager
def _room(workdir: Path) -> Iterator[Path]:
    """Give an empty folder, gone afterwards."""
    room = workdir / "sealing"
    shutil.rmtree(room, ignore_errors=True)
    try:
        room.mkdir(parents=True)
        yield room
    finally:
        shutil.rmtree(room, ignore_errors=True)


@contextmanager
def _failures() -> Iterator[None]:
    try:
        yield
    except UnsupportedValue:  # asked of a derived file
        raise
    except RequestError as error:  # a provider's clip that cannot be read: not the asker's fault any more
        raise SealFailed(f"it could not be sealed ({error.message})", got=error.got) from error
    except StudioError:
        raise
    except OSError as error:
        if is_full(error):
            raise DiskFull("no room left for the sealed file", fix="free some space") from error
        raise SealFailed(f"it could not be sealed ({error})") from error
    except Exception as error:
        raise SealFailed(f"it could not be sealed ({type(error).__name__}: {error})") from error
