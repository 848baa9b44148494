"""A clip that fails a check is flagged, held, refused or made again, as was asked; nothing of it is lost or silent."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from studio.app import Studio
from studio.config import Settings
from studio.consistency import runner
from studio.consistency.policy import ChecksFailed, Policy, next_seed
from studio.errors import Canceled, RequestError, SealFailed
from studio.export import gate
from studio.jobs.job import Progress
from studio.jobs.states import FailureReason, JobState
from studio.making import Outcome
from studio.request import GenerationRequest

HOLD, REFUSE, RETRY = (Policy.parse(words) for words in ("hold", "refuse", "retry:3"))
CHECKS = ("studio.consistency.checks.frozen:FrozenFrames", "studio.consistency.checks.black:BlackFrames")


@pytest.fixture(autouse=True)
def two_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the scripted clips do wrong is for these two; others would have opinions of their own on such drawings."""
    monkeypatch.setattr(runner, "CHECKS", CHECKS)


def first_seed(*remainders: int) -> int:
    """Return a seed for which the attempts' seeds leave these remainders when 4 divides them; -1 stands for odd."""
    return next(
        seed
        for seed in range(10_000)
        if all(
            next_seed(seed, number) % 4 == wanted or (wanted < 0 and next_seed(seed, number) % 2)
            for number, wanted in enumerate(remainders)
        )
    )


def make(studio: Studio, seed: int, policy: Policy | None = None, **more: Any) -> Outcome:
    return studio.generate(GenerationRequest(model="scripted-unlucky", seed=seed), on_fail=policy, **more)


def told(outcome: Outcome, studio: Studio) -> dict[str, object]:
    record = studio.verify(outcome.asset.path).c2pa.generation or {}
    return dict(record["ruling"])


# -- flag -----------------------------------------------------------------------------------------------------------


def test_a_failed_clip_is_sealed_flagged_and_told_everywhere(studio: Studio) -> None:
    outcome = make(studio, seed=2)
    assert outcome.asset.checks_passed is False
    assert outcome.asset.standing == "flagged"
    assert any("check failed: Black or blank frames" in line and "3" in line for line in outcome.notices)
    assert told(outcome, studio) == {"policy": "flag", "standing": "flagged"}
    assert studio.store.assets(flagged=True) == [outcome.asset]
    assert studio.store.jobs()[0].state == JobState.SUCCEEDED


def test_a_clip_that_passes_is_told_as_passed_under_any_policy(studio: Studio) -> None:
    for policy in (None, HOLD, REFUSE, RETRY):
        outcome = make(studio, seed=1, policy=policy)
        assert outcome.asset.standing == "passed"
        assert told(outcome, studio) == {"policy": str(policy or "flag"), "standing": "passed"}
        assert not [line for line in outcome.notices if "check" in line]
    assert studio.store.assets(flagged=True) == []


