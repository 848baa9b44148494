"""Clips over HTTP: what is told of one, its seal, its last frame, and new files made of it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import httpx
import pytest

from studio.library.asset import Asset
from studio.people.account import Role
from studio.request import GenerationRequest
from tests.webpage import ServedPage, serving_page

COOKIE = "studio-visit"


@pytest.fixture(scope="module")
def asset(idle_site: ServedPage) -> Asset:
    return idle_site.studio.generate(GenerationRequest(model="scripted-moving", seed=5, prompt="A fox")).asset


def test_a_clip_is_told_whole(idle_site: ServedPage, asset: Asset) -> None:
    answer = idle_site.client.get(f"/studio/clips/{asset.id}")
    told = answer.json()
    assert (told["id"], told["prompt"], told["sha256"]) == (asset.id, "A fox", asset.sha256)
    assert told["model_name"] == "Scripted scripted-moving"
    assert told["provenance"]["training_use"] == "notAllowed"
    again = idle_site.client.get(f"/studio/clips/{asset.id}", headers={"if-none-match": answer.headers["etag"]})
    assert again.status_code == 304


def test_there_is_no_clip_by_half_an_id(idle_site: ServedPage, asset: Asset) -> None:
    for name in (asset.id[:-1], "nothing", "%27"):
        answer = idle_site.client.get(f"/studio/clips/{name}")
        assert answer.status_code == 404
        assert set(answer.json()["error"]) == {"code", "message", "field", "got", "allowed", "fix"}
        assert answer.json()["error"]["fix"] is None  # people on the page have no use for paths of the REST API


def test_what_is_downloaded_is_the_sealed_file(idle_site: ServedPage, asset: Asset) -> None:
    content = idle_site.client.get(f"/studio/media/{asset.id}").content
    assert hashlib.sha256(content).hexdigest() == asset.sha256


def test_the_seal_of_a_clip_is_verified_and_a_changed_file_is_noticed(idle_site: ServedPage) -> None:
    asset = idle_site.studio.generate(GenerationRequest(model="scripted-moving", seed=6)).asset
    path = f"/studio/clips/{asset.id}/verification"
    told = idle_site.client.get(path).json()
    assert (told["state"], told["is_own"], told["tone"]) == ("trusted", True, "good")
    assert told["watermark"]["payload"] == asset.watermark_id
    content = bytearray(asset.path.read_bytes())
    content[len(content) // 2] ^= 1
    asset.path.chmod(0o600)
    asset.path.write_bytes(content)
    changed = idle_site.client.get(path).json()
    assert (changed["state"], changed["tone"]) == ("invalid", "bad")


def test_the_last_frame_becomes_a_sealed_picture_of_its_own_once(idle_site: ServedPage, asset: Asset) -> None:
    made = idle_site.client.post(f"/studio/clips/{asset.id}/last-frame").json()
    picture = idle_site.studio.store.asset(made["asset"])
    assert (picture.kind, picture.parent_id, picture.mime_type) == ("picture", asset.id, "image/png")
    assert picture.derivation is not None
    assert picture.derivation["frame"] == asset.num_frames - 1
    assert idle_site.studio.verify(picture.path).is_intact
    again = idle_site.client.post(f"/studio/clips/{asset.id}/last-frame").json()
    assert again["asset"] == made["asset"]
    told = idle_site.client.get(f"/studio/clips/{picture.id}").json()
    assert "first-frame" in told["can"]
    assert "again" not in told["can"]  # nobody generated it
    assert told["sources"][0]["id"] == asset.id
    assert picture.id in [child["id"] for child in idle_site.client.get(f"/studio/clips/{asset.id}").json()["children"]]


def test_a_last_frame_in_the_bin_is_made_anew(idle_site: ServedPage) -> None:
    asset = idle_site.studio.generate(GenerationRequest(model="scripted-moving", seed=7)).asset
    first = idle_site.client.post(f"/studio/clips/{asset.id}/last-frame").json()["asset"]
    idle_site.studio.curation.bin([first])
    assert idle_site.client.post(f"/studio/clips/{asset.id}/last-frame").json()["asset"] != first


def test_a_part_of_a_clip_is_exported_with_its_record_beside_it(
    idle_site: ServedPage, asset: Asset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "not there"))  # where a killed server's things stay for ever
    wish = {"format": "webm", "start": 0.25, "end": 0.75}
    made = idle_site.client.post(f"/studio/clips/{asset.id}/export", json=wish).json()
    part = idle_site.studio.store.asset(made["asset"])
    assert part.num_frames == 4
    assert idle_site.client.get(made["url"]).content == part.path.read_bytes()
    record = idle_site.client.get(made["sidecar"])
    assert part.sidecar is not None
    assert record.content == part.sidecar.read_bytes()
    assert f'filename="{part.id}.c2pa"' in record.headers["content-disposition"]
    assert idle_site.client.get(f"/studio/clips/{asset.id}/sidecar").status_code == 404


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        ({"format": "exe"}, "format"),
        ({"format": "gif", "start": 99}, "start"),
        ({"format": "png", "frame": 900}, "frame"),
        ({"format": "png", "width": 3}, "width"),
        ({"format": "png", "path": "/etc/passwd"}, "path"),
    ],
)
def test_an_export_that_cannot_be_is_refused_by_the_name_of_its_field(
    idle_site: ServedPage, asset: Asset, wish: dict[str, object], field: str
) -> None:
    answer = idle_site.client.post(f"/studio/clips/{asset.id}/export", json=wish)
    assert answer.status_code == 422, answer.text
    assert answer.json()["error"]["field"] == field


def test_what_a_creator_makes_of_a_clip_is_theirs_and_a_viewer_makes_nothing(
    idle_site: ServedPage, asset: Asset
) -> None:
    studio = idle_site.studio
    for name, role in (("clara", Role.CREATOR), ("victor", Role.VIEWER)):
        studio.people.add(name, "correct horse battery staple", role)
    with serving_page(studio, needs_login=True) as served:

        def ask(name: str) -> httpx.Response:
            token = studio.people.login(name, "correct horse battery staple")
            cookie = {"cookie": f"{COOKIE}={token}"}
            return served.client.post(f"/studio/clips/{asset.id}/last-frame", headers=cookie)

        assert ask("victor").status_code == 403
        made = ask("clara").json()["asset"]
        assert studio.people.owner(made) == "clara"
