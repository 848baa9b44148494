"""One walk through a clip, whatever it is; and nothing half-made when it fails or is stopped."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from studio.consistency.runner import run_checks
from studio.errors import DiskFull, SealFailed, UnreadableMedia
from studio.export import converting, gate, marking
from studio.export.source import Source, open_clip
from studio.generator import RawClip
from studio.library.asset import Asset
from studio.media import EncodedClip, FrameClip, TimedFrame, frames_sha256, iter_frames, probe_video, read_audio
from tests.studio.export.conftest import Library
from tests.studio.media_files import ffmpeg, pan, tone, write_mp4


def ffmpegs() -> list[int]:
    """Return the ids of the encoders and decoders that this process started and that still live."""
    tasks = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    children = [int(child) for path in tasks for child in path.read_text().split()]
    return [child for child in children if b"ffmpeg" in Path(f"/proc/{child}/cmdline").read_bytes()]


@pytest.fixture
def walks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count the frames that each walk through a raw clip took."""
    counts: list[int] = []

    def counting(clip: RawClip) -> Source:
        source = open_clip(clip)

        def frames() -> object:
            counts.append(0)
            for frame in source.frames():
                counts[-1] += 1
                yield frame

        return replace(source, frames=frames)  # type: ignore[arg-type]

    monkeypatch.setattr(gate, "open_clip", counting)
    return counts


def test_a_clip_is_walked_once_and_everything_is_learned_on_the_way(library: Library, walks: list[int]) -> None:
    frames = pan(40, 384, 288)
    asset = library.seal(FrameClip(frames=frames, frame_rate=Fraction(24)))
    assert asset.watermark_id is not None
    assert 1 <= walks.count(40) <= len(marking.LADDER)  # a frame is looked at again only to mark it more strongly
    assert asset.report["num_frames"] == 40
    assert asset.frames_sha256 == frames_sha256(frames)
    seen = run_checks(frames, Fraction(24)).as_json()
    assert asset.report == seen | {"not_assessed": asset.report["not_assessed"]}
    assert [item["id"] for item in asset.report["not_assessed"]] == ["identity"]


