"""Batch files that come over HTTP: no file of this machine is opened, and the same file is not made twice."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import PIL.Image
import pytest

from studio.app import Studio
from studio.batch.faults import BatchFaults
from studio.errors import UnsupportedValue
from studio.jobs.states import JobState
from studio.people.account import Role
from ui.web.batch.upload import MAX_BATCH_BYTES, Looked, Upload, hand_in, look_at, plain_name

MODEL = "scripted-moving"


class Sender:
    """Sends batches as a browser would."""

    def __init__(self, studio: Studio, folder: Path) -> None:
        self.studio = studio
        self.folder = folder

    def picture(self, name: str) -> Path:
        path = self.folder / name
        PIL.Image.linear_gradient("L").convert("RGB").resize((160, 128)).save(path, "PNG")
        return path

    def upload(self, *jobs: Any, files: dict[str, Path] | None = None, owner: str | None = None) -> Upload:
        lines = [job if isinstance(job, str) else json.dumps({"model": MODEL, **job}) for job in jobs]
        path = self.folder / "batch.jsonl"
        path.write_text("\n".join(lines))
        return Upload(path=path, name="autumn.jsonl", files=files or {}, owner=owner)

    def look(self, *jobs: Any, **more: Any) -> Looked:
        return look_at(self.studio, self.upload(*jobs, **more))


@pytest.fixture
def sender(studio: Studio, tmp_path: Path) -> Sender:
    folder = tmp_path / "sent"
    folder.mkdir()
    return Sender(studio, folder)


def test_a_sound_file_is_told_with_its_clips_and_starts_nothing(sender: Sender) -> None:
    looked = sender.look({"prompt": "a fox"}, {"prompt": "an owl", "seed": "1..3"})
    assert not looked.faults
    assert [item.entry.number for item in looked.ready] == [1, 2, 3, 4]
    assert sender.studio.desk.jobs() == []


def test_everything_wrong_is_told_at_once_in_the_order_of_the_lines(sender: Sender) -> None:
    looked = sender.look(
        {"width": 70}, {"prompt": "fine"}, {"image": "absent.png"}, {"output": "clip.mp4"}, {"model": "nope"}
    )
    assert [(fault.where, fault.field) for fault in looked.faults] == [
        ("line 1", "width"), ("line 3", "image"), ("line 4", "output"), ("line 5", "model"),
    ]  # fmt: skip
    assert looked.missing == ("absent.png",)


def test_a_line_that_is_no_json_is_told_with_its_number(sender: Sender) -> None:
    looked = sender.look({"prompt": "fine"}, '{"model": ')
    assert looked.faults[0].where.endswith("line 2")
    assert not looked.entries


@pytest.mark.parametrize(
    "named",
    ["/etc/passwd", "../../../etc/passwd", "~/.ssh/id_rsa", "C:\\Windows\\win.ini", "\\\\server\\share\\a.png",
     "%2e%2e/x", "file:///etc/passwd", "batch.jsonl", ".", "..", "/"],
)  # fmt: skip
def test_no_file_of_this_machine_can_be_named(sender: Sender, named: str, tmp_path: Path) -> None:
    for field in ("image", "last_frame", "source_video"):
        looked = sender.look({field: named})
        assert [fault.message for fault in looked.faults] == ["this file did not come along with the batch"], field
        assert "passwd" not in str(looked.faults[0].message)
    looked = sender.look({"references": [named, str(tmp_path)]})
    assert len(looked.faults) == 2


def test_a_picture_of_this_machine_is_not_taken_though_it_is_there(sender: Sender) -> None:
    there = sender.picture("there.png")
    assert sender.look({"image": str(there)}).faults
    assert sender.look({"image": "there.png"}).faults


def test_a_picture_that_came_along_is_found_by_its_name_alone(sender: Sender) -> None:
    sent = sender.picture("0.png")
    for named in ("fox.png", "pictures/fox.png", "C:\\pictures\\fox.png", "/home/me/fox.png", "../fox.png"):
        looked = sender.look({"image": named}, files={"fox.png": sent})
        assert not looked.faults, named
        assert looked.ready[0].resolved.conditionings[0].path == sent


def test_a_name_is_the_same_however_its_accents_are_written(sender: Sender) -> None:
    apart = unicodedata.normalize("NFD", "fée.png")
    looked = sender.look({"image": apart}, files={plain_name("dossier/fée.png"): sender.picture("0.png")})
    assert not looked.faults


def test_a_lora_of_another_folder_is_refused(sender: Sender) -> None:
    looked = sender.look({"options": {"lora": "/etc/passwd"}})
    assert looked.faults[0].field == "option lora"


def test_what_came_along_and_is_not_named_is_told(sender: Sender) -> None:
    looked = sender.look({"prompt": "a fox"}, files={"owl.png": sender.picture("0.png")})
    assert looked.unused == ("owl.png",)


def test_a_file_with_more_clips_than_the_page_takes_is_refused_whole(sender: Sender) -> None:
    looked = sender.look({"seed": "1..5001"})
    assert looked.faults[0].got == "5,001"


def test_a_file_that_is_too_large_is_refused_unread(sender: Sender) -> None:
    upload = sender.upload({"prompt": "x"})
    with open(upload.path, "ab") as stream:
        stream.truncate(MAX_BATCH_BYTES + 1)
    with pytest.raises(UnsupportedValue, match="too large"):
        look_at(sender.studio, upload)


def test_all_of_it_or_nothing_is_handed_in(sender: Sender) -> None:
    looked = sender.look({"prompt": "fine"}, {"width": 70})
    with pytest.raises(BatchFaults):
        hand_in(sender.studio, looked, None)
    assert sender.studio.desk.jobs() == []


def test_the_same_file_again_leads_to_the_same_jobs(sender: Sender) -> None:
    first = hand_in(sender.studio, sender.look({"prompt": "a"}, {"prompt": "b"}), None)
    looked = sender.look({"prompt": "a"}, {"prompt": "b"})
    assert looked.known_batch == first.batch
    second = hand_in(sender.studio, looked, None)
    assert (first.fresh, second.fresh) == (2, 0)
    assert [job.id for job in first.jobs] == [job.id for job in second.jobs]
    assert len(sender.studio.desk.jobs()) == 2


def test_it_is_made_again_only_if_that_is_asked_for(sender: Sender) -> None:
    first = hand_in(sender.studio, sender.look({"prompt": "a"}), None)
    again = hand_in(sender.studio, sender.look({"prompt": "a"}), None, again=True)
    assert again.batch.id != first.batch.id
    assert again.fresh == 1


def test_jobs_that_were_removed_can_be_made_up_for(sender: Sender) -> None:
    first = hand_in(sender.studio, sender.look({"prompt": "a"}, {"prompt": "b"}), None)
    sender.studio.desk.cancel(first.jobs[0].id)
    sender.studio.desk.remove(first.jobs[0].id)
    second = hand_in(sender.studio, sender.look({"prompt": "a"}, {"prompt": "b"}), None)
    assert (second.fresh, second.batch.id) == (1, first.batch.id)


def test_another_picture_of_the_same_name_makes_another_batch(sender: Sender) -> None:
    job = {"image": "fox.png"}
    picture = sender.picture("0.png")
    first = sender.look(job, files={"fox.png": picture})
    PIL.Image.new("RGB", (160, 128), "red").save(picture)
    assert sender.look(job, files={"fox.png": picture}).place != first.place


def test_what_somebody_hands_in_is_theirs_and_nobody_elses(sender: Sender) -> None:
    people = sender.studio.people
    for name in ("alice", "bob"):
        people.add(name, "correct horse battery", Role.CREATOR)
    one = hand_in(sender.studio, sender.look({"prompt": "a"}, owner="alice"), "alice")
    other = hand_in(sender.studio, sender.look({"prompt": "a"}, owner="bob"), "bob")
    assert one.batch.id != other.batch.id
    assert people.owner(one.jobs[0].id) == people.owner(one.batch.id) == "alice"
    assert people.owner(other.batch.id) == "bob"


def test_jobs_wait_in_the_order_of_the_file_with_the_wishes_of_their_lines(sender: Sender) -> None:
    jobs = [{"prompt": "a"}, {"prompt": "b", "priority": 5, "on_fail": "hold"}, {"prompt": "c"}]
    hand_in(sender.studio, sender.look(*jobs), None)
    line = sender.studio.desk.jobs(JobState.QUEUED, newest_first=False)
    assert [job.request["prompt"] for job in line] == ["b", "a", "c"]
    assert line[0].terms is not None
    assert str(line[0].terms.policy) == "hold"
