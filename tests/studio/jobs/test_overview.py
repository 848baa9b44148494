"""What front ends see of the queue, the same on SQLite and on PostgreSQL."""

from __future__ import annotations

import pytest

from studio.app import Studio
from studio.config import Settings
from studio.errors import UnsupportedValue
from studio.jobs.job import Job, JobWish
from studio.jobs.overview import JobOverview
from studio.jobs.states import JobState
from studio.request import GenerationRequest


@pytest.fixture
def settings(database_settings: Settings) -> Settings:
    """Every test of this module runs on both databases."""
    return database_settings


@pytest.fixture
def overview(studio: Studio) -> JobOverview:
    return JobOverview(studio.store)


def submit(studio: Studio, wish: JobWish | None = None) -> Job:
    return studio.desk.submit(GenerationRequest(model="scripted-moving"), wish)


def test_pages_follow_each_other_without_a_gap_either_way(studio: Studio, overview: JobOverview) -> None:
    ids = [job.id for job in sorted((submit(studio) for _ in range(7)), key=lambda job: (job.created_at, job.id))]
    for oldest_first in (True, False):
        seen: list[str] = []
        while page := overview.page(limit=3, after=seen[-1] if seen else None, oldest_first=oldest_first):
            seen += [job.id for job in page]
        assert seen == (ids if oldest_first else ids[::-1])
    with pytest.raises(UnsupportedValue):
        overview.page(limit=3, after="nobody")


def test_a_page_can_be_of_some_states_or_one_batch(studio: Studio, overview: JobOverview) -> None:
    waiting, ended = submit(studio, JobWish(batch_id="b")), submit(studio)
    studio.desk.cancel(ended.id)
    assert [job.id for job in overview.page(JobState.CANCELED, limit=9)] == [ended.id]
    assert [job.id for job in overview.page(limit=9, batch_id="b")] == [waiting.id]


def test_signs_are_of_all_that_is_unfinished_of_the_latest_and_of_those_watched(
    studio: Studio, overview: JobOverview, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("studio.jobs.overview._LATEST", 1)
    old, waiting, latest = submit(studio), submit(studio), submit(studio)
    studio.desk.cancel(old.id)
    studio.desk.pause(waiting.id)
    newest = max(old, waiting, latest, key=lambda job: (job.created_at, job.id))
    signs = overview.signs()
    assert {waiting.id, latest.id} <= set(signs) <= {waiting.id, latest.id, newest.id}
    assert signs[waiting.id].is_paused is True
    assert overview.signs([old.id, "nobody"])[old.id].state == JobState.CANCELED


def test_a_job_is_found_by_the_beginning_of_its_key(studio: Studio, overview: JobOverview) -> None:
    job = submit(studio, JobWish(client_key="rest:1_2:abc"))
    found = overview.keyed("rest:1_2:")
    assert found is not None
    assert found.id == job.id
    assert overview.keyed("rest:1%") is None


def test_it_tells_for_which_workers_jobs_wait(studio: Studio, overview: JobOverview) -> None:
    assert overview.waiting_pools() == []
    job = submit(studio)
    assert overview.waiting_pools() == ["remote"]
    studio.desk.pause(job.id)
    assert overview.waiting_pools() == []
