"""The models that ship do what their cards say, through the studio's own generators at their rows' defaults."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import pytest

from benchmarks.micro_models.judge import read_clip
from benchmarks.micro_models.photographs import held_out_photographs, psnr, rank_correlation
from benchmarks.micro_models.wan import held_out_scenes
from studio.app import Studio
from studio.media import FrameClip
from studio.request import Conditioning, GenerationRequest, OptionValue, Role
from tests.pipelines.conftest import RecordingRun

pytestmark = pytest.mark.filterwarnings("ignore")

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_micro_wan_draws_what_it_is_told_in_sentences_it_never_saw(studio: Studio, tmp_path: Path) -> None:
    generator = studio.registry.generator("micro-wan")
    scenes = held_out_scenes(12)
    right = 0
    with generator.session():
        for seed, scene in enumerate(scenes):
            wish = GenerationRequest(model="micro-wan", prompt=scene.prompt, seed=seed)
            clip = generator.generate(generator.resolve(wish), RecordingRun(workdir=tmp_path))
            assert isinstance(clip, FrameClip)
            right += read_clip(clip.frames).agrees(scene)["all"]
    assert right >= 10  # measured: 98 of 100


@pytest.fixture
def photograph(tmp_path: Path) -> Conditioning:
    PIL.Image.fromarray(held_out_photographs()["chelsea"]).save(tmp_path / "chelsea.png")
    return Conditioning(role=Role.FIRST_FRAME, path=tmp_path / "chelsea.png")


def mean_flow(frames: np.ndarray) -> tuple[float, float]:
    """Return the mean displacement of the content over the clip's first half: (x, y) pixels for each frame."""
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames[:8]]
    flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(grey[0], grey[-1], None)
    x, y = np.median(flow[16:-16, 16:-16].reshape(-1, 2), axis=0) / 7
    return float(x), float(y)


@pytest.mark.slow
def test_micro_svd_keeps_a_photograph_and_moves_it_as_asked(
    studio: Studio, tmp_path: Path, photograph: Conditioning
) -> None:
    generator = studio.registry.generator("micro-svd")

    def clip_of(**options: OptionValue) -> np.ndarray:
        wish = GenerationRequest(model="micro-svd", seed=1, conditionings=(photograph,), options=options)
        clip = generator.generate(generator.resolve(wish), RecordingRun(workdir=tmp_path))
        assert isinstance(clip, FrameClip)
        return clip.frames

    buckets = (20, 90, 160, 230)
    with generator.session():
        clips = [clip_of(motion_bucket_id=bucket) for bucket in buckets]
        left, up = clip_of(motion_bucket_id=200, pan="left"), clip_of(motion_bucket_id=200, pan="up")
    picture = np.asarray(PIL.Image.open(photograph.path))
    assert min(psnr(frames[0], picture) for frames in (*clips, left, up)) >= 27
    assert rank_correlation(buckets, [-mean_flow(frames)[0] for frames in clips]) >= 0.8
    assert mean_flow(clips[-1])[0] < -0.2  # the camera goes right, so the content goes left
    assert mean_flow(left)[0] > 0.2
    assert mean_flow(up)[1] > 0.2


def test_the_weights_that_ship_stay_small() -> None:
    sizes = {model: sum(path.stat().st_size for path in (ROOT / "weights" / model).rglob("*.safetensors"))
             for model in ("micro-wan", "micro-svd")}  # fmt: skip
    assert all(size > 10**6 for size in sizes.values())
    assert sum(sizes.values()) <= 20 * 10**6
