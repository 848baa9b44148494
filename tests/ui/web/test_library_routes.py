"""The Library's routes: what is found, what people add, the bin, collections, one ZIP; and whose all of it is."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest

from studio.app import Studio
from studio.library.asset import Asset
from studio.request import GenerationRequest
from tests.studio.library.shelf_of_rows import FIRST, fill, row
from tests.ui.web.accounts import Browsers, browsers
from tests.webpage import ServedPage

LIBRARY = "/studio/library"


@pytest.fixture(scope="module")
def rows(idle_site: ServedPage) -> list[str]:
    """Six assets without files, the oldest first."""
    return fill(idle_site.studio.store, [row(number, prompt=f"<img src=x> number {number}") for number in range(6)])


@pytest.fixture(scope="module")
def clip(idle_site: ServedPage) -> Asset:
    return idle_site.studio.generate(GenerationRequest(model="scripted-moving", seed=1, prompt="a square")).asset


def found(site: ServedPage, **wanted: Any) -> list[str]:
    answer = site.client.get(LIBRARY, params=wanted)
    assert answer.status_code == 200, answer.text
    return [item["id"] for item in answer.json()["items"]]


def post(client: httpx.Client, path: str, **body: Any) -> Any:
    answer = client.post(f"{LIBRARY}/{path}", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    error: dict[str, Any] = answer.json()["error"]
    return error


def test_a_part_of_the_library_is_told_with_its_total_and_304_where_nothing_changed(
    idle_site: ServedPage, rows: list[str]
) -> None:
    wanted = {"model": "m", "offset": 1, "limit": 2}
    answer = idle_site.client.get(LIBRARY, params=wanted)
    told = answer.json()
    assert (told["total"], told["offset"], [item["id"] for item in told["items"]]) == (6, 1, [rows[4], rows[3]])
    item = told["items"][0]
    assert (item["prompt"], item["kind_text"], item["standing_text"], item["is_mine"], item["duration_seconds"]) == (
        "<img src=x> number 4", "Video", "Not checked", True, 2.0,
    )  # fmt: skip
    again = idle_site.client.get(LIBRARY, params=wanted, headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_filters_reach_the_library(idle_site: ServedPage, rows: list[str]) -> None:
    since, until = ((FIRST + timedelta(minutes=minutes)).isoformat() for minutes in (1, 3))
    assert found(idle_site, text="number 5", model="m") == [rows[5]]
    assert found(idle_site, since=since, until=until) == [rows[2], rows[1]]
    assert found(idle_site, order="oldest", model="m")[0] == rows[0]
    assert found(idle_site, kind="sound") == found(idle_site, standing="released") == []
    ids = idle_site.client.get(f"{LIBRARY}/ids", params={"model": "m"}).json()
    assert ids == {"ids": rows[::-1], "total": 6}


@pytest.mark.parametrize(
    "wanted",
    [{"rating": 9}, {"standing": "fine"}, {"kind": "film"}, {"order": "worst"}, {"limit": 201}, {"offset": -1},
     {"since": "2026-01-01T00:00:00"}, {"text": "x " * 40}, {"shape": "round"}],
)  # fmt: skip
def test_a_filter_that_makes_no_sense_is_refused_by_its_name(idle_site: ServedPage, wanted: dict[str, Any]) -> None:
    error = problem(idle_site.client.get(LIBRARY, params=wanted), 422)
    assert error["field"] in (*wanted, "words")


def test_what_people_add_is_kept_and_told(idle_site: ServedPage, rows: list[str]) -> None:
    client = idle_site.client
    post(client, "rate", ids=rows[:2], rating=4)
    post(client, "tag", ids=rows[:2], add=["<b>Sea</b>", "dusk"])
    post(client, "tag", ids=[rows[1]], remove=["dusk"])
    told = post(client, "caption", id=rows[0], caption=" A <script>alert(1)</script> ")
    assert (told["caption"], told["rating"], told["tags"]) == ("A <script>alert(1)</script>", 4, ["<b>sea</b>", "dusk"])
    assert client.get(f"{LIBRARY}/assets/{rows[0]}").json() == told
    assert found(idle_site, rating=4, tag="dusk") == [rows[0]]
    facets = client.get(f"{LIBRARY}/facets").json()
    assert {"id": "<b>sea</b>", "name": "<b>sea</b>", "count": 2} in facets["tags"]
    assert facets["ratings"] == [{"stars": 4, "count": 2}]
    assert facets["visitor"] == {"may_change": True, "is_admin": True}
    post(client, "rate", ids=rows[:2], rating=None)
    assert client.get(f"{LIBRARY}/facets").json()["ratings"] == []


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [("rate", {"ids": ["ROW"], "rating": 7}, "rating"), ("tag", {"ids": ["ROW"], "add": ["a,b"]}, "tag"),
     ("caption", {"id": "ROW", "caption": "x" * 2001}, "caption"), ("bin", {"ids": []}, "ids"),
     ("bin", {"ids": ["ROW"] * 10_001}, "ids"), ("collections", {"name": " "}, "name"),
     ("rate", {"ids": ["ROW"], "rating": 3, "path": "/etc"}, "path")],
)  # fmt: skip
def test_what_cannot_be_kept_is_refused_by_its_field(
    idle_site: ServedPage, rows: list[str], path: str, body: dict[str, Any], field: str
) -> None:
    text = json.dumps(body).replace("ROW", rows[0])
    answer = idle_site.client.post(f"{LIBRARY}/{path}", content=text, headers={"content-type": "application/json"})
    assert problem(answer, 422)["field"] == field


def test_an_unknown_asset_is_not_found_and_nothing_of_the_rest_changes(idle_site: ServedPage, rows: list[str]) -> None:
    answer = idle_site.client.post(f"{LIBRARY}/rate", json={"ids": [rows[5], "nope"], "rating": 1})
    assert problem(answer, 404)["got"] == "nope"
    for path in ("assets/nope", "assets/nope/lineage", "assets/..%2f..%2fetc"):
        assert idle_site.client.get(f"{LIBRARY}/{path}").status_code == 404
    assert idle_site.client.get(f"{LIBRARY}/assets/{rows[5]}").json()["rating"] is None


def test_what_is_in_the_bin_comes_back_or_is_deleted_for_good(idle_site: ServedPage, clip: Asset) -> None:
    client, studio = idle_site.client, idle_site.studio
    other = studio.generate(GenerationRequest(model="scripted-moving", seed=2)).asset
    assert post(client, "bin", ids=[clip.id, other.id])["ids"] == sorted([clip.id, other.id])
    assert clip.id not in found(idle_site)
    assert client.get("/studio/media/" + clip.id).content == clip.path.read_bytes()
    assert found(idle_site, in_bin=True) == [other.id, clip.id]
    assert post(client, "restore", ids=[clip.id])["ids"] == [clip.id]
    assert post(client, "empty", ids=[clip.id]) == {"removed": 0, "failed": []}
    assert clip.path.is_file()
    assert post(client, "empty") == {"removed": 1, "failed": []}
    assert not other.path.exists()
    assert found(idle_site, in_bin=True) == []
    assert clip.id in found(idle_site)


def test_a_clip_whose_file_is_gone_does_not_come_back_and_goes_when_the_bin_is_emptied(idle_site: ServedPage) -> None:
    ids = fill(idle_site.studio.store, [row(200, model="gone")])
    post(idle_site.client, "bin", ids=ids)
    error = problem(idle_site.client.post(f"{LIBRARY}/restore", json={"ids": ids}), 409)
    assert (error["message"], error["got"]) == ("its file is gone: it cannot come back", ids[0])
    assert error["fix"].startswith("empty the bin")
    assert post(idle_site.client, "empty", ids=ids) == {"removed": 1, "failed": []}
    assert problem(idle_site.client.post(f"{LIBRARY}/restore", json={"ids": ids}), 404)


def test_collections_are_made_filled_renamed_and_deleted(idle_site: ServedPage, rows: list[str]) -> None:
    client = idle_site.client
    made = post(client, "collections", name="  By the  sea ")
    path = f"collections/{made['id']}"
    post(client, f"{path}/add", ids=rows[:3])
    post(client, f"{path}/remove", ids=rows[:1])
    post(client, path, name="Sea")
    assert found(idle_site, collection=made["id"]) == [rows[2], rows[1]]
    assert client.get(f"{LIBRARY}/assets/{rows[1]}").json()["collections"] == [{"id": made["id"], "name": "Sea"}]
    listed = client.get(f"{LIBRARY}/facets").json()["collections"]
    assert listed == [{"id": made["id"], "name": "Sea", "count": 2, "is_mine": True}]
    assert problem(client.post(f"{LIBRARY}/collections", json={"name": "SEA"}), 422)["field"] == "name"
    assert client.delete(f"{LIBRARY}/{path}").status_code == 200
    assert problem(client.delete(f"{LIBRARY}/{path}"), 404)["code"] == "unknown_collection"
    assert client.get(f"{LIBRARY}/facets").json()["collections"] == []


def test_the_family_of_a_clip_is_told_as_lines_of_a_tree(idle_site: ServedPage, clip: Asset) -> None:
    picture = idle_site.client.post(f"/studio/clips/{clip.id}/last-frame").json()["asset"]
    told = idle_site.client.get(f"{LIBRARY}/assets/{picture}/lineage").json()
    assert [(line["id"], line["level"], line["how"], line["is_root"]) for line in told["lines"]] == [
        (clip.id, 0, "", False), (picture, 1, "picture of one frame", True),
    ]  # fmt: skip


def test_chosen_clips_are_downloaded_as_one_zip_byte_for_byte(idle_site: ServedPage, clip: Asset) -> None:
    offer = post(idle_site.client, "bundles", ids=[clip.id])
    assert (offer["number"], offer["size_bytes"]) == (1, clip.size_bytes)
    answer = idle_site.client.get(offer["url"])
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["content-disposition"].startswith('attachment; filename="studio-clips-')
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        assert archive.read(f"{clip.id}.mp4") == clip.path.read_bytes()
        assert json.loads(archive.read("manifest.json"))["assets"][0]["sha256"] == clip.sha256
    assert problem(idle_site.client.get(f"{LIBRARY}/bundles/nope"), 404)


def test_a_zip_with_a_file_that_is_gone_is_refused_before_it_begins(idle_site: ServedPage, rows: list[str]) -> None:
    answer = idle_site.client.post(f"{LIBRARY}/bundles", json={"ids": rows[:1]})
    assert problem(answer, 409)["got"] == rows[0]


def test_a_zip_whose_making_fails_does_not_look_whole(idle_site: ServedPage) -> None:
    asset = idle_site.studio.generate(GenerationRequest(model="scripted-moving", seed=3)).asset
    offer = post(idle_site.client, "bundles", ids=[asset.id])
    content = asset.path.read_bytes()
    asset.path.write_bytes(content[:-1] + b"x")
    try:
        with pytest.raises(httpx.RemoteProtocolError):
            idle_site.client.get(offer["url"])
    finally:
        asset.path.write_bytes(content)


# -- whose it is --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def people(page_home: Studio) -> Iterator[Browsers]:
    with browsers(page_home) as found:
        yield found


@pytest.fixture(scope="module")
def owned(people: Browsers) -> dict[str, str]:
    """An asset of each, and one of nobody's."""
    ids = fill(people.studio.store, [row(number, model="owned") for number in (100, 101, 102)])
    people.studio.people.own(ids[0], "alice")
    people.studio.people.own(ids[1], "bob")
    return dict(zip(("alice", "bob", "nobody"), ids, strict=True))


