"""Comparisons from the wish to the ranking, over the scripted models."""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from studio.app import Studio
from studio.comparing.comparer import Comparer
from studio.comparing.comparison import Comparison
from studio.comparing.rows import UnknownComparison
from studio.comparing.voting import MAX_REASONS, Verdict
from studio.comparing.wish import Variant
from studio.errors import Canceled, NotFound, RequestError, StoreFault, UnsupportedValue
from studio.jobs.roll import WorkerCard
from studio.jobs.states import JobState
from studio.jobs.worker import Worker
from studio.library.asset import file_sha256
from studio.request import Conditioning, Role
from tests.fakes import write_scripted_row
from tests.studio.comparing.conftest import Made, reload_rows, wish


def test_every_contestant_becomes_a_sealed_clip_beside_its_facts(comparer: Comparer, made: Made) -> None:
    found = made(
        "scripted-moving", Variant(model="cloud", label="the cloud"), title=" Two  of them ", tags=["Sky", "sky"]
    )
    assert found.title == "Two of them"
    assert found.tags == ("sky",)
    assert [entry.state for entry in found.entries] == ["succeeded", "succeeded"]
    assert found.is_over
    for entry in found.entries:
        assert entry.asset is not None
        assert entry.asset.id == entry.job_id
        assert file_sha256(entry.asset.path) == entry.asset.sha256
        assert entry.seconds is not None
        assert entry.checks == entry.asset.standing
    cloud = found.entries[1]
    assert cloud.label == "the cloud"
    assert cloud.cost == {"amount": 0.25, "currency": "USD"}
    assert {item.field for item in cloud.differences} >= {"seed", "size"}
    assert comparer.get(found.id) == found
    told = json.loads(json.dumps(found.as_json(), allow_nan=False))
    assert cloud.asset is not None
    assert told["entries"][1]["asset"]["sha256"] == cloud.asset.sha256


def test_the_request_is_kept_as_it_was_asked(comparer: Comparer, made: Made, picture: Path) -> None:
    start = (Conditioning(role=Role.FIRST_FRAME, path=picture),)
    found = made(conditionings=start, negative_prompt="blur", options={"shade": 3})
    kept = found.request
    assert (kept["prompt"], kept["negative_prompt"], kept["width"]) == ("a square", "blur", 96)
    assert kept["options"] == {"shade": 3}
    assert kept["conditionings"] == [{"role": "first-frame", "path": str(picture), "sha256": file_sha256(picture)}]


def test_what_cannot_be_made_or_fails_is_shown_and_does_not_hold_up_the_others(made: Made) -> None:
    found = made("scripted-moving", "scripted-raises", "picture", "scripted-crashes", "scripted-frozen")
    assert [entry.state for entry in found.entries] == ["succeeded", "failed", "refused", "failed", "succeeded"]
    failed, refused = found.entries[1], found.entries[2]
    assert failed.error is not None
    assert failed.error["message"] == "the script says so"
    assert refused.error is not None
    assert refused.error["field"] == "image"
    assert refused.job_id is None
    assert found.is_over
    assert [entry.number for entry in found.finished] == [1, 5]


def test_a_clip_that_was_removed_is_shown_so(studio: Studio, comparer: Comparer, made: Made) -> None:
    found = made()
    assert found.entries[0].asset is not None
    studio.remove(found.entries[0].asset.id)
    again = comparer.get(found.id)
    assert [entry.state for entry in again.entries] == ["removed", "succeeded"]
    assert again.entries[0].error is None
    assert again.is_over
    with pytest.raises(RequestError, match="entry 1 has no clip"):
        comparer.vote(found.id, 1, 2, "left")


def test_a_clip_whose_job_was_forgotten_is_still_there(studio: Studio, comparer: Comparer, made: Made) -> None:
    found = made()
    assert found.entries[0].job_id is not None
    studio.desk.remove(found.entries[0].job_id)
    entry = comparer.get(found.id).entries[0]
    assert entry.state == "succeeded"
    assert entry.job is None
    assert entry.seconds is not None


def test_forgetting_a_comparison_leaves_its_jobs_and_clips(studio: Studio, comparer: Comparer, made: Made) -> None:
    found = made()
    comparer.vote(found.id, 1, 2, "tie")
    assert comparer.remove(found.id).id == found.id
    with pytest.raises(UnknownComparison):
        comparer.get(found.id)
    assert {asset.id for asset in studio.store.assets()} == set(found.job_ids)
    assert comparer.ranking().votes == 0


