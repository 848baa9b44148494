"""What every generator promises, run over each of them that can run here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from studio.app import Studio
from studio.errors import Canceled
from studio.generator import Generator
from studio.media import FrameClip
from studio.request import Conditioning, GenerationRequest, ResolvedRequest, Role, Task
from tests.pipelines.conftest import RecordingRun

pytestmark = pytest.mark.filterwarnings("ignore")

PROMPT = "a green triangle growing on a brown background"
CASES = [
    ("micro-wan", Task.TEXT_TO_VIDEO),
    ("micro-wan", Task.IMAGE_TO_VIDEO),
    ("micro-svd", Task.IMAGE_TO_VIDEO),
    ("scripted-moving", Task.TEXT_TO_VIDEO),
    ("scripted-moving", Task.IMAGE_TO_VIDEO),
]


@pytest.fixture(params=CASES, ids=lambda case: f"{case[0]}-{case[1].value}")
def case(request: pytest.FixtureRequest, studio: Studio, tmp_path: Path) -> tuple[Generator, GenerationRequest]:
    model, task = request.param
    generator = studio.registry.generator(model)
    conditionings: tuple[Conditioning, ...] = ()
    if task is Task.IMAGE_TO_VIDEO:
        PIL.Image.linear_gradient("L").convert("RGB").save(tmp_path / "photo.png")
        conditionings = (Conditioning(role=Role.FIRST_FRAME, path=tmp_path / "photo.png"),)
    prompt = "" if generator.spec.parameters.prompt == "unused" else PROMPT
    wish = GenerationRequest(
        model=model, task=task, prompt=prompt, seed=11, num_inference_steps=2, conditionings=conditionings
    )
    return generator, wish


def test_a_resolved_request_leaves_nothing_open(case: tuple[Generator, GenerationRequest]) -> None:
    generator, wish = case
    resolved = generator.resolve(wish)
    assert generator.resolve(replace(wish, seed=resolved.seed)) == resolved
    assert ResolvedRequest.from_json(resolved.as_json()) == resolved
    assert set(resolved.options) == set(generator.spec.parameters.options)


def test_an_estimate_is_never_negative(case: tuple[Generator, GenerationRequest]) -> None:
    generator, wish = case
    estimate = generator.estimate(generator.resolve(wish))
    for figure in (estimate.seconds, estimate.vram_bytes, estimate.ram_bytes, estimate.disk_bytes):
        assert figure is None or figure >= 0
    assert estimate.basis


def test_clips_have_the_shape_asked_for_and_seeds_reproduce(
    case: tuple[Generator, GenerationRequest], tmp_path: Path
) -> None:
    generator, wish = case
    resolved = generator.resolve(wish)
    runs = [RecordingRun(workdir=tmp_path) for _ in range(3)]
    with generator.session():
        first, again = (generator.generate(resolved, run) for run in runs[:2])
        other = generator.generate(replace(resolved, seed=12), runs[2])
    assert isinstance(first, FrameClip)
    assert isinstance(again, FrameClip)
    assert isinstance(other, FrameClip)
    assert first.frames.shape == (resolved.num_frames, resolved.height, resolved.width, 3)
    assert first.frame_rate == resolved.frame_rate
    np.testing.assert_array_equal(first.frames, again.frames)
    assert np.any(first.frames != other.frames)
    assert [done for done, _ in runs[0].steps] == sorted(done for done, _ in runs[0].steps)
    assert runs[0].steps[-1] == (2, 2)
    assert runs[0].previews


def test_it_can_be_canceled(case: tuple[Generator, GenerationRequest], tmp_path: Path) -> None:
    generator, wish = case
    run = RecordingRun(workdir=tmp_path, cancel_at=1)
    with generator.session(), pytest.raises(Canceled):
        generator.generate(generator.resolve(replace(wish, num_inference_steps=5)), run)
    assert run.steps[-1][0] <= 2
