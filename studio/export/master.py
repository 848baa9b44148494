"""The clip as a provider sent it: kept untouched beside the one that is sealed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from studio.jobs.quarantine import RawMaterial
from studio.library.asset import file_sha256
from studio.media import EncodedClip


def master_of(raw: RawMaterial, room: Path) -> tuple[dict[str, Any] | None, Path | None]:
    """Return what is known of the file that a provider sent, and a name of it in `room`; None of other clips.

    The file in quarantine stays where it is: it is needed again should sealing fail at the last moment.
    """
    clip, provider = raw.clip, raw.provenance.provider
    if not isinstance(clip, EncodedClip) or provider is None:
        return None, None
    path = room / "master"
    try:
        os.link(clip.path, path)
    except OSError:  # another disk, or a file system without second names
        shutil.copyfile(clip.path, path)
    facts = {
        "provider": provider,
        "provider_job_id": raw.provenance.provider_job_id,
        "attribution": raw.provenance.attribution,
        "mime_type": clip.mime_type,
        "size_bytes": path.stat().st_size,
        "sha256": file_sha256(path),
    }
    return facts, path
