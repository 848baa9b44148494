"""Tests of what the benchmark of the consistency checks is made of: faults, harmless edits, recordings, scores."""

from __future__ import annotations

import json
from fractions import Fraction

import numpy as np
import pytest

from benchmarks.consistency import benign, calibrating, journal, judging, observing, page, results, scoring
from benchmarks.consistency.clips import Footage, all_segments, donor_of, micro_segments
from benchmarks.consistency.detectors import EXPECTED, NOT_JUDGED
from benchmarks.consistency.faults import FAULTS, inject, is_visible, rng_of, strengths_of
from benchmarks.consistency.material import Injected, Material
from benchmarks.consistency.recording import Variant, record
from studio.consistency.check import ClipContext
from studio.consistency.observer import observe
from studio.consistency.panel import CheckPanel
from studio.consistency.runner import available_checks

RATE = Fraction(24)
CASES = [(fault, strength) for fault in FAULTS for strength in strengths_of(fault)]


@pytest.fixture(scope="module")
def shots() -> tuple[np.ndarray, np.ndarray]:
    """60 frames of a camera that moves over a texture, and 40 of another shot: uint8 RGB, 96x160."""
    return _shot(1, 60, (120, 90, 60)), _shot(2, 40, (40, 90, 150))


def _shot(seed: int, num_frames: int, colour: tuple[int, int, int]) -> np.ndarray:
    import cv2

    rng = np.random.default_rng(seed)
    noise = cv2.GaussianBlur(rng.standard_normal((96, 160 + 2 * num_frames, 3)).astype(np.float32), (0, 0), 1.0)
    wide = np.clip(np.array(colour) + 30 * noise / noise.std(), 0, 255).astype(np.uint8)
    return np.stack([wide[:, 2 * step : 2 * step + 160] for step in range(num_frames)])


def _injected(shots: tuple[np.ndarray, np.ndarray], fault: str, strength: str) -> Injected:
    frames, donor = shots
    return inject(frames[:40], RATE, fault, strength, rng_of("a clip", fault, strength), donor, frames[40:])


@pytest.mark.parametrize(("fault", "strength"), CASES)
def test_a_fault_is_visible_only_where_it_says(shots, fault: str, strength: str) -> None:
    clean = shots[0][:40]
    found = _injected(shots, fault, strength)
    assert found.frames.dtype == np.uint8
    assert found.frames.shape[1:] == clean.shape[1:]
    assert is_visible(clean, found.frames)
    assert all(0 <= index < len(found.frames) for index in found.event_frames)
    untouched = [index for index in range(len(found.frames)) if index not in found.changed_frames]
    assert np.array_equal(found.frames[untouched], clean[untouched])
    if found.region is not None:
        box = found.region
        rows = slice(int(box.y * 96), int(np.ceil((box.y + box.height) * 96)))
        columns = slice(int(box.x * 160), int(np.ceil((box.x + box.width) * 160)))
        outside = found.frames.copy()
        outside[:, rows, columns] = clean[:, rows, columns]
        assert np.array_equal(outside, clean)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_the_same_each_time_and_another_in_another_clip(shots, fault: str) -> None:
    strength = strengths_of(fault)[0]
    first, second = (_injected(shots, fault, strength) for _ in range(2))
    assert np.array_equal(first.frames, second.frames)
    assert first.event_frames == second.event_frames
    draws = {rng_of(name, fault, strength).integers(1 << 60) for name in ("a clip", "another clip")}
    assert len(draws) == 2


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_fit_into_a_clip_of_seventeen_frames_without_a_continuation(shots, fault: str) -> None:
    frames, donor = shots
    for strength in strengths_of(fault):
        found = inject(frames[:17], Fraction(8), fault, strength, rng_of("short", fault, strength), donor[:17])
        assert 8 <= len(found.frames) <= 17
        assert is_visible(frames[:17], found.frames)


def test_a_jump_cut_drops_the_frames_that_it_says(shots) -> None:
    frames = shots[0]
    found = _injected(shots, "jump_cut", "medium")
    (at,) = found.event_frames
    assert np.array_equal(found.frames[at - 1], frames[at - 1])
    assert np.array_equal(found.frames[at], frames[at + 12])


def test_a_thing_that_pops_in_moves_with_the_scene(shots) -> None:
    clean = shots[0][:40]
    found = _injected(shots, "pop_in", "strong")
    (at,) = found.event_frames
    places = []
    for index in (at, at + 8):
        changed = np.abs(found.frames[index].astype(int) - clean[index]).sum(axis=2) > 30
        places.append(np.argwhere(changed).mean(axis=0))
    down, across = places[1] - places[0]
    assert across == pytest.approx(-16, abs=3)
    assert down == pytest.approx(0, abs=2)


