"""A job ends in a sealed asset, or leaves a row that says why and a raw clip that can still be sealed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import PIL.Image
import pytest
from sqlalchemy.orm import Session

from studio import disk
from studio.app import Studio
from studio.errors import Canceled, DiskFull, GenerationFailed, OutputRefused, RequestError, SealFailed
from studio.export import gate, marking, remarks
from studio.jobs.job import JobWish, Progress
from studio.jobs.quarantine import InWork
from studio.jobs.roll import WorkerCard
from studio.jobs.states import JobState
from studio.library.asset import file_sha256
from studio.library.tables import AssetRow
from studio.media import iter_frames, probe_video
from studio.provenance.safekeeping import WATERMARK, publish
from studio.provenance.watermark import WatermarkReading
from studio.request import Conditioning, GenerationRequest, Role


def wish(script: str = "moving", **fields: object) -> GenerationRequest:
    return GenerationRequest(**{"model": f"scripted-{script}", "seed": 3, **fields})


def leftovers(studio: Studio) -> list[Path]:
    """Return every file in the home that no finished job should leave."""
    folders = (studio.settings.quarantine_folder, studio.settings.library_folder)
    kept = {asset.path for asset in studio.store.assets()}
    return [path for folder in folders for path in folder.rglob("*") if path.is_file() and path not in kept]


def test_a_clip_is_checked_marked_signed_and_verified(studio: Studio) -> None:
    outcome = studio.generate(wish(prompt="a square"))
    asset = outcome.asset
    facts = probe_video(asset.path)
    assert (facts.codec, facts.pixel_format, facts.faststart) == ("h264", "yuv420p", True)
    assert (facts.width, facts.height) == (160, 128)
    assert len(list(iter_frames(asset.path))) == asset.num_frames == 9
    assert outcome.verification.c2pa.state == "trusted"
    assert f"{outcome.verification.watermark.payload:016x}" == asset.watermark_id
    assert {"frozen", "black", "global_flicker"} <= {check["id"] for check in asset.report["checks"]}
    assert asset.checks_passed is True
    assert studio.store.jobs()[0].state == JobState.SUCCEEDED
    assert leftovers(studio) == []


def test_the_same_seed_gives_the_same_frames_and_another_mark(studio: Studio) -> None:
    first, second = (studio.generate(wish()).asset for _ in range(2))
    other = studio.generate(wish(seed=4)).asset
    assert first.frames_sha256 == second.frames_sha256 != other.frames_sha256
    assert first.watermark_id != second.watermark_id


def test_the_report_names_what_is_wrong_with_a_clip(studio: Studio) -> None:
    frozen = {check["id"]: check["passed"] for check in studio.generate(wish("frozen")).asset.report["checks"]}
    black = {check["id"]: check["passed"] for check in studio.generate(wish("black")).asset.report["checks"]}
    assert frozen["frozen"] is False
    assert black["black"] is False


def test_progress_counts_up_with_an_eta_and_a_preview(studio: Studio) -> None:
    seen: list[Progress] = []
    studio.generate(wish(), observe=seen.append)
    sampling = [item for item in seen if item.stage == "sampling"]
    assert [item.done for item in sampling] == [1, 2, 3]
    assert sampling[-1].eta_seconds == 0
    assert sampling[-1].preview is not None
    assert [item.stage for item in seen if item.stage != "sampling"] == [
        "loading",
        "checking",
        "marking",
        "signing",
        "verifying",
    ]


@pytest.mark.parametrize(
    ("script", "error", "state"),
    [
        ("raises", GenerationFailed, JobState.FAILED),
        ("crashes", ZeroDivisionError, JobState.FAILED),
        ("interrupted", Canceled, JobState.CANCELED),
    ],
)
def test_a_failure_is_written_down_and_leaves_nothing(
    studio: Studio, script: str, error: type[Exception], state: JobState
) -> None:
    with pytest.raises(error):
        studio.generate(wish(script))
    assert studio.store.jobs()[0].state == state
    assert leftovers(studio) == []


def test_cancel_stops_between_steps(studio: Studio) -> None:
    seen: list[Progress] = []
    with pytest.raises(Canceled):
        studio.generate(wish(), observe=seen.append, is_canceled=lambda: any(item.done == 2 for item in seen))
    assert max(item.done for item in seen) == 2
    assert studio.store.jobs()[0].state == JobState.CANCELED
    assert leftovers(studio) == []


def test_a_failing_seal_keeps_the_clip_and_sealing_alone_is_repeated(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise OSError("the signer is on strike")

    monkeypatch.setattr(gate, "sign", broken)
    with pytest.raises(SealFailed, match="studio quarantine retry"):
        studio.generate(wish())
    assert studio.store.assets() == []
    (job_id,) = studio.quarantine.waiting()
    monkeypatch.undo()
    generator = studio.registry.generator("scripted-moving")
    calls = generator.calls  # type: ignore[attr-defined]
    asset = studio.retry_seal(job_id)
    assert generator.calls == calls  # type: ignore[attr-defined]
    assert studio.verify(asset.path).c2pa.state == "trusted"
    assert studio.store.job(job_id).state == JobState.SUCCEEDED  # type: ignore[union-attr]
    assert leftovers(studio) == []


def test_a_full_disk_while_sealing_keeps_the_clip(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(gate, "admit", full)
    with pytest.raises(DiskFull, match="quarantine retry"):
        studio.generate(wish())
    assert len(studio.quarantine.waiting()) == 1
    assert not list(studio.settings.library_folder.rglob("*.mp4"))


def test_a_database_failure_after_the_move_takes_the_file_back(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    from studio.library import shelf

    monkeypatch.setattr(shelf, "sync_folder", lambda _folder: (_ for _ in ()).throw(OSError("disk gone")))
    with pytest.raises(SealFailed):
        studio.generate(wish())
    assert studio.store.assets() == []
    assert not list(studio.settings.library_folder.rglob("*.mp4"))
    monkeypatch.undo()
    studio.retry_seal(studio.quarantine.waiting()[0])
    assert len(studio.store.assets()) == 1


def test_an_interrupt_just_after_the_commit_keeps_the_asset(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    real = studio.store.transaction

    @contextmanager
    def interrupted() -> Iterator[Session]:
        with real() as session:
            yield session
            is_admission = any(isinstance(item, AssetRow) for item in session)
        if is_admission:
            monkeypatch.undo()
            raise KeyboardInterrupt

    monkeypatch.setattr(studio.store, "transaction", interrupted)
    with pytest.raises(Canceled):
        studio.generate(wish())
    (asset,) = studio.store.assets()
    assert studio.verify(asset.path).c2pa.state == "trusted"
    assert studio.store.jobs()[0].state == JobState.SUCCEEDED
    assert leftovers(studio) == []


def test_a_row_whose_file_is_gone_does_not_cost_the_raw_clip(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(studio.quarantine, "discard", lambda _job_id: None)
    asset = studio.generate(wish()).asset
    monkeypatch.undo()
    asset.path.unlink()
    again = studio.retry_seal(asset.id)
    assert again.frames_sha256 == asset.frames_sha256
    assert studio.verify(again.path).c2pa.state == "trusted"


def test_a_clip_that_is_being_sealed_cannot_be_discarded_or_sealed_twice(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[str] = []

    def meddle(progress: Progress) -> None:
        if progress.stage == "marking":
            (job,) = studio.store.jobs(JobState.RUNNING)
            assert studio.quarantine.waiting() == []
            for action in (studio.runner.discard, lambda job_id: studio.runner.retry_seal(job_id, lambda _p: None)):
                with pytest.raises(InWork) as caught:
                    action(job.id)
                answers.append(caught.value.message)

    assert studio.generate(wish(), observe=meddle).verification.is_intact
    assert answers == ["another process is working on this job"] * 2


def test_what_can_fail_fails_before_the_generation(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = studio.registry.generator("scripted-moving")
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _folder: SimpleNamespace(free=1000))
    with pytest.raises(DiskFull, match="no room for the clip"):
        studio.generate(wish())
    assert generator.calls == 0  # type: ignore[attr-defined]


def test_a_failing_delivery_says_where_the_sealed_clip_is(
    studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    appears = tmp_path / "out.mp4"
    with pytest.raises(OutputRefused, match="studio library export"):
        studio.generate(wish(), output=appears, observe=lambda _progress: appears.write_text("somebody else's"))
    assert appears.read_text() == "somebody else's"
    assert len(studio.store.assets()) == 1


def test_a_clip_that_holds_no_mark_is_sealed_with_a_warning(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    unread = WatermarkReading(detected=False, payload=None, confidence=0.0)
    monkeypatch.setattr(marking, "read_mark", lambda *_: unread)
    outcome = studio.generate(wish())
    assert outcome.asset.watermark_id is None
    assert remarks.NO_MARK in outcome.notices
    generation = outcome.verification.c2pa.generation or {}
    assert remarks.NO_MARK in generation["warnings"]


def test_a_clip_with_room_for_a_short_mark_is_sealed_with_a_warning(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    # At this size it depends on key and payload how much of a mark fits.
    studio.settings.create_home()
    publish(studio.settings.identity_folder, WATERMARK, {"key.bin": bytes(32)})
    monkeypatch.setattr(gate, "random_payload", lambda: 0x1F2E3D4C5B6A7988)
    outcome = studio.generate(wish(width=64, height=64, num_frames=33))
    assert outcome.asset.watermark_id is not None
    assert len(outcome.asset.watermark_id) == 6
    assert remarks.SHORT_MARK in outcome.notices
    generation = outcome.verification.c2pa.generation or {}
    assert remarks.SHORT_MARK in generation["warnings"]


def test_a_killed_process_is_noticed_and_its_clip_is_not_lost(studio: Studio, tmp_path: Path) -> None:
    """kill -9 while sealing: the row says so at the next start, and the raw clip can be sealed."""
    script = tmp_path / "die.py"
    script.write_text(
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from studio.app import Studio\n"
        "from studio.catalog.loader import load_catalog\n"
        "from studio.registry import Registry\n"
        "from studio.request import GenerationRequest\n"
        "studio = Studio()\n"
        f"studio.__dict__['registry'] = Registry(load_catalog((Path({str(tmp_path / 'rows')!r}),)), studio.settings)\n"
        "die = lambda progress: progress.stage == 'signing' and os.kill(os.getpid(), signal.SIGKILL)\n"
        "studio.generate(GenerationRequest(model='scripted-moving', seed=3), observe=die)\n"
    )
    root = Path(__file__).parents[3]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    process = subprocess.run([sys.executable, script], cwd=root, env=environment, timeout=120)
    assert process.returncode == -signal.SIGKILL
    assert studio.store.jobs()[0].state == JobState.RUNNING
    studio.generate(wish(seed=9))  # the next start of the studio notices
    dead = next(row for row in studio.store.jobs() if row.reason == "unsealed")
    assert dead.state == JobState.FAILED
    asset = studio.retry_seal(dead.id)
    assert studio.verify(asset.path).c2pa.state == "trusted"
    assert leftovers(studio) == []


def test_a_job_of_a_living_process_is_left_alone(studio: Studio) -> None:
    job = studio.desk.new_job(studio.resolve(wish()), JobWish())
    with studio.workshop.roll.enlist(WorkerCard(device="cpu", is_resident=False)) as badge:
        studio.workshop.queue.begin(job, badge.row)
        assert studio.runner.recover() == []
    assert studio.runner.recover() == [job.id]


def test_conditioning_files_are_kept_with_the_clip_and_named_by_their_role(
    studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = tmp_path / "my private holiday.png"
    PIL.Image.effect_noise((96, 64), 50).save(photo)
    monkeypatch.setattr(gate, "admit", lambda *_, **__: (_ for _ in ()).throw(OSError("later")))
    request = wish(conditionings=(Conditioning(role=Role.FIRST_FRAME, path=photo),))
    with pytest.raises(SealFailed):
        studio.generate(request)
    monkeypatch.undo()
    photo.unlink()
    asset = studio.retry_seal(studio.quarantine.waiting()[0])
    reading = studio.verify(asset.path).c2pa
    assert [(item.title, item.relationship) for item in reading.ingredients] == [("first-frame-1.png", "inputTo")]
    assert b"holiday" not in asset.path.read_bytes()


# -- delivery -------------------------------------------------------------------------------------------------------


def test_the_output_is_the_library_file_byte_for_byte(studio: Studio, tmp_path: Path) -> None:
    outcome = studio.generate(wish(), output=tmp_path / "out.mp4")
    assert outcome.delivered is not None
    assert outcome.delivered.read_bytes() == outcome.asset.path.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "out.mp4", "rows"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("home/library/x.mp4", "studio's own"),
        ("~nobody-here/x.mp4", "written"),
        ("folder", "folder"),
        ("there.mp4", "--force"),
        ("x.avi", "ending"),
        ("no/such/x.mp4", "no such"),
    ],
)
def test_a_bad_destination_is_refused_before_anything_runs(
    studio: Studio, tmp_path: Path, name: str, words: str
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "there.mp4").write_text("precious")
    assert studio.store  # makes the home
    path = Path(name) if name.startswith("~") else tmp_path / name
    with pytest.raises(OutputRefused, match=words):
        studio.generate(wish(), output=path)
    assert studio.store.jobs() == []
    assert (tmp_path / "there.mp4").read_text() == "precious"


def test_force_replaces_a_file_and_nothing_else(studio: Studio, tmp_path: Path) -> None:
    (tmp_path / "there.mp4").write_text("old")
    outcome = studio.generate(wish(), output=tmp_path / "there.mp4", overwrite=True)
    assert (tmp_path / "there.mp4").read_bytes() == outcome.asset.path.read_bytes()


# -- library --------------------------------------------------------------------------------------------------------


def test_assets_are_found_by_their_words(studio: Studio) -> None:
    cat = studio.generate(wish(prompt="a ginger cat 100%")).asset
    studio.generate(wish(prompt="a dog"))
    assert [asset.id for asset in studio.store.assets(text="GINGER cat")] == [cat.id]
    assert [asset.id for asset in studio.store.assets(text="100%")] == [cat.id]
    assert studio.store.assets(text="ginger dog") == []
    assert studio.store.asset(cat.id[:-3]).id == cat.id


def test_removing_an_asset_removes_file_and_row(studio: Studio) -> None:
    asset = studio.generate(wish()).asset
    studio.remove(asset.id)
    assert not asset.path.exists()
    assert studio.store.assets() == []


def test_exporting_a_file_that_is_gone_says_what_to_do(studio: Studio, tmp_path: Path) -> None:
    from studio.errors import EnvironmentFault

    asset = studio.generate(wish()).asset
    asset.path.unlink()
    with pytest.raises(EnvironmentFault, match="library remove"):
        studio.export(asset.id, tmp_path)


def test_retrying_what_does_not_wait_is_refused(studio: Studio) -> None:
    with pytest.raises(RequestError, match="none waits"):
        studio.retry_seal("20260101-000000-00000000")


def test_concurrent_runs_do_not_meet(studio: Studio) -> None:
    from concurrent.futures import ThreadPoolExecutor

    assert studio.runner  # opened once, before the threads
    with ThreadPoolExecutor(3) as pool:
        outcomes = list(pool.map(lambda seed: studio.generate(wish(seed=seed)), range(3)))
    assert len({outcome.asset.id for outcome in outcomes}) == 3
    assert all(outcome.verification.c2pa.state == "trusted" for outcome in outcomes)


def test_credentials_beside_an_input_are_kept_with_it(studio: Studio, tmp_path: Path) -> None:
    asset = studio.generate(wish()).asset
    clip = studio.export(asset.id, tmp_path / "clip.webm")
    assert clip.sidecar is not None
    item = Conditioning(role=Role.SOURCE_VIDEO, path=clip.path, sha256=file_sha256(clip.path))
    resolved = replace(studio.resolve(wish()), conditionings=(item,))
    studio.workshop.inputs.keep("job", resolved)
    (kept,) = studio.workshop.inputs.of("job", resolved).conditionings
    assert kept.path.with_name(kept.path.name + ".c2pa").read_bytes() == clip.sidecar.read_bytes()
