"""Where an asset comes from and what came of it: picture, clip, extension, export; upwards and downwards."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePath
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from studio.library.asset import kind_of
from studio.library.curation_tables import NoteRow
from studio.library.database import in_parts
from studio.library.store import Store
from studio.library.tables import AssetRow
from studio.provenance.origin import Origin
from studio.request import Task

MAX_NODES = 200
MAX_DEPTH = 16
OUTSIDE = "outside"
EXTENDED, WINDOW = "extended", "window"
_SEARCHED_AT_ONCE = 25
_COLUMNS = (
    AssetRow.id, AssetRow.parent_id, AssetRow.derivation, AssetRow.request, AssetRow.sha256, AssetRow.mime_type,
    AssetRow.num_frames, AssetRow.model, AssetRow.prompt, AssetRow.created_at, NoteRow.binned_at,
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class LineageNode:
    """One file. key: its asset's id; of a file that is not (any more) in the library, a word that is no id.

    kind: as of an asset, or OUTSIDE. depth: below 0 for what the asset was made from, above for what was made from it.
    name: of a file from outside, as far as it is known. All that is unknown of those is empty or None.
    """

    key: str
    kind: str
    depth: int
    name: str = ""
    sha256: str | None = None
    model: str = ""
    prompt: str = ""
    created_at: datetime | None = None
    in_bin: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return what front ends show."""
        return {**self.__dict__, "created_at": self.created_at and self.created_at.isoformat()}


@dataclass(frozen=True, kw_only=True)
class LineageEdge:
    """One was made from the other. parent, child: keys.

    how: what the parent was to the child: a role such as ``first-frame``, ``extended``, ``window`` (a part of a longer
    clip), or an origin such as ``derived_still``. frame: of the parent, for a picture of one frame.
    """

    parent: str
    child: str
    how: str
    frame: int | None = None

    def as_json(self) -> dict[str, Any]:
        """Return what front ends show."""
        return dict(self.__dict__)


@dataclass(frozen=True, kw_only=True)
class Lineage:
    """A family. root: the asset that was asked for. is_cut: it has more than MAX_NODES, or more than MAX_DEPTH steps.

    nodes: from the farthest source to the farthest offspring, each step by time.
    """

    root: str
    nodes: tuple[LineageNode, ...]
    edges: tuple[LineageEdge, ...]
    is_cut: bool

    def as_json(self) -> dict[str, Any]:
        """Return what front ends show."""
        return {
            "root": self.root,
            "nodes": [node.as_json() for node in self.nodes],
            "edges": [edge.as_json() for edge in self.edges],
            "is_cut": self.is_cut,
        }


@dataclass(frozen=True, kw_only=True)
class _Source:
    """What an asset says it was made from. ids: what the source may be called, the surest first. key: if it is lost."""

    how: str
    key: str
    ids: tuple[str, ...] = ()
    sha256: str | None = None
    name: str = ""
    frame: int | None = None


def lineage_of(store: Store, asset_id: str) -> Lineage:
    """Return the family of an asset: all it comes from, and all that comes from it. Raises `UnknownAsset`."""
    root = store.asset(asset_id).id
    with store.database.read() as session:
        family = _Family(session, root)
        family.climb()
        family.descend()
    return family.told()


