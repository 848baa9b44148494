"""Which status an error of the studio leads to."""

from __future__ import annotations

from pathlib import Path

import pytest

from studio.comparing.rows import UnknownComparison
from studio.errors import NotFound, RequestError, UnknownModel
from studio.jobs.batches import UnknownBatch
from studio.jobs.job import UnknownJob
from studio.library.collecting import UnknownCollection
from studio.library.store import UnknownAsset
from studio.people.account import UnknownAccount
from studio.people.presets import UnknownPreset
from studio.people.visitor import NotAllowed
from ui.api.problems import refusal_of
from ui.web.backstage.bench import RecipeGone

MISSING: tuple[type[NotFound], ...] = (
    UnknownModel,
    UnknownAsset,
    UnknownJob,
    UnknownBatch,
    UnknownComparison,
    UnknownCollection,
    UnknownPreset,
    UnknownAccount,
    RecipeGone,
)


@pytest.mark.parametrize("kind", MISSING)
def test_what_is_not_there_is_a_404_that_says_what(kind: type[NotFound], tmp_path: Path) -> None:
    refusal = refusal_of(kind("it is not there", field="thing", got="x"), tmp_path)
    assert (refusal.status, refusal.field, refusal.got) == (404, "thing", "x")


def test_what_is_wrong_with_a_request_is_no_404(tmp_path: Path) -> None:
    assert refusal_of(RequestError("no"), tmp_path).status == 422
    assert refusal_of(NotAllowed("no"), tmp_path).status == 403