def test_the_setting_is_the_policy_where_none_is_asked_for(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUDIO_ON_FAILED_CHECK", "refuse")
    studio.settings = Settings.read()
    with pytest.raises(ChecksFailed, match="was refused"):
        make(studio, seed=2)


def test_a_clip_nobody_can_judge_is_let_out_and_called_inconclusive(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "CHECKS", ("studio.consistency.checks.global_flicker:GlobalFlicker",))
    too_short = GenerationRequest(model="scripted-unlucky", seed=2, num_frames=5, frame_rate=Fraction(60))
    outcome = studio.generate(too_short, on_fail=HOLD)
    assert (outcome.asset.checks_passed, outcome.asset.standing) == (None, "inconclusive")
    assert any("inconclusive" in line for line in outcome.notices)
    assert told(outcome, studio)["standing"] == "inconclusive"


# -- hold and refuse ------------------------------------------------------------------------------------------------


def held(studio: Studio, policy: Policy = HOLD) -> str:
    with pytest.raises(ChecksFailed):
        make(studio, seed=2, policy=policy)
    (job_id,) = studio.waiting()
    return job_id


def test_a_held_clip_waits_with_its_report_and_is_no_failed_job(studio: Studio) -> None:
    with pytest.raises(ChecksFailed, match=r"held for review.*Black or blank frames.*quarantine release"):
        make(studio, seed=2, policy=HOLD)
    assert studio.store.assets() == []
    assert not list(studio.settings.library_folder.rglob("*.mp4"))
    (row,) = studio.store.jobs()
    assert (row.state, row.reason) == (JobState.HELD, None)
    report = studio.quarantine.report(row.id)
    assert report is not None
    assert report["passed"] is False
    assert studio.is_judged(row.id)


def test_a_held_clip_survives_a_restart(studio: Studio) -> None:
    job_id = held(studio)
    again = Studio(studio.settings)
    assert again.waiting() == [job_id]
    row = again.store.job(job_id)
    again.store.close()
    assert row is not None
    assert row.state == JobState.HELD


def test_a_released_clip_is_sealed_and_the_file_says_that_a_person_let_it_in(studio: Studio) -> None:
    job_id = held(studio)
    asset = studio.release(job_id)
    record = studio.verify(asset.path).c2pa.generation or {}
    assert record["ruling"] == {"policy": "hold", "standing": "released"}
    assert (asset.standing, asset.checks_passed) == ("released", False)
    assert studio.store.job(job_id).state == JobState.SUCCEEDED  # type: ignore[union-attr]
    assert studio.waiting() == []


def test_a_held_clip_is_checked_again_and_held_again(studio: Studio) -> None:
    job_id = held(studio)
    with pytest.raises(ChecksFailed, match="held for review"):
        studio.retry_seal(job_id)
    assert studio.store.job(job_id).state == JobState.HELD  # type: ignore[union-attr]
    studio.discard(job_id)
    assert studio.waiting() == []
    assert studio.store.job(job_id).state == JobState.CANCELED  # type: ignore[union-attr]


def test_a_refused_clip_fails_its_job_keeps_the_clip_and_is_not_released(studio: Studio) -> None:
    job_id = held(studio, REFUSE)
    row = studio.store.job(job_id)
    assert row is not None
    assert (row.state, row.reason) == (JobState.FAILED, FailureReason.REFUSED)
    with pytest.raises(RequestError, match="not held for review"):
        studio.release(job_id)
    assert studio.waiting() == [job_id]
    assert studio.store.assets() == []


def test_a_seal_that_fails_for_another_reason_does_not_slip_past_the_policy(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError("the disk is gone")

    with monkeypatch.context() as broken:
        broken.setattr(gate, "mark_and_encode", full)
        with pytest.raises(SealFailed):
            make(studio, seed=2, policy=HOLD)
    (job_id,) = studio.waiting()
    with pytest.raises(ChecksFailed, match="held for review"):
        studio.retry_seal(job_id)
    assert studio.store.assets() == []


def test_a_clip_from_before_there_were_policies_is_flagged(studio: Studio) -> None:
    job_id = held(studio)
    path = studio.quarantine.folder(job_id) / "raw.json"
    record = json.loads(path.read_text())
    del record["policy"], record["provenance"]["ruling"]
    path.write_text(json.dumps(record))
    assert studio.retry_seal(job_id).standing == "flagged"


# -- retry ----------------------------------------------------------------------------------------------------------


def test_a_clip_is_made_again_until_one_passes_and_every_attempt_is_told(studio: Studio) -> None:
    seed = first_seed(2, 0, -1)
    seen: list[Progress] = []
    outcome = make(studio, seed, RETRY, observe=seen.append)
    seeds = [next_seed(seed, number) for number in range(3)]
    assert outcome.asset.seed == outcome.asset.request["seed"] == seeds[2]
    assert outcome.asset.standing == "passed"
    assert told(outcome, studio) == {
        "policy": "retry:3",
        "standing": "passed",
        "chosen": 3,
        "attempts": [
            {"seed": str(seeds[0]), "passed": False, "failed": "black", "lowest_score": pytest.approx(0.02, abs=0.03)},
            {"seed": str(seeds[1]), "passed": False, "failed": "frozen, black",
             "lowest_score": pytest.approx(0.02, abs=0.03)},
            {"seed": str(seeds[2]), "passed": True, "failed": "", "lowest_score": pytest.approx(0.75, abs=0.25)},
        ],
    }  # fmt: skip
    assert [(item.done, item.total) for item in seen if item.stage == "retrying"] == [(1, 3), (2, 3)]
    assert [item.stage for item in seen].count("loading") == 1
    assert any("made 3 times" in line for line in outcome.notices)
    assert list(studio.settings.quarantine_folder.iterdir()) == []
    assert len(studio.store.jobs()) == 1


def test_the_same_seed_gives_the_same_attempts(studio: Studio) -> None:
    seed = first_seed(2, -1)
    first, second = (make(studio, seed, RETRY).asset for _ in range(2))
    assert first.frames_sha256 == second.frames_sha256
    alone = make(studio, first.seed).asset
    assert alone.frames_sha256 == first.frames_sha256


@pytest.mark.parametrize(("remainders", "chosen"), [((0, 2, 0), 2), ((0, 0, 2), 3), ((2, 2, 2), 1)])
def test_where_none_passes_the_best_is_sealed_and_flagged(
    studio: Studio, remainders: tuple[int, ...], chosen: int
) -> None:
    seed = first_seed(*remainders)
    outcome = make(studio, seed, Policy.parse("retry:2"))
    assert outcome.asset.standing == "flagged"
    assert outcome.asset.ruling is not None
    assert outcome.asset.ruling["chosen"] == chosen
    assert len(outcome.asset.ruling["attempts"]) == 3
    assert outcome.asset.seed == next_seed(seed, chosen - 1)
    assert any("none passed, this is the best" in line for line in outcome.notices)
    assert list(studio.settings.quarantine_folder.iterdir()) == []


def test_canceling_a_second_attempt_keeps_the_first_which_can_be_sealed(studio: Studio) -> None:
    seen: list[Progress] = []
    seed = first_seed(2, 2)
    with pytest.raises(Canceled, match="quarantine retry"):
        make(studio, seed, RETRY, observe=seen.append, is_canceled=lambda: any(i.stage == "retrying" for i in seen))
    (job_id,) = studio.waiting()
    asset = studio.retry_seal(job_id)
    assert (asset.standing, asset.seed) == ("flagged", seed)
    assert studio.waiting() == []


def test_a_process_killed_in_a_later_attempt_loses_no_clip(studio: Studio, tmp_path: Path) -> None:
    script = tmp_path / "die.py"
    seed = first_seed(2, 0, 2)
    script.write_text(
        "import os, signal\n"
        "from pathlib import Path\n"
        "from studio.app import Studio\n"
        "from studio.catalog.loader import load_catalog\n"
        "from studio.consistency import runner\n"
        "from studio.consistency.policy import Policy\n"
        "from studio.registry import Registry\n"
        "from studio.request import GenerationRequest\n"
        f"runner.CHECKS = {CHECKS!r}\n"
        "studio = Studio()\n"
        f"studio.__dict__['registry'] = Registry(load_catalog((Path({str(tmp_path / 'rows')!r}),)), studio.settings)\n"
        "def die(progress):\n"
        "    if progress.stage == 'retrying' and progress.done == 2:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        f"request = GenerationRequest(model='scripted-unlucky', seed={seed})\n"
        "studio.generate(request, observe=die, on_fail=Policy.parse('retry:3'))\n"
    )
    root = Path(__file__).parents[3]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    process = subprocess.run([sys.executable, script], cwd=root, env=environment, timeout=120)
    assert process.returncode == -signal.SIGKILL
    (job_id,) = studio.waiting()
    assert len(studio.quarantine.attempts(job_id)) == 2
    asset = studio.retry_seal(job_id)
    assert (asset.seed, asset.standing) == (seed, "flagged")
    assert asset.ruling is not None
    assert [attempt["failed"] for attempt in asset.ruling["attempts"]] == [["black"], ["frozen", "black"]]
    assert list(studio.settings.quarantine_folder.iterdir()) == []


def test_weights_are_loaded_once_for_all_attempts_and_let_go_before_the_last_is_sealed(studio: Studio) -> None:
    generator = studio.registry.generator("scripted-unlucky")
    stages: list[tuple[str, bool]] = []
    is_open = lambda: generator.is_open  # type: ignore[attr-defined]  # noqa: E731
    make(studio, first_seed(2, 2, 2, -1), RETRY, observe=lambda progress: stages.append((progress.stage, is_open())))
    assert generator.sessions == 1  # type: ignore[attr-defined]
    assert [known for stage, known in stages if stage == "checking"] == [True, True, True, False]


def test_a_file_made_from_a_flagged_clip_has_no_ruling_of_its_own(studio: Studio, tmp_path: Path) -> None:
    asset = make(studio, seed=2).asset
    exported = studio.export(asset.id, tmp_path / "clip.mov")
    assert exported.asset.ruling is None
    assert exported.asset.standing == "flagged"
    assert "ruling" not in (studio.verify(exported.path).c2pa.generation or {})
