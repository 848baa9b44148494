"""Assets as the Library shows them: rows of the grid, what there is to choose from, notes, and the family of one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from studio.library.browsing import AssetItem, AssetPage, Facets
from studio.library.collecting import Collection
from studio.library.lineage import OUTSIDE, Lineage, LineageNode
from studio.people.visitor import Action, Visitor
from ui.web.words import say, words

_TONES = {"passed": "good", "flagged": "warn", "released": "warn", "inconclusive": "quiet", "unchecked": "quiet"}
_MAX_WORDS = 120


def item_view(item: AssetItem, visitor: Visitor, model_names: Mapping[str, str]) -> dict[str, Any]:
    """Return what a cell of the grid shows, and whether it is the visitor's to change."""
    return {
        **item.as_json(),
        "model_name": model_names.get(item.model, item.model),
        "kind_text": say(f"library.kinds.{item.kind}"),
        "standing_text": say(f"library.standings.{item.standing}"),
        "tone": _TONES[item.standing],
        "is_mine": visitor.owns(item.owner),
    }


def page_view(page: AssetPage, offset: int, visitor: Visitor, model_names: Mapping[str, str]) -> dict[str, Any]:
    """Return a part of the grid."""
    items = [item_view(item, visitor, model_names) for item in page.items]
    return {"total": page.total, "offset": offset, "items": items}


def facets_view(
    facets: Facets, visitor: Visitor, owners: Mapping[str, str], model_names: Mapping[str, str]
) -> dict[str, Any]:
    """Return what there is to choose from. owners: of collections, by id."""
    collections = [{**vars(item), "is_mine": visitor.owns(owners.get(item.id))} for item in facets.collections]
    return {
        "total": facets.total,
        "binned": facets.binned,
        "models": [{"id": name, "name": model_names.get(name, name), "count": n} for name, n in facets.models],
        "tags": [{"id": name, "name": name, "count": n} for name, n in facets.tags],
        "collections": collections,
        "ratings": [{"stars": stars, "count": n} for stars, n in facets.ratings],
        "visitor": {"may_change": visitor.may(Action.CHANGE), "is_admin": visitor.is_admin},
    }


def notes_view(
    item: AssetItem, collections: Iterable[Collection], visitor: Visitor, model_names: Mapping[str, str]
) -> dict[str, Any]:
    """Return what people say of one asset."""
    held = [{"id": found.id, "name": found.name} for found in collections]
    return item_view(item, visitor, model_names) | {"collections": held}


def lineage_view(lineage: Lineage) -> dict[str, Any]:
    """Return a family as lines of a tree, each once: a source, below it what was made of it, one step further in.

    What was made of several stands below the first; the others are told in words.
    """
    nodes = {node.key: node for node in lineage.nodes}
    parents: dict[str, list[tuple[str, str]]] = {key: [] for key in nodes}
    children: dict[str, list[str]] = {key: [] for key in nodes}
    for edge in lineage.edges:
        if edge.parent in nodes and edge.child in nodes:
            parents[edge.child].append((edge.parent, edge.how))
            children[edge.parent].append(edge.child)
    lines: list[dict[str, Any]] = []
    seen: set[str] = set()
    waiting = [(key, 0) for key in reversed(nodes) if not parents[key]] or [(lineage.root, 0)]
    while waiting:
        key, level = waiting.pop()
        if key in seen:
            continue
        seen.add(key)
        lines.append(_line(nodes[key], level, parents[key], is_root=key == lineage.root))
        waiting += [(child, level + 1) for child in reversed(children[key])]
    return {"lines": lines, "is_cut": lineage.is_cut}


def _line(node: LineageNode, level: int, parents: list[tuple[str, str]], *, is_root: bool) -> dict[str, Any]:
    hows = dict.fromkeys(words().get(f"library.hows.{how}", how) for _, how in parents)
    is_outside = node.kind == OUTSIDE
    kind = "removed" if is_outside and node.key.startswith("removed:") else node.kind
    return {
        "id": None if is_outside else node.key,
        "level": level,
        "kind_text": say(f"library.kinds.{kind}"),
        "words": ("" if kind == "removed" else node.name) if is_outside else _short(node.prompt),
        "how": ", ".join(hows),
        "is_root": is_root,
        "in_bin": node.in_bin,
    }


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _MAX_WORDS else line[: _MAX_WORDS - 1] + "…"
