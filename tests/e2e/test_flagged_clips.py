"""Clips of the small world, some with a fault put in before the gate: the right check names the right frame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from studio.app import Studio
from studio.config import Settings
from studio.consistency.report import Report
from studio.consistency.runner import run_checks
from studio.export import selftest
from studio.export.gate import Gate
from studio.library.asset import Asset
from studio.library.store import new_id
from studio.media import FrameClip
from tests.studio.media_files import Images
from weights.training import world

RATE = Fraction(world.FRAME_RATE)
EVENT = 9
SCENES = [scene for scene in world.all_scenes() if scene.is_held_out]


def scenes(count: int, *, motions: tuple[str, ...] = ()) -> list[world.Scene]:
    """Return scenes whose prompts no model was trained on; none of them holds still."""
    moving = [item for item in SCENES if item.motion != "staying still" and (not motions or item.motion in motions)]
    return [moving[index * len(moving) // count] for index in range(count)]


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    made = Studio(Settings(home=tmp_path_factory.mktemp("home") / "home"))
    yield made
    made.store.close()


def seal(studio: Studio, frames: Images, workdir: Path) -> Asset:
    job_id = new_id()
    studio.store.add_job(job_id, selftest._request().as_json())
    material = replace(selftest._material(job_id), clip=FrameClip(frames=frames, frame_rate=RATE))
    return Gate(studio.settings, studio.store).seal(material, workdir)


def blackout(frames: Images) -> None:
    frames[EVENT] = 0


def freeze(frames: Images) -> None:
    frames[EVENT : EVENT + 5] = frames[EVENT]


def cut(frames: Images) -> None:
    rng = np.random.default_rng(1)
    other = cv2.GaussianBlur(rng.integers(0, 255, frames.shape[1:], np.uint8), (0, 0), 6)
    cv2.normalize(other, other, 0, 255, cv2.NORM_MINMAX)
    frames[EVENT:] = other


def pop_in(frames: Images) -> None:
    for frame in frames[EVENT:]:
        cv2.circle(frame, (100, 100), 16, (250, 250, 245) if frame[100, 100].mean() < 128 else (10, 10, 12), -1)


def flicker(frames: Images) -> None:
    rng = np.random.default_rng(2)
    for index, frame in enumerate(frames):
        frames[index] = (frame * (1 + 0.08 * rng.standard_normal())).clip(0, 255)


FAULTS = {
    "black": (blackout, "black"),
    "freeze": (freeze, "frozen"),
    "cut": (cut, "hard_cut"),
    "pop_in": (pop_in, "object_pop"),
    "flicker": (flicker, "global_flicker"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_put_in_before_the_gate_is_flagged_with_its_frame(studio: Studio, tmp_path: Path, fault: str) -> None:
    inject, check_id = FAULTS[fault]
    frames = world.render(scenes(3, motions=("moving right", "moving left"))[0], 4).copy()
    inject(frames)
    asset = seal(studio, frames, tmp_path)
    result = next(item for item in asset.report["checks"] if item["id"] == check_id)
    assert asset.checks_passed is False
    assert result["passed"] is False
    assert result["reason"]
    if fault == "freeze":
        assert set(result["worst_frames"]) <= set(range(EVENT - 1, EVENT + 6))
    elif fault != "flicker":
        assert abs(result["worst_frames"][0] - EVENT) <= 1
    record = studio.verify(asset.path).c2pa.generation or {}
    told = {item["id"]: item.get("passed") for item in record["checks"]}
    assert told[check_id] is False


def test_an_untouched_clip_passes_the_gate(studio: Studio, tmp_path: Path) -> None:
    asset = seal(studio, world.render(scenes(3)[1], 4), tmp_path)
    assert asset.checks_passed is True
    assert asset.report["calibration"]
    assert [item["id"] for item in asset.report["not_assessed"]] == ["identity"]


@pytest.mark.parametrize("motion", sorted({scene.motion for scene in SCENES} - {"staying still"}))
def test_renders_of_every_motion_pass(motion: str) -> None:
    for number, scene in enumerate(scenes(6, motions=(motion,))):
        report = run_checks(world.render(scene, number), RATE)
        assert report.passed is True, (scene.prompt, failed(report))


def failed(report: Report) -> list[tuple[str, float | None, str]]:
    return [(item.id, item.value, item.reason) for item in report.checks if item.passed is False]