def test_a_second_attempt_at_the_mark_does_not_check_again(
    library: Library, walks: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    real, readings = marking.read_mark, []

    def deaf_at_first(path: Path, key: bytes) -> object:
        reading = real(path, key)
        readings.append(reading)
        return replace(reading, detected=False, payload=None) if len(readings) == 1 else reading

    monkeypatch.setattr(marking, "read_mark", deaf_at_first)
    frames = pan(40, 384, 288)
    asset = library.seal(FrameClip(frames=frames, frame_rate=Fraction(24)))
    assert len(walks) >= 2
    assert asset.report["num_frames"] == 40
    assert asset.frames_sha256 == frames_sha256(frames)


class TestEncodedClips:
    def seal(self, library: Library, path: Path) -> Asset:
        return library.seal(EncodedClip(path=path, mime_type="video/mp4"))

    def test_sound_that_is_longer_than_the_picture_is_cut(self, library: Library, tmp_path: Path) -> None:
        write_mp4(tmp_path / "picture.mp4", pan(12))
        write_mp4(tmp_path / "sound.mp4", pan(48), audio=tone(2))
        maps = ("-map", "0:v", "-map", "1:a", "-c", "copy")
        ffmpeg("-i", tmp_path / "picture.mp4", "-i", tmp_path / "sound.mp4", *maps, tmp_path / "long.mkv")
        asset = self.seal(library, tmp_path / "long.mkv")
        audio = read_audio(asset.path)
        assert audio is not None
        assert float(audio.duration_seconds) == pytest.approx(0.5, abs=0.03)
        assert asset.num_frames == 12

    def test_transparency_is_laid_on_white(self, library: Library, tmp_path: Path) -> None:
        clear = "color=red@0.0:size=64x64:rate=8:duration=1,format=rgba"
        ffmpeg("-f", "lavfi", "-i", clear, "-c:v", "png", tmp_path / "alpha.mov")
        asset = self.seal(library, tmp_path / "alpha.mov")
        assert next(iter_frames(asset.path)).image.mean() > 240

    def test_an_uneven_beat_is_evened_out_and_sound_stays_in_step(self, library: Library, tmp_path: Path) -> None:
        write_mp4(tmp_path / "a.mp4", pan(20), Fraction(25), audio=tone(2))
        slow = "setpts='if(lt(N,10),N/25,10/25+(N-10)*4/25)/TB'"
        times = ("-vf", slow, "-fps_mode", "vfr", "-enc_time_base", "1/1000")
        ffmpeg("-i", tmp_path / "a.mp4", *times, tmp_path / "vfr.mkv")
        asset = self.seal(library, tmp_path / "vfr.mkv")
        assert asset.frame_rate == 25
        assert asset.num_frames == pytest.approx(50, abs=3)
        assert asset.report["num_frames"] == 20

    def test_an_odd_size_at_60_frames_a_second(self, library: Library, tmp_path: Path) -> None:
        ffmpeg("-f", "lavfi", "-i", "testsrc=size=131x97:rate=60:duration=0.5", "-c:v", "ffv1", tmp_path / "odd.mkv")
        asset = self.seal(library, tmp_path / "odd.mkv")
        assert (asset.width, asset.height, asset.num_frames, asset.frame_rate) == (132, 98, 30, 60)

    def test_damage_in_the_middle_is_a_failure_that_leaves_nothing(self, library: Library, tmp_path: Path) -> None:
        content = write_mp4(tmp_path / "a.mp4", pan(30, 320, 240), audio=tone(1.2)).read_bytes()
        (tmp_path / "cut.mp4").write_bytes(content[: len(content) * 2 // 3])
        before = len(library.studio.store.assets())
        with pytest.raises(SealFailed, match="cut short"):
            self.seal(library, tmp_path / "cut.mp4")
        assert len(library.studio.store.assets()) == before
        assert library.leftovers() == []
        assert ffmpegs() == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError, DiskFull("no room")])
@pytest.mark.parametrize("at", ["in the frames", "in the mark"])
def test_whatever_stops_it_leaves_no_file_thread_or_process(
    at: str, error: type[BaseException] | BaseException, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise error

    class Stopping(marking.WatermarkEmbedder):
        apply = stop  # type: ignore[assignment]

    def broken(clip: RawClip) -> Source:
        def frames() -> object:
            for index, image in enumerate(pan(9)):
                yield TimedFrame(image=image, time_seconds=index / 8)
            stop()

        return replace(open_clip(clip), frames=frames)  # type: ignore[arg-type]

    if at == "in the mark":
        monkeypatch.setattr(marking, "WatermarkEmbedder", Stopping)
    else:
        monkeypatch.setattr(gate, "open_clip", broken)
    with pytest.raises((KeyboardInterrupt, SealFailed, DiskFull)):
        library.seal(FrameClip(frames=pan(20), frame_rate=Fraction(8)))
    assert library.leftovers() == []
    assert ffmpegs() == []
    assert [thread.name for thread in threading.enumerate() if thread.name == "lookahead"] == []


@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".gif", ".webp", ".png", ".wav"])
def test_a_failing_export_leaves_nothing(
    suffix: str, library: Library, clip: Asset, name: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(gate, "admit", full)
    children = len(library.studio.store.children(clip.id))
    with pytest.raises(DiskFull, match="export it again"):
        library.export(clip, name(suffix), **({"end": Fraction(1, 2)} if suffix == ".mp4" else {}))
    assert len(library.studio.store.children(clip.id)) == children
    assert library.leftovers() == []
    assert not list(library.folder.glob(name(".*")))


def test_an_export_that_cannot_read_its_clip_does_not_speak_of_a_raw_one(
    library: Library, clip: Asset, name: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(*_: object) -> None:
        raise UnreadableMedia("cut short", got="clip.mp4")

    monkeypatch.setattr(gate, "open_part", unreadable)
    with pytest.raises(SealFailed, match=r"^it could not be sealed \(cut short\)"):
        library.export(clip, name(".webm"))


@pytest.mark.parametrize("stage", ["checking", "encoding", "signing", "verifying"])
def test_a_canceled_export_leaves_nothing(
    stage: str, library: Library, clip: Asset, name: Callable[[str], str]
) -> None:
    def cancel(now: str) -> None:
        if now == stage:
            raise KeyboardInterrupt

    children = len(library.studio.store.children(clip.id))
    with pytest.raises(KeyboardInterrupt):
        library.studio.export(clip.id, library.folder / name(".webm"), on_stage=cancel)
    assert len(library.studio.store.children(clip.id)) == children
    assert library.leftovers() == []
    assert ffmpegs() == []
    assert not list(library.folder.glob(name(".*")))


def test_a_mark_that_cannot_be_read_is_put_in_once_more(
    library: Library, clip: Asset, name: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real, readings = converting.read_mark, []

    def deaf_at_first(*arguments: object, **options: object) -> object:
        reading = real(*arguments, **options)  # type: ignore[arg-type]
        readings.append(reading)
        return replace(reading, detected=False, payload=None) if len(readings) == 1 else reading

    monkeypatch.setattr(converting, "read_mark", deaf_at_first)
    exported = library.export(clip, name(".mov"))
    reading = library.read(exported)
    assert exported.asset.watermark_id == clip.watermark_id
    manifest = reading.manifest or {}
    actions = next(item["data"]["actions"] for item in manifest["assertions"] if "actions" in item["label"])
    assert "c2pa.watermarked.bound" in [action["action"] for action in actions]


@pytest.mark.slow
def test_a_long_full_hd_file_takes_no_more_memory_than_a_short_one(tmp_path: Path) -> None:
    """A stand-in for five minutes, for which `python -m benchmarks.gate --long-seconds 300` is there."""
    import json
    import sys

    from benchmarks.gate.clips import write_long_file

    peaks = []
    for seconds in (2, 15):
        path = write_long_file(tmp_path / f"{seconds}.mp4", seconds)
        command = [sys.executable, "-m", "benchmarks.gate", "--one", str(path)]
        process = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3])
        found = json.loads(process.stdout.splitlines()[-1])
        assert found["seconds"]["state"] == "trusted"
        assert (found["num_frames"], found["is_marked"]) == (30 * seconds, True)
        peaks.append(found["all_mib"])
    assert peaks[1] < 1024
    assert peaks[1] < peaks[0] + 150


def test_facts_of_a_sealed_file_are_those_in_the_library(clip: Asset) -> None:
    facts = probe_video(clip.path)
    assert (facts.width, facts.height, facts.num_frames, facts.frame_rate) == (384, 288, 30, Fraction(24))
    assert np.asarray([frame.image.mean() for frame in iter_frames(clip.path)]).std() < 50
