"""The clip that is to be longer: an asset of the library, or a video from anywhere."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import sqlalchemy as sa

from studio.errors import EnvironmentFault, UnreadableMedia, UnsupportedValue
from studio.export.unaltered import require_unaltered
from studio.library.asset import Asset, file_sha256
from studio.library.store import Store, UnknownAsset
from studio.library.tables import AssetRow
from studio.media import Image, iter_frames, probe_video, read_audio, sniff_mime_type

FIELD = "clip"
# A frame may stray so far from an even beat, in frames; beyond that windows would play faster or slower than the clip.
_UNEVEN = 0.75


@dataclass(frozen=True, kw_only=True, eq=False)
class Parent:
    """A clip whose every frame was decoded once.

    asset: None for a file that is not in the library. last: its last frame, (H, W, 3) uint8 RGB.
    num_frames: that can be decoded. frame_rate: frames per second.
    """

    path: Path
    asset: Asset | None
    mime_type: str
    sha256: str
    width: int
    height: int
    num_frames: int
    frame_rate: Fraction
    last: Image

    @property
    def duration_seconds(self) -> Fraction:
        """How long it lasts."""
        return self.num_frames / self.frame_rate


def find_parent(clip: str, store: Store) -> Parent:
    """Return the clip of this id or at this path. A file that is a copy of an asset counts as that asset.

    Raises `UnknownAsset`, `UnreadableMedia`, `UnsupportedValue` for what is no clip, `VerificationFailed` for an
    asset whose file is not what was sealed.
    """
    asset, path = _named(clip, store)
    if asset is not None:
        _require_clip(asset)
        require_unaltered(asset)
        return _decoded(asset.path, asset, asset.mime_type, asset.sha256, asset.frame_rate)
    mime_type = sniff_mime_type(path, field=FIELD) or "application/octet-stream"
    if mime_type.startswith("image/") and mime_type != "image/gif":
        raise _picture(path, mime_type)
    facts = probe_video(path, field=FIELD)
    return _decoded(path, None, mime_type, file_sha256(path), facts.frame_rate)


def _named(clip: str, store: Store) -> tuple[Asset | None, Path]:
    path = Path(clip)
    if not path.exists() and (path.suffix or len(path.parts) > 1):
        raise UnreadableMedia("there is no such file", field=FIELD, got=clip, fix="check the path")
    if not path.exists() or not clip:
        try:
            asset = store.asset(clip)
        except UnknownAsset as error:
            error.field, error.message = FIELD, f"{error.message}, and no such file"
            error.advise("`studio library list` shows the ids")
            raise
        return asset, asset.path
    sniff_mime_type(path, field=FIELD)  # a folder or an empty file is refused before it is read
    with store.database.read() as session:
        same = sa.select(AssetRow.id).where(AssetRow.sha256 == file_sha256(path)).limit(1)
        known = session.scalars(same).first()
    return (None, path.absolute()) if known is None else (store.asset(known), path.absolute())


def _require_clip(asset: Asset) -> None:
    if asset.kind == "picture":
        raise _picture(asset.path, asset.mime_type)
    if asset.mime_type not in ("video/mp4", "video/quicktime"):
        instead = f"extend asset {asset.parent_id}" if asset.parent_id else "extend the clip it was made from"
        raise UnsupportedValue("only clips that hold their own record go on", field=FIELD, got=asset.mime_type,
                               allowed="video/mp4, video/quicktime", fix=instead)  # fmt: skip
    if not asset.is_there:
        raise EnvironmentFault("the asset's file is gone from the library", got=asset.id,
                               fix=f"`studio library remove {asset.id}`")  # fmt: skip


def _picture(path: Path, mime_type: str) -> UnreadableMedia:
    return UnreadableMedia(f"this is a picture ({mime_type}), not a clip", field=FIELD, got=path, allowed="a video",
                           fix="`studio generate --image FILE` makes a clip of it")  # fmt: skip


def _decoded(path: Path, asset: Asset | None, mime_type: str, sha256: str, frame_rate: Fraction) -> Parent:
    """Walk through all frames. Raises `UnreadableMedia` for damage, sound of more than ten minutes, an uneven beat."""
    read_audio(path, field=FIELD)
    last: Image | None = None
    count, off = 0, 0.0
    for frame in iter_frames(path, field=FIELD):
        off = max(off, abs(frame.time_seconds * float(frame_rate) - count))
        last, count = frame.image, count + 1
    if last is None:
        raise UnreadableMedia("there is not one frame in it", field=FIELD, got=path, fix="choose another file")
    if off > _UNEVEN:
        raise UnsupportedValue("its frames come at an uneven beat", field=FIELD, got=path,
                               allowed="a constant frame rate", fix="re-encode it at one")  # fmt: skip
    height, width = last.shape[:2]
    return Parent(path=path, asset=asset, mime_type=mime_type, sha256=sha256, width=width, height=height,
                  num_frames=count, frame_rate=frame_rate, last=last)  # fmt: skip
