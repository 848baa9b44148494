"""The benchmark of the watermark does what its table says."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from benchmarks.watermark import quality, table
from benchmarks.watermark.attacks import ATTACKS, BY_NAME, MAIN, Attack
from benchmarks.watermark.clips import drawn_clips
from benchmarks.watermark.journal import Journal
from benchmarks.watermark.matrix import Mark, embed, read
from benchmarks.watermark.sealing import seal

RATE = Fraction(25)


@pytest.fixture(scope="module")
def clip() -> np.ndarray:
    frames, _ = next(clip for clip in drawn_clips() if clip.name == "drifting_clouds_small").read()
    return frames


@pytest.mark.slow  # forty encodings; the benchmark itself runs them all
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_ffmpeg_can_do_every_attack(attack: Attack, clip: np.ndarray) -> None:
    attacked = attack(clip[:9], RATE)
    assert attacked.ndim == 4
    assert attacked.dtype == np.uint8
    assert abs(float(attacked.mean()) - float(clip.mean())) < 60


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("crop 10 %", (9, 162, 288)),
        ("crop 25 %", (9, 134, 240)),
        ("scale 0.5", (9, 90, 160)),
        ("letterbox to 1:1", (9, 320, 320)),
        ("letterbox to 4:3", (9, 240, 320)),
        ("squeeze to 4:3", (9, 180, 240)),
        ("drop every 3rd frame", (6, 180, 320)),
        ("one frame, JPEG 75", (1, 180, 320)),
    ],
)
def test_an_attack_has_the_effect_of_its_name(name: str, shape: tuple[int, ...], clip: np.ndarray) -> None:
    assert BY_NAME[name](clip[:9], RATE).shape == (*shape, 3)


def test_mirroring_twice_gives_the_picture_back_but_for_the_codec(clip: np.ndarray) -> None:
    mirrored = BY_NAME["mirror"](clip[:3], RATE)
    assert np.abs(mirrored[:, :, ::-1].astype(int) - clip[:3]).mean() < 6
    assert np.abs(mirrored.astype(int) - clip[:3]).mean() > 10


def test_the_quick_run_takes_its_attacks_from_the_full_one() -> None:
    assert set(MAIN) <= set(ATTACKS)


def test_the_same_picture_has_full_marks_and_one_level_of_noise_is_48_decibels(clip: np.ndarray) -> None:
    same = quality.measure(clip[:3], clip[:3], RATE)
    assert same.ssim == pytest.approx(1)
    one_off = np.where(clip[:3] < 255, clip[:3] + 1, clip[:3] - 1).astype(np.uint8)
    assert quality.measure(clip[:3], one_off, RATE).psnr_db == pytest.approx(48.13, abs=0.01)


def test_a_mark_is_read_back_with_its_key_and_not_with_another(clip: np.ndarray) -> None:
    mark = Mark.of("test", 0)
    marked = embed(clip, mark, 1.0)
    assert read(marked, mark)["is_exact"]
    other = read(marked, Mark.of("test", 1))
    assert other["how"] == "not found"
    assert not other["is_wrong"]


def test_a_clip_is_marked_and_encoded_as_the_gate_does_it(clip: np.ndarray) -> None:
    mark = Mark.of("test", 0)
    sealed = seal(clip[:12], RATE, mark)
    assert sealed.payload is not None
    assert sealed.marked.shape == sealed.shown.shape == clip[:12].shape
    assert 0 < np.abs(sealed.marked.astype(int) - clip[:12]).mean() < 3
    assert np.abs(sealed.shown.astype(int) - sealed.marked).mean() < 6
    assert read(sealed.shown, mark, sealed.payload)["is_exact"]


def test_a_run_goes_on_after_the_last_whole_row(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    Journal(path).append({"kind": "case", "attack": "mirror"})
    with path.open("a") as file:
        file.write('{"kind": "ca')
    again = Journal(path)
    again.append({"kind": "case", "attack": "crop"})
    assert [row["attack"] for row in Journal(path).rows] == ["mirror", "crop"]
    assert again.has(attack="mirror")
    assert not again.has(attack="scale")


def test_the_table_in_the_documents_is_what_was_measured() -> None:
    text = table.DOCUMENT.read_text()
    assert text.split(table.BEGIN)[1].split(table.END)[0].strip() == table.measured_part()