@pytest.mark.parametrize("path", ["rate", "tag", "bin", "restore", "empty"])
def test_what_is_somebody_elses_is_changed_by_nobody_but_an_admin(
    people: Browsers, owned: dict[str, str], path: str
) -> None:
    more: dict[str, Any] = {"rate": {"rating": 2}, "tag": {"add": ["x"]}}.get(path, {})
    for ids in ([owned["bob"]], [owned["alice"], owned["bob"]], [owned["nobody"]]):
        error = problem(people.alice.post(f"{LIBRARY}/{path}", json={"ids": ids, **more}), 403)
        assert error["got"] == f"1 of {len(ids)}"
    assert problem(people.vera.post(f"{LIBRARY}/{path}", json={"ids": [owned["bob"]], **more}), 403)
    item = people.bob.get(f"{LIBRARY}/assets/{owned['bob']}").json()
    assert (item["rating"], item["tags"], item["binned_at"], item["is_mine"]) == (None, [], None, True)
    assert people.alice.get(f"{LIBRARY}/assets/{owned['bob']}").json()["is_mine"] is False
    if path in ("rate", "tag"):
        post(people.alice, path, ids=[owned["alice"]], **more)
        post(people.boss, path, ids=[owned["nobody"]], **more)


def test_emptying_the_bin_deletes_ones_own_alone(people: Browsers) -> None:
    studio = people.studio
    assets = [studio.generate(GenerationRequest(model="scripted-moving", seed=seed)).asset for seed in (21, 22)]
    for asset, name in zip(assets, ("alice", "bob"), strict=True):
        studio.people.own(asset.id, name)
    studio.curation.bin([asset.id for asset in assets])
    assert post(people.alice, "empty") == {"removed": 1, "failed": []}
    assert [asset.path.exists() for asset in assets] == [False, True]
    studio.curation.restore([assets[1].id])