def sources_of(session: Session, ids: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """Return what assets were directly made from, by id: how, the source's id where it is in the library, SHA-256."""
    query = sa.select(*_COLUMNS).outerjoin(NoteRow, NoteRow.asset_id == AssetRow.id)
    pairs = [
        (row.id, source)
        for part in in_parts(ids)
        for row in session.execute(query.where(AssetRow.id.in_(part)))
        for source in _sources(row)
    ]
    known = _resolved(session, [source for _, source in pairs])
    found: dict[str, list[dict[str, Any]]] = {}
    for asset_id, source in pairs:
        told = {"how": source.how, "id": known[source], "sha256": source.sha256, "frame": source.frame}
        found.setdefault(asset_id, []).append(told)
    return found


class _Family:
    """Walks from one asset, a step at a time, both ways. Whatever it has seen it does not look at again."""

    def __init__(self, session: Session, root: str) -> None:
        self._session = session
        self._root = root
        self._rows: dict[str, Any] = {}
        self._depths: dict[str, int] = {}
        self._outside: dict[str, LineageNode] = {}
        self._edges: dict[LineageEdge, None] = {}
        self._is_cut = False
        self._take([root], 0)

    def climb(self) -> None:
        """Find the sources, their sources, and so on."""
        step = [self._root]
        for depth in range(-1, -MAX_DEPTH - 1, -1):
            sources = [(child, source) for child in step for source in _sources(self._rows[child])]
            known = _resolved(self._session, [source for _, source in sources])
            step = self._take((found for found in known.values() if found is not None), depth)
            for child, source in sources:
                self._link(child, source, known[source], depth)
            if not step:
                return
        self._is_cut = True

    def descend(self) -> None:
        """Find what was made from it, what was made from that, and so on."""
        step = [self._root]
        for depth in range(1, MAX_DEPTH + 1):
            before = set(step)
            offspring = [row for row in self._offspring(step) if row.id not in self._rows]
            sources = [(row, source) for row in offspring for source in _sources(row)]
            known = _resolved(self._session, [source for _, source in sources])
            related = [(row, source) for row, source in sources if known[source] in before]
            step = self._take(dict.fromkeys(row.id for row, _ in related), depth)
            for row, source in related:
                if row.id in self._rows:
                    self._link(row.id, source, known[source], depth)
            if not step:
                return
        self._is_cut = True

    def told(self) -> Lineage:
        """Return what was found."""
        nodes = [_node(row, self._depths[row.id]) for row in self._rows.values()] + list(self._outside.values())
        nodes.sort(key=lambda node: (node.depth, node.created_at is not None, str(node.created_at), node.key))
        return Lineage(root=self._root, nodes=tuple(nodes), edges=tuple(self._edges), is_cut=self._is_cut)

    def _take(self, ids: Iterable[str], depth: int) -> list[str]:
        """Read the rows of assets that are new, and return the ids of these."""
        new = [item for item in dict.fromkeys(ids) if item not in self._rows]
        room = MAX_NODES - len(self._rows) - len(self._outside)
        self._is_cut = self._is_cut or len(new) > room
        query = sa.select(*_COLUMNS).outerjoin(NoteRow, NoteRow.asset_id == AssetRow.id)
        for part in in_parts(new[: max(room, 0)]):
            for row in self._session.execute(query.where(AssetRow.id.in_(part))):
                self._rows[row.id], self._depths[row.id] = row, depth
        return [item for item in new if item in self._rows]

    def _link(self, child: str, source: _Source, parent: str | None, depth: int) -> None:
        key = parent or source.key
        if parent is None and key not in self._outside:
            self._outside[key] = LineageNode(key=key, kind=OUTSIDE, depth=depth, name=source.name, sha256=source.sha256)
        if parent is None or parent in self._rows:
            self._edges[LineageEdge(parent=key, child=child, how=source.how, frame=source.frame)] = None

    def _offspring(self, ids: list[str]) -> Iterator[Any]:
        """Yield the rows that may have been made from these: what they say of it is looked at afterwards.

        Requests have no index by what is in them; only those that tell of something that was given are searched.
        """
        query = sa.select(*_COLUMNS).outerjoin(NoteRow, NoteRow.asset_id == AssetRow.id)
        words = sa.cast(AssetRow.request, sa.Text)
        for start in range(0, len(ids), _SEARCHED_AT_ONCE):
            part = ids[start : start + _SEARCHED_AT_ONCE]
            marks = [mark for item in part for mark in (self._rows[item].sha256, item)]
            names_one = sa.or_(*(words.contains(mark, autoescape=True) for mark in marks))
            was_given = (AssetRow.task != Task.TEXT_TO_VIDEO.value) & names_one
            younger = AssetRow.created_at >= min(self._rows[item].created_at for item in part)
            found = query.where(AssetRow.parent_id.in_(part) | (younger & was_given))
            yield from self._session.execute(found.order_by(AssetRow.created_at, AssetRow.id).limit(MAX_NODES + 1))


def _sources(row: Any) -> Iterator[_Source]:
    """Yield what an asset was made from, as its row tells. A derived file's request is that of its parent."""
    derivation, request = row.derivation or {}, row.request
    origin = derivation.get("origin")
    if origin not in (None, Origin.TIMELINE.value):
        name = "" if row.parent_id else "removed"
        yield _Source(how=origin, key=f"removed:{row.id}", ids=_some(row.parent_id), frame=derivation.get("frame"),
                      name=name)  # fmt: skip
    elif (extension := request.get("extension")) is not None:
        parent = extension["parent"]
        yield _Source(how=EXTENDED, key=f"sha256:{parent['sha256']}", ids=_some(row.parent_id, parent["id"]),
                      sha256=parent["sha256"])  # fmt: skip
        for window in extension.get("windows", ()):
            if window.get("kept", True):
                yield _Source(how=WINDOW, key=f"sha256:{window['sha256']}", ids=(window["id"],),
                              sha256=window["sha256"])  # fmt: skip
    else:
        for item in request.get("conditionings", ()):
            path = PurePath(item["path"])
            yield _Source(how=item["role"], key=f"sha256:{item['sha256']}", ids=(path.stem,), sha256=item["sha256"],
                          name=path.name)  # fmt: skip


def _resolved(session: Session, sources: Sequence[_Source]) -> dict[_Source, str | None]:
    """Return which assets these are, None for those that the library does not have."""
    ids: set[str] = set()
    for part in in_parts(sorted({item for source in sources for item in source.ids})):
        ids |= set(session.scalars(sa.select(AssetRow.id).where(AssetRow.id.in_(part))))
    of_digest: dict[str, str] = {}
    for part in in_parts(sorted({source.sha256 for source in sources if source.sha256})):
        query = sa.select(AssetRow.sha256, AssetRow.id).where(AssetRow.sha256.in_(part))
        for digest, asset_id in session.execute(query.order_by(AssetRow.created_at, AssetRow.id)):
            of_digest.setdefault(digest, asset_id)
    return {
        source: next((item for item in source.ids if item in ids), of_digest.get(source.sha256 or ""))
        for source in sources
    }


def _some(*ids: str | None) -> tuple[str, ...]:
    return tuple(item for item in ids if item)


def _node(row: Any, depth: int) -> LineageNode:
    return LineageNode(
        key=row.id,
        kind=kind_of(row.mime_type, row.num_frames),
        depth=depth,
        sha256=row.sha256,
        model=row.model,
        prompt=row.prompt,
        created_at=row.created_at,
        in_bin=row.binned_at is not None,
    )
