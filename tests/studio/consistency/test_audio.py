"""The checks of sound: silence, dropouts, clipping, and sound that is not as long as the picture."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from studio.consistency.check import ClipContext, SoundBlock
from studio.consistency.checks.audio_silence import AudioSilence
from studio.consistency.observer import observe
from studio.consistency.panel import CheckPanel
from studio.consistency.report import CheckResult, Report
from studio.consistency.runner import available_checks, check_file, open_panel, sound_blocks
from studio.export.witness import Witness
from studio.media import Audio, Sound, SoundWalk
from tests.studio.consistency.odd_files import with_sound
from tests.studio.media_files import ffmpeg, pan, tone, write_mp4

RATE = 24
FRAMES = pan(2 * RATE, 64, 48)
FACTS = observe(FRAMES, Fraction(RATE))
SOUND_CHECKS = {"audio_silence", "audio_clipping", "audio_length"}


def listening() -> CheckPanel:
    """Return a panel of the checks of sound that has seen two seconds of pictures."""
    checks = [check for check in available_checks() if check.id in SOUND_CHECKS]
    panel = open_panel(ClipContext(frame_rate=Fraction(RATE)), checks)
    panel.take(FACTS)
    return panel


def listen(audio: Audio | None, *, start: float = 0.0) -> dict[str, CheckResult]:
    """Check two seconds of pictures with this sound, heard in pieces of a third of a second."""
    panel = listening()
    if audio is not None:
        size = audio.sample_rate // 3
        for first in range(0, len(audio.samples), size):
            panel.hear(SoundBlock(samples=audio.samples[first : first + size], sample_rate=audio.sample_rate,
                                  start_seconds=start + first / audio.sample_rate))  # fmt: skip
    return {check.id: check for check in panel.finish().checks}


def edited(first: float, last: float, gain: float) -> Audio:
    """Return two seconds of tone that are multiplied by `gain` between two times in seconds."""
    samples = tone(2.0).samples.copy()
    samples[round(first * 48_000) : round(last * 48_000)] *= np.float32(gain)
    return Audio(samples=np.clip(samples, -1, 1), sample_rate=48_000)


def speech(seconds: float = 2.0, gain: float = 1.0) -> Audio:
    """Return something like speech: syllables of harmonics that swell and die away, with pauses between them."""
    rate = 16_000
    time = np.arange(round(seconds * rate)) / rate
    wave = sum(np.sin(2 * np.pi * 120 * order * time + order**2) / order for order in range(1, 12))
    swell = np.sin(np.pi * np.mod(time, 0.25) / 0.25) ** 4 * (np.mod(time, 1.0) < 0.7)
    samples = (0.3 * gain * wave * swell)[:, None].astype(np.float32)
    return Audio(samples=np.clip(samples, -1, 1), sample_rate=rate)


def by_id(report: Report) -> dict[str, CheckResult]:
    return {check.id: check for check in report.checks}


def test_a_clip_without_sound_is_not_at_fault() -> None:
    for result in listen(None).values():
        assert (result.passed, result.reason) == (None, "the clip has no sound")


@pytest.mark.parametrize("audio", [tone(2.0), speech()], ids=["tone", "speech"])
def test_clean_sound_passes_every_check(audio: Audio) -> None:
    assert [result.passed for result in listen(audio).values()] == [True] * 3


class TestSilence:
    @pytest.mark.parametrize("gain", [0.0, 0.0005])
    def test_a_silent_track_is_found(self, gain: float) -> None:
        result = listen(edited(0, 2, gain))["audio_silence"]
        assert result.passed is False
        assert result.value == pytest.approx(2.0, abs=0.02)
        assert "the whole track" in result.reason
        assert ("digital silence" in result.reason) == (gain == 0)

    @pytest.mark.parametrize("seconds", [0.04, 0.1, 0.6])
    def test_a_dropout_is_found_where_it_is(self, seconds: float) -> None:
        result = listen(edited(1.2, 1.2 + seconds, 0))["audio_silence"]
        assert result.passed is False
        assert result.value == pytest.approx(seconds, abs=0.021)
        assert result.events[0].first_frame == pytest.approx(1.2 * RATE, abs=1)
        assert result.events[0].last_frame == pytest.approx((1.2 + seconds) * RATE - 0.5, abs=1)

    def test_missing_packets_are_a_dropout_too(self) -> None:
        panel = listening()
        for start in (0.0, 1.0):
            panel.hear(SoundBlock(samples=tone(0.8).samples, sample_rate=48_000, start_seconds=start))
        result = by_id(panel.finish())["audio_silence"]
        assert result.value == pytest.approx(0.2, abs=0.02)

    def test_sound_that_dies_away_is_no_dropout(self) -> None:
        assert listen(speech())["audio_silence"].value == 0

    def test_silence_before_and_after_is_none(self) -> None:
        assert listen(edited(0, 0.5, 0))["audio_silence"].passed is True
        assert listen(edited(1.5, 2, 0))["audio_silence"].passed is True

    def test_very_quiet_sound_is_not_silent(self) -> None:
        assert listen(edited(0, 2, 0.01))["audio_silence"].passed is True

    def test_the_series_is_the_level_of_each_frame(self) -> None:
        series = listen(edited(1, 2, 0.1))["audio_silence"].series
        assert len(series) == 2 * RATE
        assert series[5] == pytest.approx(-6, abs=0.1)
        assert series[40] == pytest.approx(-26, abs=0.1)


class TestClipping:
    @pytest.mark.parametrize("gain", [4.0, 10.0])
    def test_sound_that_was_too_loud_is_found(self, gain: float) -> None:
        result = listen(speech(gain=gain))["audio_clipping"]
        assert result.passed is False
        assert result.value is not None
        assert result.value > 0.02
        assert "clipped" in result.reason

    def test_louder_scores_lower(self) -> None:
        scores = [listen(speech(gain=gain))["audio_clipping"].score or 0 for gain in (1, 3, 6, 12)]
        assert scores == sorted(scores, reverse=True)

    def test_a_full_scale_tone_is_not_clipped(self) -> None:
        wave = np.sin(2 * np.pi * 440 * np.arange(96_000) / 48_000)[:, None]
        for samples in (wave, np.round(wave * 32767) / 32768):
            audio = Audio(samples=samples.astype(np.float32), sample_rate=48_000)
            assert listen(audio)["audio_clipping"].value == pytest.approx(0, abs=1e-4)

    def test_one_loud_second_is_found_where_it_is(self) -> None:
        result = listen(edited(1.0, 1.6, 8.0))["audio_clipping"]
        assert result.passed is False
        assert [(event.first_frame, event.last_frame) for event in result.events] == [(24, 47)]


class TestLength:
    @pytest.mark.parametrize("difference", [-0.5, -0.2, 0.3, 2.0])
    def test_sound_of_another_length_is_found(self, difference: float) -> None:
        result = listen(tone(2 + difference))["audio_length"]
        assert result.passed is False
        assert result.value == pytest.approx(abs(difference), abs=0.03)
        assert ("after" if difference > 0 else "before") in result.reason

    @pytest.mark.parametrize("start", [-0.4, 0.5])
    def test_sound_that_begins_at_another_time_is_found(self, start: float) -> None:
        result = listen(tone(2 - start), start=start)["audio_length"]
        assert result.passed is False
        assert result.value == pytest.approx(abs(start), abs=0.03)
        assert "begins" in result.reason

    @pytest.mark.parametrize("difference", [-0.05, 0.02, 0.06])
    def test_the_padding_of_codecs_is_no_difference(self, difference: float) -> None:
        assert listen(tone(2 + difference))["audio_length"].passed is True


class TestFiles:
    def test_a_whole_clip_passes(self, tmp_path: Path) -> None:
        checks = by_id(check_file(with_sound(tmp_path / "a.mp4")))
        assert [checks[name].passed for name in sorted(SOUND_CHECKS)] == [True] * 3

    def test_sound_that_is_too_short_is_found(self, tmp_path: Path) -> None:
        write_mp4(tmp_path / "picture.mp4", pan(48))
        ffmpeg("-i", tmp_path / "picture.mp4", "-f", "lavfi", "-i", "sine=440:duration=1.3", "-c:v", "copy",
               tmp_path / "a.mp4")  # fmt: skip
        assert by_id(check_file(tmp_path / "a.mp4"))["audio_length"].value == pytest.approx(0.7, abs=0.05)

    def test_sound_that_starts_late_is_found_and_not_filled(self, tmp_path: Path) -> None:
        write_mp4(tmp_path / "picture.mp4", pan(48))
        ffmpeg("-i", tmp_path / "picture.mp4", "-itsoffset", "0.6", "-f", "lavfi", "-i", "sine=440:duration=1.4",
               "-c:v", "copy", tmp_path / "a.mkv")  # fmt: skip
        assert next(SoundWalk(tmp_path / "a.mkv").blocks()).start_seconds == pytest.approx(0.6, abs=0.03)
        result = by_id(check_file(tmp_path / "a.mkv"))["audio_length"]
        assert result.value == pytest.approx(0.6, abs=0.05)

    def test_blocks_are_small_and_together_are_the_track(self, tmp_path: Path) -> None:
        blocks = list(SoundWalk(with_sound(tmp_path / "a.mp4", 2.0)).blocks())
        assert max(len(block.samples) for block in blocks) <= 0.6 * 48_000
        for before, after in pairwise(blocks):
            end = before.start_seconds + len(before.samples) / before.sample_rate
            assert after.start_seconds == pytest.approx(end, abs=1e-9)
        assert sum(len(block.samples) for block in blocks) == pytest.approx(96_000, abs=3000)

    def test_a_file_without_sound_gives_no_blocks(self, tmp_path: Path) -> None:
        assert list(SoundWalk(write_mp4(tmp_path / "a.mp4", pan(3))).blocks()) == []


class TestGate:
    def test_the_sound_of_a_raw_clip_is_heard(self) -> None:
        witness = Witness(ClipContext(frame_rate=Fraction(RATE)), len(FRAMES), sound=Sound.of(edited(0, 2, 0)))
        for frame in FRAMES:
            witness.see(frame)
        checks = by_id(witness.findings().report)
        assert checks["audio_silence"].passed is False
        assert checks["audio_length"].passed is True

    def test_its_blocks_follow_one_another(self) -> None:
        starts = [block.start_seconds for block in sound_blocks(Sound.of(tone(3.0)))]
        assert starts == pytest.approx([0, 65536 / 48000, 2 * 65536 / 48000])


def test_digitally_silent_tracks_of_real_clips_are_found(clips: Path) -> None:
    for name, is_silent in [("shell_game_cups.mp4", True), ("ai_ltx2_talk_audio.mp4", False)]:
        panel = open_panel(Fraction(24), [AudioSilence])
        panel.update(FRAMES[0])
        for block in SoundWalk(clips / name).blocks():
            panel.hear(SoundBlock(samples=block.samples, sample_rate=block.sample_rate,
                                  start_seconds=block.start_seconds))  # fmt: skip
        assert panel.finish().passed is not is_silent
