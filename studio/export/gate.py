"""The single exit: checks a raw clip, marks it, encodes it, signs it, verifies it, and lets it into the library."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from studio.config import Settings
from studio.consistency.report import Report
from studio.consistency.runner import run_checks
from studio.disk import is_full
from studio.errors import DiskFull, RequestError, SealFailed, StudioError
from studio.export.encoder import EncodedFacts, encode_jpeg, encode_mp4
from studio.export.signer import sign
from studio.jobs.quarantine import RawMaterial
from studio.library.admission import admit
from studio.library.asset import Asset
from studio.library.store import Store
from studio.media import Audio, EncodedClip, frames_sha256, iter_frames, probe_video, read_audio
from studio.provenance.certificates import SigningIdentity, load_or_create, watermark_key
from studio.provenance.inspect import read_c2pa
from studio.provenance.manifest import Provenance, build_manifest
from studio.provenance.unbound_boxes import unbound_sha256
from studio.provenance.watermark import (
    ALGORITHM,
    WatermarkDetector,
    WatermarkEmbedder,
    WatermarkRecord,
    random_payload,
)

MP4 = "video/mp4"
# Tried in turn until the mark is read back from the encoded file; flat or dark clips need the stronger ones.
STRENGTHS = (1.0, 1.6, 2.5)

NO_MARK = "watermark: this clip is too small, too short or too flat to hold one that can be read back"

Stage = Callable[[str], None]


@dataclass(frozen=True)
class Source:
    """A raw clip that can be walked through more than once without holding it twice."""

    frames: Callable[[], Iterator[NDArray[np.uint8]]]
    width: int
    height: int
    num_frames: int
    frame_rate: Fraction
    audio: Audio | None


class Gate:
    """Seals clips for one library with one identity."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._store = store
        self._identity_folder = settings.identity_folder

    def seal(self, raw: RawMaterial, workdir: Path, on_stage: Stage = lambda _stage: None) -> Asset:
        """Turn a raw clip into an asset.

        workdir: a folder on the library's disk; everything half-made stays below it and is removed.
        on_stage: told the name of each step.
        Raises `SealFailed`, or an `EnvironmentFault` such as `DiskFull`; then nothing has entered the library and the
        raw clip is untouched.
        """
        room = workdir / "sealing"
        shutil.rmtree(room, ignore_errors=True)
        try:
            with _failures():
                room.mkdir(parents=True)
                return self._seal(raw, room, on_stage)
        finally:
            shutil.rmtree(room, ignore_errors=True)

    def _seal(self, raw: RawMaterial, room: Path, on_stage: Stage) -> Asset:
        identity = load_or_create(self._identity_folder)
        source = _open(raw)
        on_stage("checking")
        report = run_checks(source.frames(), source.frame_rate)
        frames_digest = frames_sha256(source.frames())
        on_stage("marking")
        facts, mark = self._mark_and_encode(source, room)
        on_stage("signing")
        provenance = _complete(raw.provenance, facts, report)
        if mark is None:
            provenance = replace(provenance, warnings=(*provenance.warnings, NO_MARK))
        signed, manifest_store = _sign(facts.path, room, provenance, mark, identity, _poster(source))
        on_stage("verifying")
        _verify(signed, facts, provenance.job_id, identity)
        return self._admit(signed, raw, facts, report, frames_digest, mark, manifest_store)

    def _mark_and_encode(self, source: Source, room: Path) -> tuple[EncodedFacts, WatermarkRecord | None]:
        """Encode with the weakest mark that survives the encoder; without one if none does."""
        key, payload = watermark_key(self._identity_folder), random_payload()
        encoded = room / "encoded.mp4"
        for strength in STRENGTHS:
            embedder = WatermarkEmbedder(key, payload, source.height, source.width, strength)
            facts = _encode(source, (embedder.apply(frame) for frame in source.frames()), encoded)
            reading = _read_mark(encoded, key)
            if reading.detected and reading.payload == payload:
                return facts, WatermarkRecord(ALGORITHM, payload, reading.confidence)
        return _encode(source, source.frames(), encoded), None

    def _admit(
        self,
        signed: Path,
        raw: RawMaterial,
        encoded: EncodedFacts,
        report: Report,
        frames_digest: str,
        mark: WatermarkRecord | None,
        manifest_store: bytes,
    ) -> Asset:
        facts, request = raw.provenance, raw.request
        with open(signed, "rb+") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
            os.fsync(stream.fileno())
        return admit(
            self._store,
            signed,
            relative_path=f"{facts.created_at:%Y-%m}/{facts.job_id}.mp4",
            id=facts.job_id,
            job_id=facts.job_id,
            mime_type=MP4,
            sha256=digest,
            frames_sha256=frames_digest,
            size_bytes=signed.stat().st_size,
            width=encoded.width,
            height=encoded.height,
            num_frames=encoded.num_frames,
            frame_rate=str(encoded.frame_rate),
            model=facts.model_id,
            task=facts.task,
            prompt=facts.prompt,
            seed=str(request.seed),
            request=request.as_json(),
            report=report.as_json(),
            checks_passed=report.passed,
            watermark_id=None if mark is None else f"{mark.payload:016x}",
            manifest_store=manifest_store,
            generation_seconds=raw.seconds,
            created_at=facts.created_at,
        )