def test_a_collection_is_its_makers_and_takes_what_is_anybodys(people: Browsers, owned: dict[str, str]) -> None:
    made = post(people.alice, "collections", name="Alice's")
    path = f"collections/{made['id']}"
    post(people.alice, f"{path}/add", ids=list(owned.values()))
    for client in (people.bob, people.vera):
        assert problem(client.post(f"{LIBRARY}/{path}", json={"name": "mine"}), 403)
        assert problem(client.post(f"{LIBRARY}/{path}/remove", json={"ids": [owned["bob"]]}), 403)
        assert problem(client.delete(f"{LIBRARY}/{path}"), 403)
        listed = client.get(f"{LIBRARY}/facets").json()["collections"]
        assert [(item["name"], item["is_mine"]) for item in listed] == [("Alice's", False)]
    assert problem(people.vera.post(f"{LIBRARY}/collections", json={"name": "Vera's"}), 403)
    assert people.boss.delete(f"{LIBRARY}/{path}").status_code == 200


def test_a_download_is_for_whoever_asked_for_it(people: Browsers) -> None:
    asset = people.studio.generate(GenerationRequest(model="scripted-moving", seed=31)).asset
    offer = post(people.vera, "bundles", ids=[asset.id])
    assert problem(people.bob.get(offer["url"]), 404)
    assert people.vera.get(offer["url"]).status_code == 200