@pytest.mark.parametrize("name", benign.EDITS)
def test_harmless_edits_keep_the_shape_and_are_the_same_each_time(shots, name: benign.Edit) -> None:
    frames, donor = shots

    def edited(following: np.ndarray) -> np.ndarray:
        return benign.edit(
            Material(frames=frames[:40], following=following, donor=donor, frame_rate=RATE, rng=rng_of("a", name, "")),
            name,
        )

    first = edited(frames[40:])
    assert first.dtype == np.uint8
    assert first.shape[1:] == frames.shape[1:]
    assert len(first) == (30 if name == "fast" else 40)
    assert np.array_equal(first, edited(frames[40:]))
    assert np.array_equal(first, frames[:40]) == (name == benign.LOW_BITRATE)


def test_every_fault_has_a_check_that_is_to_find_it() -> None:
    assert set(EXPECTED) == set(FAULTS)
    known = {check.id for check in available_checks()}
    assert {expected.check for expected in EXPECTED.values()} <= known


def test_segments_have_names_of_their_own_and_a_donor_from_elsewhere() -> None:
    segments = all_segments()
    assert len({segment.name for segment in segments}) == len(segments)
    for segment in segments:
        donor = donor_of(segment, segments)
        assert donor.name != segment.name
        assert donor.source != segment.source or segment.kind == "micro"


@pytest.mark.parametrize(
    ("faulty", "clean", "expected"),
    [
        ([3, 4, 5], [0, 1, 2], 1.0),
        ([0, 1, 2], [3, 4, 5], 0.0),
        ([1, 1], [1, 1, 1], 0.5),
        ([1, 3], [2, 2], 0.5),
        ([2, 3], [1, 2], 0.875),
        ([judging.LOWEST, 5], [judging.LOWEST, 1], 0.625),
    ],
)
def test_the_area_under_the_curve_is_the_chance_to_rank_rightly(faulty, clean, expected: float) -> None:
    assert scoring.roc_auc(faulty, clean) == pytest.approx(expected)


def test_the_area_agrees_with_a_count_of_all_pairs() -> None:
    rng = np.random.default_rng(5)
    faulty, clean = rng.integers(0, 12, 40) + 2, rng.integers(0, 12, 33)
    pairs = [(high > low) + 0.5 * (high == low) for high in faulty for low in clean]
    assert scoring.roc_auc(faulty, clean) == pytest.approx(np.mean(pairs))


def test_the_area_of_nothing_is_unknown() -> None:
    assert scoring.roc_auc([], [1.0]) is None


def test_the_threshold_lies_above_almost_all_clean_values_and_ignores_what_could_not_be_said() -> None:
    values = {f"source {index}": [float(index)] for index in range(100)} | {"silent": [judging.LOWEST]}
    threshold = calibrating.threshold_of(values)
    assert threshold > 90
    assert sum(value[0] >= threshold for value in values.values()) <= 2


def test_a_source_with_many_clips_weighs_as_much_as_one_with_a_single_clip() -> None:
    few = {f"source {index}": [float(index)] for index in range(50)}
    many = few | {"source 49": [49.0] * 500}
    assert calibrating.threshold_of(many) == pytest.approx(calibrating.threshold_of(few), rel=0.02)


def test_the_threshold_makes_room_for_harmless_edits() -> None:
    clean = {f"source {index}": [1.0] for index in range(50)}
    edited = {f"source {index}": [1.0 + index] for index in range(50)}
    threshold = calibrating.threshold_of(clean, {"shake": edited})
    accused = sum(value[0] >= threshold for value in edited.values())
    assert accused <= 4
    assert threshold > calibrating.threshold_of(clean)


def test_the_threshold_goes_a_third_of_the_way_to_faults_that_are_far_from_clean_clips() -> None:
    clean = {f"source {index}": [0.1] for index in range(50)}
    far = {f"source {index}": [10.0] for index in range(50)}
    near = {f"source {index}": [0.05] for index in range(50)}
    assert calibrating.threshold_of(clean, None, far) == pytest.approx(3.4)
    assert calibrating.threshold_of(clean, None, near) == calibrating.threshold_of(clean)


def test_quantiles_are_evenly_spaced() -> None:
    quantiles = calibrating.quantiles_of({"a": [float(item) for item in range(65)]})
    assert quantiles == [float(2 * item) for item in range(33)]


