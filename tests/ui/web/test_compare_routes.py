"""The routes of comparisons: planned, made, voted on openly and blind, ranked, taken along; and whose all of it is."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest

from studio.app import Studio
from studio.comparing.comparer import Comparer
from studio.comparing.comparison import Comparison
from studio.comparing.report import CompareReport
from studio.comparing.wish import CompareWish, Variant
from studio.request import GenerationRequest
from tests.ui.web.accounts import Browsers, browsers
from tests.webpage import ServedPage

COMPARISONS = "/studio/comparisons"
WISH: dict[str, Any] = {
    "prompt": "a <i>square</i>",
    "seed": 5,
    "tags": ["Squares"],
    "entries": [{"model": "scripted-moving"}, {"model": "scripted-moving", "changes": {"options": {"shade": 40}}}],
}


def make(studio: Studio, *, tags: tuple[str, ...] = ()) -> Comparison:
    base = GenerationRequest(model="", prompt="a square", seed=5)
    variants = [Variant(model="scripted-moving", changes={"options": {"shade": shade}}) for shade in (0, 40)]
    begun = studio.comparisons.start(CompareWish(base=base, variants=variants, tags=tags))
    return studio.comparisons.make(begun.id)


@pytest.fixture(scope="module")
def made(idle_site: ServedPage) -> Comparison:
    """Two clips of one model."""
    return make(idle_site.studio)


@pytest.fixture(scope="module")
def people(idle_site: ServedPage) -> Iterator[Browsers]:
    """The same studio, for people with accounts."""
    with browsers(idle_site.studio) as found:
        yield found


def told(answer: httpx.Response, status: int = 200) -> Any:
    assert answer.status_code == status, answer.text
    data = answer.json()
    return data if status == 200 else data["error"]


def await_gone(site: ServedPage) -> None:
    """What was sent is removed a moment after the last of it was read."""
    folder = site.studio.settings.home / "uploads"
    deadline = time.monotonic() + 10
    while list(folder.rglob("*.html")) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert list(folder.rglob("*.html")) == []


def png() -> bytes:
    return bytes(cv2.imencode(".png", np.full((128, 160, 3), 90, np.uint8))[1])


# -- setting up --------------------------------------------------------------------------------------------------------


def test_a_plan_shows_what_each_would_do_and_queues_nothing(idle_site: ServedPage) -> None:
    before = len(idle_site.studio.desk.jobs(limit=1000))
    wish = WISH | {"width": 100, "height": 100, "num_frames": 12, "negative_prompt": "dull"}
    plan = told(idle_site.client.post(f"{COMPARISONS}/plan", json=wish))
    assert (plan["can_start"], plan["seed"]) == (True, "5")
    fields = {item["field"] for item in plan["entries"][0]["differences"]}
    assert {"size", "num_frames"} <= fields
    assert len(idle_site.studio.desk.jobs(limit=1000)) == before


def test_the_seed_that_a_plan_drew_makes_what_was_shown(idle_site: ServedPage) -> None:
    wish = {**WISH, "seed": None}
    plan = told(idle_site.client.post(f"{COMPARISONS}/plan", json=wish))
    begun = told(idle_site.client.post(COMPARISONS, json=wish | {"seed": int(plan["seed"])}))
    jobs = [idle_site.studio.desk.job(entry["job_id"]) for entry in begun["entries"]]
    assert {str(job.request["seed"]) for job in jobs} == {plan["seed"]}
    assert begun["tags"] == ["squares"]
    canceled = told(idle_site.client.post(f"{COMPARISONS}/{begun['id']}/cancel"))
    assert {entry["state"] for entry in canceled["entries"]} == {"canceled"}


def test_a_picture_comes_as_a_part_of_a_form_and_goes_into_every_entry(idle_site: ServedPage) -> None:
    fields = {"data": {"wish": json.dumps(WISH)}, "files": {"image": ("cat.png", png(), "image/png")}}
    plan = told(idle_site.client.post(f"{COMPARISONS}/plan", **fields))
    assert plan["can_start"]
    begun = told(idle_site.client.post(COMPARISONS, **fields))
    digest = hashlib.sha256(png()).hexdigest()
    for entry in begun["entries"]:
        request = idle_site.studio.desk.job(entry["job_id"]).request
        assert [(item["role"], item["sha256"]) for item in request["conditionings"]] == [("first-frame", digest)]
    told(idle_site.client.post(f"{COMPARISONS}/{begun['id']}/cancel"))


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"entries": [{"model": "scripted-moving"}]}, "variants"),
        ({"entries": [{"model": "nobody"}, {"model": "scripted-moving"}]}, "model"),
        ({"seed": -1}, "seed"),
        ({"frame_rate": "fast"}, "frame_rate"),
        ({"max_cost": "much"}, "max_cost"),
        ({"surprise": 1}, "surprise"),
        ({"tags": [""]}, "tags"),
        ({"options": {"lora": "/etc/passwd"}}, "options.lora"),
        ({"pictures_of": "nobody"}, "id"),
    ],
)
def test_what_makes_no_sense_is_refused_by_field(idle_site: ServedPage, change: dict[str, Any], field: str) -> None:
    answer = idle_site.client.post(f"{COMPARISONS}/plan", json=WISH | change)
    assert answer.status_code in (404, 422), answer.text
    assert answer.json()["error"]["field"] == field


def test_too_little_money_is_refused_before_anything_is_queued(idle_site: ServedPage) -> None:
    # The scripted models cost nothing, so that nothing is too little of no currency of theirs.
    before = len(idle_site.studio.desk.jobs(limit=1000))
    error = told(idle_site.client.post(COMPARISONS, json=WISH | {"max_cost": "5 EUR"}), 409)
    assert error["field"] == "max_cost"
    assert len(idle_site.studio.desk.jobs(limit=1000)) == before


def test_a_form_begins_with_a_clips_own_request(idle_site: ServedPage, made: Comparison) -> None:
    base = told(idle_site.client.get(f"{COMPARISONS}/base/{made.job_ids[1]}"))
    assert (base["model"], base["prompt"], base["seed"], base["options"]["shade"]) == (
        "scripted-moving",
        "a square",
        "5",
        40,
    )
    assert (base["pictures_wanted"], base["pictures_found"]) == (0, 0)
    told(idle_site.client.get(f"{COMPARISONS}/base/nobody"), 404)


# -- looking -----------------------------------------------------------------------------------------------------------


def test_a_comparison_is_told_and_304_where_nothing_changed(idle_site: ServedPage, made: Comparison) -> None:
    answer = idle_site.client.get(f"{COMPARISONS}/{made.id}")
    assert [entry["state"] for entry in told(answer)["entries"]] == ["succeeded", "succeeded"]
    again = idle_site.client.get(f"{COMPARISONS}/{made.id}", headers={"if-none-match": answer.headers["etag"]})
    assert again.status_code == 304
    cards = told(idle_site.client.get(COMPARISONS))["comparisons"]
    assert made.id in [card["id"] for card in cards]
    older = told(idle_site.client.get(COMPARISONS, params={"after": cards[0]["id"]}))["comparisons"]
    assert [card["id"] for card in older] == [card["id"] for card in cards[1:]]


@pytest.mark.parametrize("path", ["nobody", "20", "%00", "nobody/votes"])
def test_an_unknown_comparison_is_a_404_and_no_beginning_of_an_id_will_do(idle_site: ServedPage, path: str) -> None:
    assert idle_site.client.get(f"{COMPARISONS}/{path}").status_code == 404


def test_title_and_tags_can_be_changed(idle_site: ServedPage, made: Comparison) -> None:
    changed = told(idle_site.client.post(f"{COMPARISONS}/{made.id}/label", json={"title": "A <b>", "tags": ["Two"]}))
    assert (changed["title"], changed["tags"]) == ("A <b>", ["two"])
    told(idle_site.client.post(f"{COMPARISONS}/{made.id}/label", json={"title": "x" * 300}), 422)


# -- voting ------------------------------------------------------------------------------------------------------------


def test_a_vote_with_the_names_in_view_is_kept_as_such(idle_site: ServedPage) -> None:
    judged = make(idle_site.studio)
    vote = {"left": 2, "right": 1, "verdict": "left", "reasons": ["motion", "my own words"]}
    kept = told(idle_site.client.post(f"{COMPARISONS}/{judged.id}/votes", json=vote))
    assert (kept["votes"], kept["mine"]) == (1, 1)
    found = told(idle_site.client.get(f"{COMPARISONS}/{judged.id}/votes"))["votes"]
    assert [(item["verdict"], item["was_blind"], item["reasons"]) for item in found] == [
        ("left", False, vote["reasons"])
    ]
    told(idle_site.client.post(f"{COMPARISONS}/{judged.id}/votes", json=vote | {"right": 2}), 422)
    told(idle_site.client.post(f"{COMPARISONS}/{judged.id}/votes", json=vote | {"verdict": "best"}), 422)


def test_a_blind_clip_has_the_sealed_bytes_and_headers_that_tell_nothing(
    idle_site: ServedPage, made: Comparison
) -> None:
    assets = {entry.number: entry.asset for entry in made.finished}
    deal = told(idle_site.client.post(f"{COMPARISONS}/{made.id}/blind/next"))
    served = {side: idle_site.client.get(deal[side]["url"]) for side in ("left", "right")}
    digests = {hashlib.sha256(answer.content).hexdigest() for answer in served.values()}
    assert digests == {asset.sha256 for asset in assets.values() if asset is not None}
    for answer in served.values():
        assert answer.status_code == 200
        assert not {"etag", "last-modified"} & set(answer.headers)
        assert answer.headers["content-disposition"] == "inline"
        head = json.dumps(dict(answer.headers)) + str(answer.url)
        for asset in assets.values():
            assert asset is not None
            assert asset.id not in head
            assert asset.sha256 not in head
    part = idle_site.client.get(deal["left"]["url"], headers={"range": "bytes=4-11"})
    assert (part.status_code, part.content) == (206, served["left"].content[4:12])
    assert idle_site.client.head(deal["left"]["url"]).headers["content-length"] == str(len(served["left"].content))


def test_who_is_who_is_told_after_the_vote_and_the_vote_counts_for_the_right_one(idle_site: ServedPage) -> None:
    judged = make(idle_site.studio)
    deal = told(idle_site.client.post(f"{COMPARISONS}/{judged.id}/blind/next"))
    content = idle_site.client.get(deal["left"]["url"]).content
    ballot = {"token": deal["token"], "verdict": "left", "reasons": ["detail"]}
    revealed = told(idle_site.client.post(f"{COMPARISONS}/{judged.id}/blind/vote", json=ballot))
    shown = judged.entry(revealed["left"]["number"])
    assert shown is not None
    assert shown.asset is not None
    assert shown.asset.sha256 == hashlib.sha256(content).hexdigest()
    (vote,) = idle_site.studio.comparisons.votes(judged.id)
    assert (vote.winner, vote.was_blind, vote.reasons) == (revealed["left"]["number"], True, ("detail",))
    error = told(idle_site.client.post(f"{COMPARISONS}/{judged.id}/blind/vote", json=ballot), 409)
    assert error["fix"] == "draw the next pair"
    assert len(idle_site.studio.comparisons.votes(judged.id)) == 1
    address = f"{COMPARISONS}/{judged.id}/votes/{revealed['id']}"
    assert told(idle_site.client.delete(address)) == {"votes": 0, "mine": 0}
    told(idle_site.client.delete(address), 404)


def test_sides_are_drawn_anew_each_time(idle_site: ServedPage, made: Comparison) -> None:
    lefts = set()
    for _ in range(24):  # the same side each time happens once in eight million
        deal = told(idle_site.client.post(f"{COMPARISONS}/{made.id}/blind/next"))
        lefts.add(hashlib.sha256(idle_site.client.get(deal["left"]["url"]).content).hexdigest())
    assert len(lefts) == 2


def test_nothing_is_judged_blind_before_two_clips_are_made(idle_site: ServedPage) -> None:
    begun = told(idle_site.client.post(COMPARISONS, json=WISH))
    assert "wait" in told(idle_site.client.post(f"{COMPARISONS}/{begun['id']}/blind/next"), 409)["fix"]
    told(idle_site.client.get(f"{COMPARISONS}/{begun['id']}/blind/invented"), 404)
    told(idle_site.client.post(f"{COMPARISONS}/{begun['id']}/remove"))
    told(idle_site.client.get(f"{COMPARISONS}/{begun['id']}"), 404)


# -- ranking and taking along ------------------------------------------------------------------------------------------


def test_a_ranking_is_of_models_or_of_a_tag_or_of_one_comparisons_entries(idle_site: ServedPage) -> None:
    judged = make(idle_site.studio, tags=("ranked",))
    idle_site.studio.comparisons.vote(judged.id, 1, 2, "both_bad")
    entries = told(idle_site.client.get(f"{COMPARISONS}/ranking", params={"by": "entry", "comparison": judged.id}))
    assert [rank["label"] for rank in entries["ranks"]] == [
        f"Scripted scripted-moving shade={shade}" for shade in (0, 40)
    ]
    assert [rank["both_bad_share"] for rank in entries["ranks"]] == [1.0, 1.0]
    models = told(idle_site.client.get(f"{COMPARISONS}/ranking", params={"tag": "Ranked"}))
    assert [rank["label"] for rank in models["ranks"]] == ["Scripted scripted-moving"]
    assert "ranked" in models["tags"]
    told(idle_site.client.get(f"{COMPARISONS}/ranking", params={"by": "entry"}), 422)


def test_one_page_holds_the_sealed_bytes_and_leaves_nothing_behind(
    idle_site: ServedPage, made: Comparison, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nobody sweeps the folder for temporary files after a server that was killed; uploads are swept.
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "not there"))
    answer = idle_site.client.get(f"{COMPARISONS}/report", params={"id": made.id})
    assert answer.status_code == 200, answer.text
    assert f"comparison-{made.id}.html" in answer.headers["content-disposition"]
    for entry in made.finished:
        assert entry.asset is not None
        assert base64.b64encode(entry.asset.path.read_bytes()).decode() in answer.text
    await_gone(idle_site)
    told(idle_site.client.get(f"{COMPARISONS}/report", params={"id": [made.id, "nobody"]}), 404)
    told(idle_site.client.get(f"{COMPARISONS}/report"), 422)
    await_gone(idle_site)


def test_a_report_that_is_being_made_lies_where_the_next_server_sweeps(
    idle_site: ServedPage, made: Comparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    places: list[Path] = []
    write = Comparer.write_report

    def noted(comparer: Comparer, ids: list[str], path: Path) -> CompareReport:
        places.append(path)
        return write(comparer, ids, path)

    monkeypatch.setattr(Comparer, "write_report", noted)
    idle_site.client.get(f"{COMPARISONS}/report", params={"id": made.id})
    (place,) = places
    uploads = idle_site.studio.settings.home / "uploads"
    assert place.is_relative_to(uploads)
    assert (uploads / place.relative_to(uploads).parts[0]).with_suffix(".lock").is_file()
    await_gone(idle_site)


# -- whose it is -------------------------------------------------------------------------------------------------------


def test_a_viewer_looks_and_neither_makes_nor_votes(people: Browsers, made: Comparison) -> None:
    assert told(people.vera.get(f"{COMPARISONS}/{made.id}"))["can_vote"] is False
    for path, body in {
        "plan": WISH,
        "": WISH,
        f"{made.id}/votes": {"left": 1, "right": 2, "verdict": "tie"},
        f"{made.id}/blind/next": {},
        f"{made.id}/label": {"title": "mine"},
        f"{made.id}/remove": {},
    }.items():
        told(people.vera.post(f"{COMPARISONS}/{path}".rstrip("/"), json=body), 403)


def test_a_comparison_and_its_jobs_belong_to_whoever_made_it(people: Browsers) -> None:
    begun = told(people.alice.post(COMPARISONS, json=WISH))
    assert (begun["is_mine"], begun["owner"]) == (True, "alice")
    for entry in begun["entries"]:
        assert people.studio.people.owner(entry["job_id"]) == "alice"
    told(people.bob.post(f"{COMPARISONS}/{begun['id']}/cancel"), 403)
    told(people.bob.post(f"{COMPARISONS}/{begun['id']}/remove"), 403)
    told(people.alice.post(f"{COMPARISONS}/{begun['id']}/cancel"))
    told(people.boss.post(f"{COMPARISONS}/{begun['id']}/remove"))
    assert people.studio.people.owner(begun["id"]) is None


def test_a_pair_dealt_to_one_is_no_use_to_another(people: Browsers, made: Comparison) -> None:
    deal = told(people.alice.post(f"{COMPARISONS}/{made.id}/blind/next"))
    assert people.alice.get(deal["left"]["url"]).status_code == 200
    assert people.bob.get(deal["left"]["url"]).status_code == 404
    ballot = {"token": deal["token"], "verdict": "tie"}
    told(people.bob.post(f"{COMPARISONS}/{made.id}/blind/vote", json=ballot), 404)
    assert told(people.alice.post(f"{COMPARISONS}/{made.id}/blind/vote", json=ballot))["mine"] == 1
    vote = people.studio.comparisons.votes(made.id)[-1]
    assert vote.voter == "alice"
    address = f"{COMPARISONS}/{made.id}/votes/{vote.id}"
    told(people.bob.delete(address), 404)
    told(people.boss.delete(address), 404)
    told(people.vera.delete(address), 403)
    told(people.alice.delete(address))
