"""Files over HTTP: ranges, validators, names."""

from __future__ import annotations

import threading

import pytest

from studio.library.asset import Asset
from tests.ui.api.conftest import Served, refusal


@pytest.fixture
def asset(served: Served, worker: None) -> Asset:
    video = served.create()
    served.wait(video["id"])
    return served.studio.store.asset(video["id"])


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [("bytes=0-0", 0, 1), ("bytes=10-99", 10, 100), ("bytes=100-", 100, None), ("bytes=-7", -7, None)],
)
def test_a_range_is_a_part_of_the_file(served: Served, asset: Asset, asked: str, first: int, last: int | None) -> None:
    answer = served.client.get(f"/v1/assets/{asset.id}/content", headers={"range": asked})
    assert answer.status_code == 206
    expected = asset.path.read_bytes()[first:last]
    assert answer.content == expected
    start = first % asset.size_bytes
    assert answer.headers["content-range"] == f"bytes {start}-{start + len(expected) - 1}/{asset.size_bytes}"


def test_a_range_beyond_the_end_ends_with_the_file(served: Served, asset: Asset) -> None:
    answer = served.client.get(f"/v1/assets/{asset.id}/content", headers={"range": f"bytes=5-{10**18}"})
    assert answer.status_code == 206
    assert answer.content == asset.path.read_bytes()[5:]


@pytest.mark.parametrize("asked", ["bytes=99999999-", "bytes=-0", "bytes=99999999-999999999"])
def test_a_range_that_is_not_there_is_refused(served: Served, asset: Asset, asked: str) -> None:
    answer = served.client.get(f"/v1/assets/{asset.id}/content", headers={"range": asked})
    refusal(answer, 416)
    assert answer.headers["content-range"] == f"bytes */{asset.size_bytes}"


@pytest.mark.parametrize("asked", ["bytes=9-3", "lines=1-2", "bytes=0-1,4-5", "bytes=a-b", "bytes=-", "bytes"])
def test_what_is_no_single_range_gets_the_whole_file(served: Served, asset: Asset, asked: str) -> None:
    answer = served.client.get(f"/v1/assets/{asset.id}/content", headers={"range": asked})
    assert answer.status_code == 200
    assert answer.content == asset.path.read_bytes()


def test_who_has_it_already_is_told_so(served: Served, asset: Asset) -> None:
    path = f"/v1/videos/{asset.id}/content"
    answer = served.client.get(path, headers={"if-none-match": f'"{asset.sha256}"'})
    assert (answer.status_code, answer.content) == (304, b"")
    stale = served.client.get(path, headers={"range": "bytes=0-1", "if-range": '"another"'})
    assert stale.status_code == 200
    fresh = served.client.get(path, headers={"range": "bytes=0-1", "if-range": f'"{asset.sha256}"'})
    assert fresh.status_code == 206


def test_the_headers_alone_can_be_asked_for(served: Served, asset: Asset) -> None:
    answer = served.client.head(f"/v1/assets/{asset.id}/content")
    assert (answer.status_code, answer.content) == (200, b"")
    assert int(answer.headers["content-length"]) == asset.size_bytes
    assert answer.headers["accept-ranges"] == "bytes"
    assert served.client.head("/healthz").status_code == 200
    assert served.client.get("/healthz").json() == {"status": "ok"}


def test_headers_keep_a_browser_from_guessing(served: Served, asset: Asset) -> None:
    headers = served.client.get(f"/v1/assets/{asset.id}/content").headers
    assert headers["content-disposition"] == f'inline; filename="{asset.id}.mp4"'
    assert headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in headers["content-security-policy"]
    assert "server" not in headers


def test_a_file_that_was_changed_or_is_gone_is_not_served(served: Served, asset: Asset) -> None:
    asset.path.write_bytes(asset.path.read_bytes()[:-1])
    refusal(served.client.get(f"/v1/assets/{asset.id}/content"), 503)
    asset.path.unlink()
    refusal(served.client.get(f"/v1/assets/{asset.id}/content"), 503)


def test_one_that_is_just_being_removed_is_not_found(served: Served, asset: Asset) -> None:
    asset.path.unlink()
    late = threading.Timer(0.2, served.studio.store.forget_asset, [asset.id])
    late.start()
    refusal(served.client.get(f"/v1/assets/{asset.id}/content"), 404)
    late.join()


def test_assets_are_listed_searched_shown_and_deleted(served: Served, worker: None) -> None:
    ids = []
    for prompt in ("a red square", "a blue square", "a red circle"):
        ids.append(served.create(prompt=prompt)["id"])
        served.wait(ids[-1])
    listed = served.client.get("/v1/assets", params={"limit": 2}).json()
    rest = served.client.get("/v1/assets", params={"after": listed["last_id"]}).json()
    assert {item["id"] for item in (*listed["data"], *rest["data"])} == set(ids)
    assert (listed["has_more"], rest["has_more"]) == (True, False)
    found = served.client.get("/v1/assets", params={"text": "red"}).json()["data"]
    assert {item["id"] for item in found} == {ids[0], ids[2]}
    shown = served.client.get(f"/v1/assets/{ids[0]}").json()
    assert shown["prompt"] == "a red square"
    assert "path" not in shown
    assert str(served.studio.settings.home) not in str(shown)
    report = served.client.get(f"/v1/assets/{ids[0]}/report").json()
    assert report["checks"]
    assert served.client.delete(f"/v1/assets/{ids[0]}").json()["deleted"] is True
    refusal(served.client.get(f"/v1/assets/{ids[0]}"), 404)
    refusal(served.client.get(f"/v1/assets/{ids[0]}/report"), 404)
    refusal(served.client.get("/v1/assets", params={"after": "nobody"}), 404)
    refusal(served.client.get("/v1/assets", params={"text": "a\0b"}), 422)