def test_all_jobs_are_queued_or_none(studio: Studio, comparer: Comparer, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> str:
        raise StoreFault("the disk is full")

    monkeypatch.setattr(comparer._rows, "add", full)
    with pytest.raises(StoreFault):
        comparer.start(wish("scripted-moving", "scripted-frozen"))
    assert {job.state for job in studio.desk.jobs()} == {JobState.CANCELED}


def test_jobs_that_are_gone_as_soon_as_they_are_queued_are_told_in_a_sentence(
    studio: Studio, comparer: Comparer, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit = comparer._desk.submit_many
    monkeypatch.setattr(comparer._desk, "submit_many", lambda wishes: submit(wishes)[:1])
    with pytest.raises(StoreFault, match="gone as soon as they were queued; got 1 of 2"):
        comparer.start(wish("scripted-moving", "scripted-frozen"))
    assert not comparer.list()


def test_comparisons_are_listed_newest_first_and_page_by_page(comparer: Comparer) -> None:
    started = [comparer.start(wish("scripted-moving", "scripted-frozen", seed=number)).id for number in range(5)]
    assert [item.id for item in comparer.list()] == started[::-1]
    first = comparer.list(2)
    assert [item.id for item in comparer.list(2, after=first[-1].id)] == started[::-1][2:4]
    with pytest.raises(UnknownComparison):
        comparer.list(after="nobody")
    with pytest.raises(UnsupportedValue):
        comparer.list(0)


def test_titles_and_tags_can_be_changed(comparer: Comparer) -> None:
    found = comparer.start(wish("scripted-moving", "scripted-frozen", title="old", tags=["one"]))
    assert comparer.relabel(found.id, tags=["Two", "three"]).tags == ("two", "three")
    assert comparer.relabel(found.id, title="new").title == "new"
    assert comparer.tags() == ["three", "two"]


def test_an_id_may_be_shortened_and_must_be_known(comparer: Comparer) -> None:
    found = comparer.start(wish("scripted-moving", "scripted-frozen"))
    assert comparer.get(found.id[:-2]).id == found.id
    for words in ("", "nobody"):
        with pytest.raises(UnknownComparison, match="compare list"):
            comparer.get(words)


# -- votes ------------------------------------------------------------------------------------------------------


def test_votes_are_kept_as_they_were_cast(comparer: Comparer, made: Made) -> None:
    found = made()
    comparer.vote(found.id, 2, 1, "left", ["motion", " my own\nwords ", "motion"], was_blind=True, voter="ann")
    comparer.vote(found.id, 1, 2, Verdict.BOTH_BAD)
    first, second = comparer.votes(found.id)
    assert (first.left, first.right, first.winner, first.was_blind, first.voter) == (2, 1, 2, True, "ann")
    assert first.reasons == ("motion", "my own words")
    assert second.winner is None
    assert comparer.get(found.id).num_votes == 2
    assert json.loads(json.dumps(first.as_json()))["winner"] == 2


def test_a_vote_is_taken_back_by_who_cast_it_and_by_nobody_else(comparer: Comparer, made: Made) -> None:
    found = made()
    first = comparer.vote(found.id, 1, 2, "left", voter="ann")
    second = comparer.vote(found.id, 1, 2, "right", voter="ann")
    theirs = comparer.vote(found.id, 1, 2, "tie", voter="bob")
    for vote_id, voter in ((theirs.id, "ann"), (first.id, ""), ("nobody's", "ann"), (None, "carol")):
        with pytest.raises(NotFound):
            comparer.take_back(found.id, vote_id, voter=voter)
    assert comparer.take_back(found.id, voter="ann") == second
    assert comparer.take_back(found.id, first.id, voter="ann") == first
    assert comparer.votes(found.id) == [theirs]
    assert comparer.ranking("entry", comparison_id=found.id).votes == 1
    with pytest.raises(NotFound, match="ann"):
        comparer.take_back(found.id, voter="ann")


def test_a_vote_that_makes_no_sense_is_refused(comparer: Comparer, made: Made) -> None:
    found = made()
    for arguments, field in NONSENSE:
        with pytest.raises(RequestError) as caught:
            comparer.vote(found.id, *arguments)
        assert caught.value.field == field
    with pytest.raises(UnsupportedValue, match="voter"):
        comparer.vote(found.id, 1, 2, "left", voter="x" * 41)
    assert comparer.votes(found.id) == []


NONSENSE: tuple[tuple[tuple[Any, ...], str], ...] = (
    ((1, 1, "left"), "right"),
    ((1, 9, "left"), "right"),
    ((0, 2, "left"), "left"),
    ((1, 2, "better"), "verdict"),
    ((1, 2, "left", ["x" * 201]), "reasons"),
    ((1, 2, "left", [str(number) for number in range(MAX_REASONS + 1)]), "reasons"),
    ((1, 2, "left", "motion"), "reasons"),
)


def test_an_unfinished_clip_cannot_be_judged(comparer: Comparer) -> None:
    found = comparer.start(wish("scripted-moving", "scripted-frozen"))
    assert comparer.next_pair(found.id) is None
    with pytest.raises(RequestError, match="it is queued"):
        comparer.vote(found.id, 1, 2, "left")


def test_the_pair_that_a_voter_judged_least_comes_next_with_its_sides_drawn(comparer: Comparer, made: Made) -> None:
    found = made("scripted-moving", "scripted-frozen", "square")
    rng = random.Random(1)
    seen: Counter[frozenset[int]] = Counter()
    lefts: Counter[int] = Counter()
    for _ in range(30):
        pair = comparer.next_pair(found.id, "ann", rng)
        assert pair is not None
        key = frozenset((pair.left.number, pair.right.number))
        assert pair.seen == seen[key] == min(seen[frozenset(two)] for two in ((1, 2), (1, 3), (2, 3)))
        comparer.vote(found.id, pair.left.number, pair.right.number, "tie", voter="ann")
        seen[key] += 1
        lefts[pair.left.number] += 1
        assert "model" not in pair.as_json()
    assert set(seen.values()) == {10}
    assert min(lefts.values()) >= 4
    other = comparer.next_pair(found.id, "bob", rng)
    assert other is not None
    assert other.seen == 0


# -- ranking ----------------------------------------------------------------------------------------------------


def test_models_are_ranked_over_comparisons_by_tag_and_by_voter(comparer: Comparer, made: Made) -> None:
    sky, sea = (made(tags=[tag], seed=number) for number, tag in enumerate(("sky", "sea")))
    for _ in range(3):
        comparer.vote(sky.id, 1, 2, "left", voter="ann")
    comparer.vote(sea.id, 1, 2, "right", voter="bob")
    assert comparer.ranking().votes == 4
    best = {name: comparer.ranking(**how).ranks[0].key for name, how in FILTERS.items()}
    assert best == {
        "all": "scripted-moving",
        "sky": "scripted-moving",
        "sea": "scripted-frozen",
        "bob": "scripted-frozen",
    }
    entries = comparer.ranking("entry", comparison_id=sea.id)
    assert [item.key for item in entries.ranks] == ["2", "1"]
    assert entries.ranks[0].label == "scripted-frozen"
    assert comparer.ranking(comparison_id=sea.id, tag="sky").votes == 0


FILTERS: dict[str, dict[str, Any]] = {"all": {}, "sky": {"tag": "SKY"}, "sea": {"tag": "sea"}, "bob": {"voter": "bob"}}


def test_entries_are_ranked_within_one_comparison_alone(comparer: Comparer) -> None:
    with pytest.raises(UnsupportedValue) as caught:
        comparer.ranking("entry")
    assert caught.value.field == "comparison"


# -- making -----------------------------------------------------------------------------------------------------


def test_whoever_gives_up_leaves_no_job_behind(studio: Studio, comparer: Comparer, tmp_path: Path) -> None:
    write_scripted_row(tmp_path / "rows", "slow", "seconds_per_step = 0.2")
    reload_rows(comparer, studio, tmp_path)
    found = comparer.start(
        wish("scripted-moving", Variant(model="slow", changes={"num_inference_steps": 50}), "square")
    )
    since = time.monotonic()

    def is_canceled() -> bool:
        return comparer.get(found.id).entries[1].state == "running"

    with pytest.raises(Canceled):
        comparer.make(found.id, is_canceled=is_canceled)
    assert time.monotonic() - since < 8
    assert [entry.state for entry in comparer.get(found.id).entries] == ["succeeded", "canceled", "canceled"]


def test_progress_is_told_while_clips_are_made(comparer: Comparer) -> None:
    found = comparer.start(wish("scripted-moving", "scripted-frozen"))
    seen: list[Comparison] = []
    comparer.make(found.id, show=lambda now, _progress: seen.append(now))
    assert not seen[0].is_over
    assert seen[-1].is_over


def test_a_worker_that_is_there_makes_the_clips(studio: Studio, comparer: Comparer) -> None:
    stop = threading.Event()
    worker = Worker(studio.workshop, WorkerCard(device="cpu"))
    thread = threading.Thread(target=worker.run, args=(stop,))
    thread.start()
    try:
        deadline = time.monotonic() + 10
        while not studio.desk.workers() and time.monotonic() < deadline:
            time.sleep(0.02)
        found = comparer.make(comparer.start(wish("scripted-moving", "scripted-frozen")).id)
    finally:
        stop.set()
        thread.join()
    assert [entry.state for entry in found.entries] == ["succeeded", "succeeded"]
    assert {entry.job.worker for entry in found.entries if entry.job is not None} == {worker.id}


def test_a_comparison_that_is_over_is_not_made_again(comparer: Comparer, made: Made) -> None:
    found = made()
    assert comparer.make(found.id) == found