def test_thresholds_are_written_beside_those_that_were_not_measured(tmp_path) -> None:
    path = tmp_path / "calibration.json"
    path.write_text('{"checks": {"sound": {"threshold": 7, "unit": "dB", "quantiles": []}}}')
    clean = {"boil": {"a": [0.1, 0.2]}, "silent": {"a": [judging.LOWEST]}}
    thresholds = {"boil": 0.3, "silent": float("inf")}
    calibrating.write(thresholds, clean, {"boil": "ratio", "silent": "x"}, ["a_1"], path)
    written = json.loads(path.read_text())
    assert written["schema"] == 1
    assert written["clips"] == ["a_1"]
    assert set(written["checks"]) == {"boil", "sound"}
    assert written["checks"]["boil"]["threshold"] == 0.3
    assert len(written["checks"]["boil"]["quantiles"]) == 33


@pytest.fixture(scope="module")
def recorded(shots, tmp_path_factory) -> tuple[np.ndarray, journal.Recording]:
    """A raw clip with a thing that pops in: its frames, and what a file keeps of what was observed."""
    frames, donor = shots
    footage = Footage(frames=frames[:40], following=frames[40:], frame_rate=RATE)
    variant = Variant(group="raw", name="pop_in", strength="strong")
    path = tmp_path_factory.mktemp("recordings") / "clip.npz"
    journal.save(path, record("a clip", footage, donor, variant))
    return _injected(shots, "pop_in", "strong").frames, journal.load(path)


def test_a_recording_replays_what_was_observed(recorded) -> None:
    frames, recording = recorded
    direct = observe(frames, RATE)
    assert [facts.index for facts in recording.facts] == [facts.index for facts in direct]
    for replayed, facts in zip(recording.facts, direct, strict=True):
        assert replayed.lightness == facts.lightness
        assert np.array_equal(replayed.thumb, facts.thumb)
        assert (replayed.motion is None) == (facts.motion is None)
        assert (replayed.picture is None) == (facts.picture is None)
        if facts.motion is not None and replayed.motion is not None:
            assert replayed.motion.boil == pytest.approx(facts.motion.boil, rel=1e-3, abs=1e-4)
            assert np.array_equal(replayed.motion.affine, facts.motion.affine)


def test_checks_say_the_same_of_a_recording_as_of_the_pictures(recorded) -> None:
    frames, recording = recorded
    panel = CheckPanel(ClipContext(frame_rate=RATE), available_checks())
    for image in frames:
        panel.update(image)
    seen = {result.id: result for result in panel.finish().checks}
    panel = CheckPanel(ClipContext(frame_rate=RATE), available_checks())
    panel.take(recording.facts)
    replayed = {result.id: result for result in panel.finish().checks}
    assert seen.keys() == replayed.keys()
    for name, result in seen.items():
        assert (result.value is None) == (replayed[name].value is None), name
        if result.value is not None:
            assert replayed[name].value == pytest.approx(result.value, rel=0.02, abs=0.002), name


def test_a_case_knows_which_check_found_the_fault_and_whether_at_its_frame(recorded) -> None:
    _, recording = recorded
    strict = judging.with_thresholds(available_checks(), {"object_pop": 1e-6})
    lax = judging.with_thresholds(available_checks(), {"object_pop": 1e9})
    variant = Variant(group="raw", name="pop_in", strength="strong")
    found = judging.judge("a clip", variant, recording, strict)
    assert found.is_located
    assert {"object_pop"} <= found.failed & found.placed
    missed = judging.judge("a clip", variant, recording, lax)
    assert "object_pop" not in missed.failed
    assert missed.values["object_pop"] == found.values["object_pop"]


def test_an_edit_that_changes_nothing_is_left_out() -> None:
    still = next(segment for segment in micro_segments() if "still" in segment.name)
    footage = still.read()
    variant = Variant(group="fault", name="reversed", strength="medium")
    recording = record(still.name, footage, footage.frames, variant)
    assert not recording.is_visible
    assert recording.facts == ()


def test_medium_strength_comes_first_so_that_an_early_look_is_possible() -> None:
    variants = observing.all_variants()
    assert variants[0] == Variant(group="clean")
    strengths = [variant.strength for variant in variants if variant.group == "fault"]
    assert strengths[: len(FAULTS)] == ["medium"] * len(FAULTS)
    assert len({variant.stem for variant in variants}) == len(variants)


def test_thresholds_in_use_are_those_of_the_published_results() -> None:
    published = results.load()["thresholds"]
    in_use = {check.id: check.threshold for check in available_checks() if check.id not in NOT_JUDGED}
    assert {name: row["threshold"] for name, row in published.items()} == pytest.approx(in_use)


def test_the_page_shows_the_published_results() -> None:
    for name, rows in page.tables(results.load()).items():
        assert page.of_page(name) == rows, f"python -m benchmarks.consistency --docs: {name}"
