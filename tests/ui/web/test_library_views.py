"""Assets, what there is to choose from, and families, as the Library shows them."""

from __future__ import annotations

from typing import Any

from studio.library.asset import kind_of
from studio.library.lineage import OUTSIDE, Lineage, LineageEdge, LineageNode
from studio.library.query import KINDS, STANDINGS, Order
from studio.provenance.origin import Origin
from studio.request import Role
from ui.web.views.assets import lineage_view
from ui.web.words import words


def node(key: str, depth: int, **more: Any) -> LineageNode:
    return LineageNode(**{"key": key, "kind": "video", "depth": depth, "prompt": key.upper(), **more})


def family(*edges: tuple[str, str], nodes: dict[str, int], root: str) -> Lineage:
    made = tuple(LineageEdge(parent=parent, child=child, how="first-frame") for parent, child in edges)
    return Lineage(root=root, nodes=tuple(node(key, depth) for key, depth in nodes.items()), edges=made, is_cut=False)


def lines(lineage: Lineage) -> list[tuple[str | None, int]]:
    return [(line["id"], line["level"]) for line in lineage_view(lineage)["lines"]]


def test_a_family_is_a_tree_from_its_source_down() -> None:
    found = family(
        ("a", "b"), ("b", "c"), ("b", "d"), ("a", "e"), nodes={"a": -1, "b": 0, "c": 1, "d": 1, "e": 0}, root="b"
    )
    assert lines(found) == [("a", 0), ("b", 1), ("c", 2), ("d", 2), ("e", 1)]
    told = lineage_view(found)["lines"][1]
    assert (told["is_root"], told["words"], told["how"], told["kind_text"]) == (True, "B", "as first frame", "Video")


def test_what_has_several_sources_stands_once() -> None:
    found = family(("a", "c"), ("b", "c"), ("c", "d"), nodes={"a": -1, "b": -1, "c": 0, "d": 1}, root="c")
    assert lines(found) == [("a", 0), ("c", 1), ("d", 2), ("b", 0)]


def test_a_family_that_goes_in_a_circle_is_told_all_the_same() -> None:
    assert lines(family(("a", "b"), ("b", "a"), nodes={"a": -1, "b": 0}, root="b")) == [("b", 0), ("a", 1)]


def test_what_is_not_in_the_library_has_no_id_and_says_what_it_is() -> None:
    nodes = (node("sha256:1", -1, kind=OUTSIDE, name="fox.png"), node("removed:x", -1, kind=OUTSIDE, name="removed"),
             node("x", 0))  # fmt: skip
    edges = tuple(LineageEdge(parent=item.key, child="x", how="reference") for item in nodes[:2])
    told = lineage_view(Lineage(root="x", nodes=nodes, edges=edges, is_cut=True))
    assert [(line["id"], line["kind_text"], line["words"]) for line in told["lines"]] == [
        (None, "File from elsewhere", "fox.png"), ("x", "Video", "X"), (None, "A file that was deleted", ""),
    ]  # fmt: skip
    assert told["is_cut"]


def test_a_long_prompt_is_cut_to_a_line() -> None:
    found = Lineage(root="x", nodes=(node("x", 0, prompt="word \n" * 500),), edges=(), is_cut=False)
    told = lineage_view(found)["lines"][0]["words"]
    assert len(told) == 120
    assert "\n" not in told


def test_everything_that_the_library_can_say_has_words() -> None:
    known = words()
    hows = [*Role, Origin.DERIVED_STILL, Origin.DERIVED_SOUND, Origin.TRIMMED, Origin.ANIMATED_PICTURE,
            Origin.CONVERTED, "extended", "window"]  # fmt: skip
    wanted = [*(f"library.kinds.{kind}" for kind in (*KINDS, OUTSIDE, "removed")),
              *(f"library.standings.{standing}" for standing in STANDINGS),
              *(f"library.orders.{order}" for order in Order), *(f"library.hows.{how}" for how in hows)]  # fmt: skip
    assert [name for name in wanted if name not in known] == []
    assert {kind_of(mime_type, 2) for mime_type in ("video/mp4", "image/gif", "image/png", "audio/wav")} == set(KINDS)
