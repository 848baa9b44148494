"""What people add to their clips: ratings, captions, tags, collections; and the bin, out of which things come back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from studio.app import Studio
from studio.config import Settings
from studio.erasing import Eraser
from studio.errors import StoreFault, StudioError, UnsupportedValue
from studio.export.derivation import Wish
from studio.library.asset import Asset
from studio.library.collecting import UnknownCollection
from studio.library.curation import MAX_TAGS, Curation
from studio.library.curation_tables import CollectedRow, NoteRow, TagRow
from studio.library.query import LibraryQuery
from studio.library.store import Store, UnknownAsset
from studio.library.tables import AssetRow
from studio.request import GenerationRequest
from tests.studio.library.shelf_of_rows import fill, put_files, row


@pytest.fixture
def settings(database_settings: Settings) -> Settings:
    """Every test of this module runs on both databases."""
    return database_settings


@pytest.fixture
def curation(store: Store, settings: Settings) -> Curation:
    """Curation of three assets."""
    rows = [row(number) for number in range(3)]
    fill(store, rows)
    put_files(store, rows)
    return Curation(store, settings, Eraser(settings, store).erase)


A, B, C = "a00000", "a00001", "a00002"


def shown(curation: Curation, **query: object) -> list[str]:
    return curation.ids(LibraryQuery(**query))  # type: ignore[arg-type]


def test_a_rating_is_kept_changed_and_taken_back(curation: Curation) -> None:
    curation.rate([A, B], 4)
    curation.rate([A], 2)
    assert [item.rating for item in curation.items([A, B, C])] == [2, 4, None]
    curation.rate([A, B], None)
    assert [item.rating for item in curation.items([A, B, C])] == [None] * 3


@pytest.mark.parametrize("rating", [0, 6, -1])
def test_a_rating_that_does_not_exist_is_refused(curation: Curation, rating: int) -> None:
    with pytest.raises(UnsupportedValue, match="1 to 5"):
        curation.rate([A], rating)


def test_a_caption_is_kept_as_it_was_written_without_space_around_it(curation: Curation) -> None:
    assert curation.caption(A, "  Ein <b>Fuchs</b>\r\nim Schnee ❄ \n") == "Ein <b>Fuchs</b>\nim Schnee ❄"
    assert curation.items([A])[0].caption == "Ein <b>Fuchs</b>\nim Schnee ❄"
    curation.caption(A, "")
    assert curation.items([A])[0].caption == ""


@pytest.mark.parametrize(
    ("caption", "words"), [("x" * 2001, "up to 2000"), ("a\x1b[31m", "U\\+001B"), ("a\0b", "text")]
)
def test_a_caption_that_cannot_be_kept_is_refused(curation: Curation, caption: str, words: str) -> None:
    with pytest.raises(UnsupportedValue, match=words):
        curation.caption(A, caption)


def test_tags_are_one_spelling_whatever_was_typed(curation: Curation) -> None:
    curation.tag([A, B], add=["  Sea  Side ", "sea side", "CAFE\u0301"])
    curation.tag([B], add=["new"], remove=["Sea Side"])
    assert [item.tags for item in curation.items([A, B, C])] == [("café", "sea side"), ("café", "new"), ()]


@pytest.mark.parametrize("tag", ["", "   ", "a,b", "x" * 41, "a\tb\x07"])
def test_what_is_no_tag_is_refused(curation: Curation, tag: str) -> None:
    with pytest.raises(UnsupportedValue, match=r"^tag: "):
        curation.tag([A], add=[tag])


def test_an_asset_has_up_to_32_tags_and_one_more_changes_nothing(curation: Curation) -> None:
    curation.tag([A], add=[f"t{number:02}" for number in range(MAX_TAGS)])
    with pytest.raises(UnsupportedValue, match="up to 32"):
        curation.tag([B, A], add=["one more"])
    assert [len(item.tags) for item in curation.items([A, B])] == [MAX_TAGS, 0]
    curation.tag([A], add=["one more"], remove=["t00"])


def test_a_change_of_many_with_one_unknown_among_them_changes_none(curation: Curation) -> None:
    for change in (
        lambda: curation.rate([A, "nope"], 5),
        lambda: curation.tag([A, "nope"], add=["x"]),
        lambda: curation.bin([A, "nope"]),
        lambda: curation.collections.add(curation.collections.create("c").id, [A, "nope"]),
    ):
        with pytest.raises(UnknownAsset, match="got nope"):
            change()
    assert (curation.items([A])[0].rating, curation.items([A])[0].tags) == (None, ())
    assert shown(curation) == [C, B, A]


# -- collections ------------------------------------------------------------------------------------------------


def test_a_collection_is_made_filled_renamed_and_deleted_and_its_assets_stay(curation: Curation) -> None:
    one, other = curation.collections.create("Seaside"), curation.collections.create("Best of 2026")
    curation.collections.add(one.id, [A, B])
    curation.collections.add(one.id, [B, C])
    curation.collections.add(other.id, [B])
    curation.collections.remove(one.id, [C])
    assert shown(curation, collection_id=one.id) == [B, A]
    assert [item.name for item in curation.collections.of(B)] == ["Best of 2026", "Seaside"]
    curation.collections.rename(one.id, "By the sea")
    assert curation.collections.find("by THE sea").id == one.id
    assert [(item.name, item.count) for item in curation.facets().collections] == [
        ("Best of 2026", 1),
        ("By the sea", 2),
    ]
    curation.collections.delete(one.id)
    assert [item.name for item in curation.collections.of(B)] == ["Best of 2026"]
    assert shown(curation) == [C, B, A]


def test_two_collections_never_have_one_name(curation: Curation) -> None:
    curation.collections.create("Seaside")
    other = curation.collections.create("Other")
    for name in ("seaside", "  Seaside ", "SEASIDE"):
        with pytest.raises(UnsupportedValue, match="this name already"):
            curation.collections.create(name)
        with pytest.raises(UnsupportedValue, match="this name already"):
            curation.collections.rename(other.id, name)
    curation.collections.rename(other.id, "OTHER")
    assert curation.collections.find(other.id).name == "OTHER"


NO_NAMES = (
    "",
    "  ",
    "x" * 81,
    "a\x00b",
    "a\x1bb",
    "\u200b\u200d",
    "\u2066\u2069",
    "\u202egnp.exe",
    "a\u2067b",
    "\ufeff",
)


@pytest.mark.parametrize("name", NO_NAMES)
def test_what_is_no_name_is_refused(curation: Curation, name: str) -> None:
    with pytest.raises(UnsupportedValue, match=r"^name: "):
        curation.collections.create(name)


@pytest.mark.parametrize("name", ["\u05e9\u05dc\u05d5\u05dd", "\U0001f468\u200d\U0001f469", "e\u0301t\u00e9"])
def test_names_in_other_scripts_are_names(curation: Curation, name: str) -> None:
    assert curation.collections.find(curation.collections.create(name).name).name


def test_an_unknown_collection_is_answered_with_those_there_are(curation: Curation) -> None:
    curation.collections.create("Seaside")
    for ask in (
        lambda: curation.collections.find("nope"),
        lambda: curation.collections.delete("nope"),
        lambda: curation.collections.rename("nope", "x"),
        lambda: curation.collections.add("nope", [A]),
        lambda: curation.collections.remove("nope", [A]),
    ):
        with pytest.raises(UnknownCollection, match="allowed: Seaside"):
            ask()


# -- the bin ----------------------------------------------------------------------------------------------------


def test_a_clip_in_the_bin_is_not_listed_and_comes_back_as_it_was(curation: Curation, store: Store) -> None:
    curation.rate([A], 5)
    curation.tag([A], add=["x"])
    collection = curation.collections.create("c")
    curation.collections.add(collection.id, [A])
    assert curation.bin([A, B]) == (A, B)
    assert curation.bin([A]) == ()
    assert shown(curation) == [C]
    assert shown(curation, in_bin=True) == [B, A]
    assert shown(curation, tag="x") == shown(curation, rating=1) == shown(curation, collection_id=collection.id) == []
    assert [asset.id for asset in store.assets()] == [asset.id for asset in store.assets(text="a0")] == [C]
    assert len(store.assets(with_bin=True)) == 3
    facets = curation.facets()
    assert (facets.total, facets.binned, facets.models) == (1, 2, (("m", 1),))
    assert facets.tags == facets.ratings == ()
    assert store.asset(A).id == A
    assert curation.restore([A, C]) == (A,)
    item = curation.items([A])[0]
    assert (item.rating, item.tags, item.binned_at) == (5, ("x",), None)
    assert (curation.facets().ratings, curation.facets().tags) == (((5, 1),), (("x", 1),))
    assert shown(curation, collection_id=collection.id) == [A]


def test_emptying_the_bin_deletes_what_is_in_it_and_nothing_else(curation: Curation, store: Store) -> None:
    curation.tag([A, C], add=["x"])
    curation.rate([A], 1)
    curation.collections.add(curation.collections.create("c").id, [A])
    curation.bin([A, B])
    assert curation.empty_bin([B, C]).removed == (B,)
    assert curation.empty_bin().removed == (A,)
    assert shown(curation) == [C]
    with store.database.read() as session:
        left = [session.scalar(sa.select(sa.func.count()).select_from(table)) for table in (NoteRow, CollectedRow)]
        assert left == [0, 0]
        assert list(session.scalars(sa.select(TagRow.asset_id))) == [C]


def test_the_bin_can_be_emptied_of_what_is_old_alone(curation: Curation, store: Store) -> None:
    curation.bin([A, B])
    with store.transaction() as session:
        old = datetime.now(UTC) - timedelta(days=31)
        session.execute(sa.update(NoteRow).where(NoteRow.asset_id == A).values(binned_at=old))
    assert curation.empty_bin(older_than_days=30).removed == (A,)
    assert shown(curation, in_bin=True) == [B]


def test_what_cannot_be_deleted_stays_in_the_bin_and_the_others_go(store: Store, settings: Settings) -> None:
    fill(store, [row(number) for number in range(3)])

    def erase(asset_id: str, is_wanted: Callable[[Session], bool]) -> Asset | None:
        if asset_id == A:
            raise PermissionError(13, "Permission denied")
        if asset_id == B:
            raise StoreFault("the folder is not there")
        return Eraser(settings, store).erase(asset_id, is_wanted)

    curation = Curation(store, settings, erase)
    curation.bin([A, B, C])
    emptied = curation.empty_bin()
    assert emptied.removed == (C,)
    assert "Permission denied" in emptied.failed[A].sentence()
    assert isinstance(emptied.failed[B], StudioError)
    assert shown(curation, in_bin=True) == [B, A]


def test_a_real_clip_keeps_its_file_in_the_bin_and_loses_it_when_that_is_emptied(
    studio: Studio, tmp_path: Path
) -> None:
    asset = studio.generate(GenerationRequest(model="scripted-moving", seed=1)).asset
    child = studio.export(asset.id, tmp_path / "a.png", Wish(frame=0)).asset
    studio.curation.rate([child.id], 3)
    studio.curation.bin([asset.id])
    assert asset.path.is_file()
    assert studio.verify(asset.path).asset is not None
    assert [item.id for item in studio.store.assets()] == [child.id]
    assert studio.curation.empty_bin().removed == (asset.id,)
    assert not asset.path.exists()
    assert studio.curation.items([child.id])[0].rating == 3
    with studio.store.database.read() as session:
        assert list(session.scalars(sa.select(AssetRow.id))) == [child.id]
