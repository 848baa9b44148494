"""The library is found through by text, model, tag, rating, checks, kind and date, and a page costs few statements."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from itertools import product
from typing import Any

import pytest
import sqlalchemy as sa

from studio.config import Settings
from studio.errors import UnsupportedValue
from studio.library.asset import Asset
from studio.library.browsing import MAX_PAGE
from studio.library.curation import Curation
from studio.library.people_tables import AccountRow, OwnerRow
from studio.library.query import KINDS, STANDINGS, LibraryQuery, Order
from studio.library.store import Store
from tests.studio.library.shelf_of_rows import FIRST, fill, row


@pytest.fixture
def settings(database_settings: Settings) -> Settings:
    """Every test of this module runs on both databases."""
    return database_settings


@pytest.fixture
def curation(store: Store, settings: Settings) -> Curation:
    def erase(asset_id: str, is_wanted: object) -> Asset:
        raise AssertionError(f"nothing here deletes {asset_id}, {is_wanted}")

    return Curation(store, settings, erase)


def found(curation: Curation, **query: Any) -> list[str]:
    """Return the numbers of the assets that are found, as text, and see that count, page and ids agree."""
    wanted = LibraryQuery(**query)
    page, ids = curation.page(wanted), curation.ids(wanted)
    assert (page.total, [item.id for item in page.items]) == (len(ids), ids[:100])
    return [asset_id.removeprefix("a").lstrip("0") or "0" for asset_id in ids]


def test_text_is_looked_for_in_prompt_caption_tags_model_and_id_whatever_its_case(
    store: Store, curation: Curation
) -> None:
    prompts = ["A red FOX", "Übung macht den Meister", "100% wool_coat", "nothing"]
    fill(store, [row(number, prompt=prompt, model=f"model-{number}") for number, prompt in enumerate(prompts)])
    curation.caption("a00003", "The fox sleeps\nat last")
    curation.tag(["a00001"], add=["Foxy Lady"])
    assert found(curation, text="fox") == ["3", "1", "0"]
    assert found(curation, text="sleeps FOX") == ["3"]
    assert found(curation, text="fox macht") == ["1"]
    assert found(curation, text="übung") == ["1"]
    assert found(curation, text="0% l_c") == ["2"]
    assert found(curation, text="MODEL-2") == ["2"]
    assert found(curation, text="a00003") == ["3"]
    assert found(curation, text="fox nowhere") == []
    assert found(curation, text="'; DROP TABLE assets; --") == []
    assert [asset.id for asset in store.assets(text="foxy")] == ["a00001"]


def test_words_are_not_found_across_prompt_and_model(store: Store, curation: Curation) -> None:
    fill(store, [row(0, prompt="the end", model="start")])
    assert found(curation, text="endstart") == []


def test_filters_narrow_one_another(store: Store, curation: Curation) -> None:
    ids = fill(store, [row(number, model="one" if number % 2 else "two") for number in range(8)])
    curation.tag(ids[:4], add=["sea"])
    curation.rate(ids[2:6], 4)
    curation.rate([ids[3]], 2)
    collection = curation.collections.create("c")
    curation.collections.add(collection.id, ids[1:3])
    assert found(curation, model="one") == ["7", "5", "3", "1"]
    assert found(curation, model="one", tag="sea") == ["3", "1"]
    assert found(curation, rating=3) == ["5", "4", "2"]
    assert found(curation, rating=1, tag="sea") == ["3", "2"]
    assert found(curation, collection_id=collection.id, rating=4) == ["2"]
    assert found(curation, collection_id="nope") == found(curation, tag="nope") == found(curation, model="nope") == []
    curation.bin([ids[2]])
    assert found(curation, rating=1, tag="sea") == ["3"]
    assert found(curation, rating=1, tag="sea", in_bin=True) == ["2"]


def test_the_time_is_from_a_moment_on_and_before_another(store: Store, curation: Curation) -> None:
    fill(store, [row(number) for number in range(5)])
    since, until = FIRST + timedelta(minutes=1), FIRST + timedelta(minutes=3)
    assert found(curation, since=since, until=until) == ["2", "1"]
    assert found(curation, since=until) == ["4", "3"]
    assert found(curation, until=since) == ["0"]


def test_the_order_is_newest_oldest_or_best_rated(store: Store, curation: Curation) -> None:
    ids = fill(store, [row(number) for number in range(5)])
    curation.rate(ids[1:3], 3)
    curation.rate(ids[:1], 5)
    assert found(curation) == ["4", "3", "2", "1", "0"]
    assert found(curation, order=Order.OLDEST) == ["0", "1", "2", "3", "4"]
    assert found(curation, order=Order.BEST_RATED) == ["0", "2", "1", "4", "3"]


def test_what_was_made_at_one_moment_has_an_order_too(store: Store, curation: Curation) -> None:
    fill(store, [row(number, created_at=FIRST) for number in range(5)])
    pages = [curation.page(LibraryQuery(), offset=offset, limit=2).items for offset in (0, 2, 4)]
    assert [item.id for page in pages for item in page] == [f"a0000{number}" for number in (4, 3, 2, 1, 0)]


def test_kind_and_standing_are_what_the_asset_itself_says(store: Store, curation: Curation) -> None:
    """SQL and Python tell the same of every combination that can be in a library."""
    kinds = [("video/mp4", 9), ("video/webm", 9), ("image/gif", 9), ("image/gif", 1), ("image/webp", 9),
             ("image/webp", 1), ("image/png", 1), ("image/jpeg", 1), ("audio/wav", 0)]  # fmt: skip
    rulings = [None, *({"standing": word} for word in ("passed", "flagged", "released", "inconclusive"))]
    verdicts = [(None, rulings[0], 0), (None, rulings[0], 2), (True, rulings[0], 2), (False, rulings[0], 2),
                (None, rulings[1], 2), (True, rulings[1], 2), (False, rulings[2], 2), (False, rulings[3], 2),
                (None, rulings[4], 2), (None, rulings[4], 0)]  # fmt: skip
    rows = [
        row(number, mime_type=mime_type, num_frames=frames, checks_passed=passed, ruling=ruling,
            report={"checks": [{"id": "x"}] * checks})
        for number, ((mime_type, frames), (passed, ruling, checks)) in enumerate(product(kinds, verdicts))
    ]  # fmt: skip
    fill(store, rows)
    assets = {asset.id: asset for asset in store.assets()}
    items = {item.id: item for item in curation.items(list(assets))}
    assert {(item.kind, item.standing) for item in items.values()} == {
        (asset.kind, asset.standing) for asset in assets.values()
    }
    for asset_id, asset in assets.items():
        assert (items[asset_id].kind, items[asset_id].standing) == (asset.kind, asset.standing)
    for kind in KINDS:
        assert set(curation.ids(LibraryQuery(kind=kind))) == {item.id for item in assets.values() if item.kind == kind}
    for standing in STANDINGS:
        wanted = {item.id for item in assets.values() if item.standing == standing}
        assert set(curation.ids(LibraryQuery(standing=standing))) == wanted
        assert wanted


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"rating": 0}, "rating"),
        ({"rating": 6}, "rating"),
        ({"standing": "fine"}, "standing"),
        ({"kind": "film"}, "kind"),
        ({"text": "x" * 1001}, "words"),
        ({"text": "x " * 33}, "words"),
        ({"since": datetime(2026, 1, 1)}, "since"),  # noqa: DTZ001
    ],
)
def test_a_wish_that_makes_no_sense_is_refused_by_its_field(query: dict[str, Any], field: str) -> None:
    with pytest.raises(UnsupportedValue, match=f"^{field}: "):
        LibraryQuery(**query)


@pytest.mark.parametrize(("offset", "limit"), [(-1, 10), (0, 0), (0, MAX_PAGE + 1)])
def test_a_page_that_does_not_exist_is_refused(curation: Curation, offset: int, limit: int) -> None:
    with pytest.raises(UnsupportedValue, match="1 to 500"):
        curation.page(LibraryQuery(), offset, limit)


def test_an_item_tells_whose_it_is_and_goes_into_json(store: Store, curation: Curation) -> None:
    ids = fill(store, [row(number, prompt="<script>") for number in range(2)])
    with store.transaction() as session:
        session.add(AccountRow(name="ada", role="creator", password="x", created_at=FIRST))
        session.flush()
        session.add(OwnerRow(thing_id=ids[0], account="ada"))
    assert [item.owner for item in curation.items(ids)] == ["ada", ""]
    told = json.loads(json.dumps(curation.items(ids)[0].as_json()))
    assert (told["duration_seconds"], told["prompt"], told["tags"], told["caption"]) == (2.0, "<script>", [], "")


def test_items_come_in_the_order_that_was_asked_for_without_those_that_are_gone(
    store: Store, curation: Curation
) -> None:
    ids = fill(store, [row(number) for number in range(4)])
    assert [item.id for item in curation.items([ids[2], "gone", ids[0]])] == [ids[2], ids[0]]
    assert curation.items([]) == ()


def test_a_page_of_a_long_library_costs_four_statements_and_reads_no_report(store: Store, curation: Curation) -> None:
    heavy = {"checks": [{"id": "x", "series": [0.5] * 100}]}
    for start in range(0, 5000, 1000):
        fill(store, [row(number, report=heavy, checks_passed=True) for number in range(start, start + 1000)])
    ids = curation.ids(LibraryQuery())
    curation.tag(ids[::3], add=["x", "y"])
    curation.rate(ids[::2], 3)
    statements: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if statement.startswith("SELECT"):
            statements.append(statement)

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        page = curation.page(LibraryQuery(), offset=2000, limit=100)
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)
    assert (page.total, [item.id for item in page.items]) == (5000, ids[2000:2100])
    assert len(statements) == 4
    for statement in statements:
        selected = statement.partition("FROM")[0].replace("CASE", "\0CASE").partition("\0")[0]
        assert "manifest_store" not in statement
        assert "report" not in selected


def test_an_empty_library_is_an_empty_page(curation: Curation) -> None:
    assert (curation.page(LibraryQuery()).total, curation.page(LibraryQuery()).items) == (0, ())
    facets = curation.facets()
    assert (facets.total, facets.binned, facets.models, facets.tags, facets.collections) == (0, 0, (), (), ())