def _open(raw: RawMaterial) -> Source:
    clip = raw.clip
    if isinstance(clip, EncodedClip):
        path = clip.path
        num_frames = sum(1 for _ in iter_frames(path))
        facts = probe_video(path)
        return Source(
            lambda: (timed.image for timed in iter_frames(path)),
            facts.width,
            facts.height,
            num_frames,
            facts.frame_rate,
            read_audio(path),
        )
    num_frames, height, width = clip.frames.shape[:3]
    return Source(lambda: iter(clip.frames), width, height, num_frames, clip.frame_rate, clip.audio)


def _encode(source: Source, frames: Iterator[NDArray[np.uint8]], destination: Path) -> EncodedFacts:
    return encode_mp4(
        frames,
        destination,
        width=source.width,
        height=source.height,
        frame_rate=source.frame_rate,
        audio=source.audio,
    )


def _read_mark(path: Path, key: bytes) -> Any:
    detector = WatermarkDetector(key)
    for timed in iter_frames(path):
        detector.update(timed.image)
    return detector.finish()


def _poster(source: Source) -> bytes:
    middle = source.num_frames // 2
    return encode_jpeg(next(frame for index, frame in enumerate(source.frames()) if index == middle), 85)


def _complete(provenance: Provenance, encoded: EncodedFacts, report: Report) -> Provenance:
    """Add what is known only now. The file's own figures win over those asked for."""
    checks = tuple((check.id, check.passed, check.score) for check in report.checks)
    return replace(
        provenance,
        checks=checks,
        width=encoded.width,
        height=encoded.height,
        num_frames=encoded.num_frames,
        frame_rate=encoded.frame_rate,
        unbound_sha256=unbound_sha256(encoded.path),
    )


def _sign(
    encoded: Path,
    room: Path,
    provenance: Provenance,
    mark: WatermarkRecord | None,
    identity: SigningIdentity,
    thumbnail: bytes,
) -> tuple[Path, bytes]:
    signed = room / "signed.mp4"
    manifest = build_manifest(provenance, title=f"{provenance.job_id}.mp4", watermark=mark)
    store = sign(
        encoded,
        signed,
        mime_type=MP4,
        manifest=manifest,
        ingredients=provenance.ingredients,
        identity=identity,
        thumbnail_jpeg=thumbnail,
    )
    return signed, store


def _verify(signed: Path, encoded: EncodedFacts, job_id: str, identity: SigningIdentity) -> None:
    """Read the finished file as a stranger would and compare it with what should be in it."""
    reading = read_c2pa(signed, mime_type=MP4, anchors_pem=identity.anchors_pem)
    if reading.state != "trusted":
        raise SealFailed(f"the signed file does not verify ({reading.problem or ', '.join(reading.codes)})")
    if (reading.generation or {}).get("job_id") != job_id:
        raise SealFailed("the signed file tells of another job")
    num_frames = sum(1 for _ in iter_frames(signed))
    if num_frames != encoded.num_frames:
        raise SealFailed(f"the signed file has {num_frames} frames instead of {encoded.num_frames}")


@contextmanager
def _failures() -> Iterator[None]:
    try:
        yield
    except RequestError as error:  # a provider's clip that cannot be read: not the asker's fault any more
        raise SealFailed(f"the raw clip cannot be sealed ({error.message})", got=error.got) from error
    except StudioError:
        raise
    except OSError as error:
        if is_full(error):
            raise DiskFull("no room left for the sealed file", fix="free some space") from error
        raise SealFailed(f"the clip could not be sealed ({error})") from error
    except Exception as error:
        raise SealFailed(f"the clip could not be sealed ({type(error).__name__}: {error})") from error
