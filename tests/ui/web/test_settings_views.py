"""What the settings show as pure functions, and what works beside the page for them: the doctor and downloads."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest

from studio.config import Settings
from studio.doctor import DoctorCheck
from studio.errors import Canceled
from studio.people.account import Role
from studio.people.visitor import LOCAL, Visitor
from studio.weights import PullProgress
from ui.web.backstage.pulling import Pulls, PullState
from ui.web.backstage.surgery import Examination, Surgery
from ui.web.views.settings import check_view, defaults_view, doctor_view, machine_findings, sections
from ui.web.words import words

CANARY = "q7Zr-canary-0123456789-abcdefgh"
VERA = Visitor(name="vera", role=Role.VIEWER)
ALICE = Visitor(name="alice", role=Role.CREATOR)
BOSS = Visitor(name="boss", role=Role.ADMIN)


def soon(is_so: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_everybody_is_shown_what_is_theirs_to_see() -> None:
    assert "people" not in sections(LOCAL, has_accounts=False)
    assert "people" in sections(LOCAL, has_accounts=True)
    assert "password" not in sections(LOCAL, has_accounts=True)
    assert {"keys", "doctor", "people", "password"} <= set(sections(BOSS, has_accounts=True))
    assert sections(ALICE, has_accounts=True) == ["costs", "defaults", "password", "about"]
    assert sections(VERA, has_accounts=True) == ["defaults", "password", "about"]


def test_every_part_has_a_name_and_every_setting_a_meaning() -> None:
    shown = {*sections(BOSS, has_accounts=True)}
    settings = {item["name"] for item in defaults_view(Settings(), BOSS)}
    needed = {f"settings.{kind}.{name}" for kind in ("part", "about_part") for name in shown}
    assert needed | {f"settings.meaning.{name}" for name in settings} <= set(words())
    assert settings == set(Settings.model_fields)


def test_downloads_wait_for_each_other_and_each_can_be_stopped() -> None:
    running: list[str] = []

    def pull(model: str, progress: Callable[[PullProgress], None], is_canceled: Callable[[], bool], /) -> None:
        running.append(model)
        while not is_canceled():
            progress(PullProgress(stage="downloading", file="w", done_bytes=1, total_bytes=2))
            time.sleep(0.01)
        raise Canceled

    pulls = Pulls(pull)
    pulls.start("one")
    soon(lambda: running == ["one"])
    pulls.start("two")
    pulls.start("one")
    assert [item.state for item in pulls.all()] == [PullState.RUNNING, PullState.WAITING]
    pulls.cancel("two")
    pulls.cancel("one")
    soon(lambda: all(item.state is PullState.CANCELED for item in pulls.all()))
    assert running == ["one"]


def test_a_download_that_breaks_in_an_unforeseen_way_is_told_without_its_words() -> None:
    def pull(_model: str, _progress: object, _is_canceled: object, /) -> None:
        raise RuntimeError(CANARY)

    pulls = Pulls(pull)
    pulls.start("one")
    soon(lambda: pulls.all()[0].state is PullState.FAILED)
    error = pulls.all()[0].error
    assert error is not None
    assert CANARY not in error.sentence()


def test_the_doctor_is_asked_in_the_background_and_one_at_a_time() -> None:
    asked: list[int] = []

    def examine() -> list[DoctorCheck]:
        asked.append(1)
        time.sleep(0.1)
        return [DoctorCheck(id="disk", ok=True, detail="fine"), DoctorCheck(id="signing", ok=False, detail="broken")]

    surgery = Surgery(examine)
    assert doctor_view(surgery.last)["checks"] is None
    assert surgery.begin().is_running
    surgery.begin()
    soon(lambda: not surgery.last.is_running)
    assert asked == [1]
    assert [check["id"] for check in doctor_view(surgery.last)["checks"]] == ["signing", "disk"]


def test_a_doctor_who_breaks_down_keeps_what_was_found_before(caplog: pytest.LogCaptureFixture) -> None:
    answers = [[DoctorCheck(id="disk", ok=True, detail="fine")]]
    surgery = Surgery(lambda: answers.pop())
    surgery.begin()
    soon(lambda: not surgery.last.is_running)
    surgery.begin()
    soon(lambda: surgery.last.has_failed)
    assert surgery.last.checks is not None
    assert "IndexError" in caplog.text


def test_the_commands_of_a_fix_are_told_apart_and_a_key_in_it_is_masked() -> None:
    check = DoctorCheck(id="x", ok=False, detail="got sk-0123456789abcdefghij", fix="`studio demo`, or `studio doctor`")
    told = check_view(check)
    assert told["commands"] == ["studio demo", "studio doctor"]
    assert "0123456789" not in told["detail"]


def test_the_machine_is_told_what_the_doctor_found_of_it() -> None:
    checks = (DoctorCheck(id="device", ok=None, detail="CPU only"), DoctorCheck(id="disk", ok=True, detail="fine"))
    assert machine_findings(Examination()) == []
    assert [item["id"] for item in machine_findings(Examination(checks=checks))] == ["device"]


def test_secrets_among_the_settings_are_told_as_set_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUDIO_API_TOKEN", CANARY)
    monkeypatch.setenv("STUDIO_PROMPT_POLICY", "none")
    monkeypatch.setenv("STUDIO_TIMESTAMP_URL", "http://stamps.example/?key=0123456789abcdef")
    found = {item["name"]: item for item in defaults_view(Settings(), LOCAL)}
    assert CANARY not in json.dumps(found)
    assert "0123456789abcdef" not in json.dumps(found)
    assert found["api_token"] | {"name": ""} == {
        "name": "", "variable": "STUDIO_API_TOKEN", "value": None, "is_secret": True, "is_default": False,
    }  # fmt: skip
    assert (found["prompt_policy"]["value"], found["prompt_policy"]["is_default"]) == ("none", False)
    assert found["training_use"]["is_default"] is True
    assert found["shared_identity"]["variable"] == "STUDIO_IDENTITY_FOLDER"
