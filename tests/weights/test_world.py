"""The procedural world and its judge: what micro-wan is trained on and measured with."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.micro_models.judge import read_clip
from weights.training.world import HEIGHT, NUM_FRAMES, WIDTH, Scene, all_scenes, render, split_scenes

HELD_OUT_BEGINS_WITH = [
    "a small red circle moving right on a navy background",
    "a small red circle moving right on a gray background",
]


def scattered_scenes(count: int) -> list[Scene]:
    scenes = all_scenes()
    order = np.random.default_rng(0).permutation(len(scenes))
    return [scenes[index] for index in order[:count]]


def test_every_prompt_is_its_own() -> None:
    scenes = all_scenes()
    assert len(scenes) == 3840
    assert len({scene.prompt for scene in scenes}) == len(scenes)


def test_the_held_out_split_is_disjoint_and_complete() -> None:
    training, held_out = split_scenes()
    assert not {scene.prompt for scene in training} & {scene.prompt for scene in held_out}
    assert len(training) + len(held_out) == len(all_scenes())


def test_the_held_out_split_never_moves() -> None:
    training, held_out = split_scenes()
    assert (len(training), len(held_out)) == (3048, 792)
    assert [scene.prompt for scene in held_out[:2]] == HELD_OUT_BEGINS_WITH


def test_medium_is_said_by_saying_nothing() -> None:
    scene = Scene(size="medium", colour="red", shape="star", motion="bouncing", background="navy")
    assert scene.prompt == "a red star bouncing on a navy background"


def test_a_clip_depends_on_prompt_and_seed_alone() -> None:
    scene = scattered_scenes(1)[0]
    first, again, other_seed = render(scene, 1), render(scene, 1), render(scene, 2)
    assert first.shape == (NUM_FRAMES, HEIGHT, WIDTH, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other_seed)


def test_edges_are_antialiased() -> None:
    scene = Scene(size="medium", colour="white", shape="circle", motion="staying still", background="black")
    assert len(np.unique(render(scene, 0)[0, :, :, 0])) > 10


def test_the_judge_reads_drawn_clips() -> None:
    scenes = scattered_scenes(60)
    verdicts = [read_clip(render(scene, seed)).agrees(scene)["all"] for seed, scene in enumerate(scenes)]
    assert np.mean(verdicts) >= 0.98


@pytest.mark.parametrize("level", [0, 112])
def test_the_judge_sees_nothing_in_an_empty_clip(level: int) -> None:
    reading = read_clip(np.full((NUM_FRAMES, HEIGHT, WIDTH, 3), level, dtype=np.uint8))
    assert (reading.shape, reading.colour, reading.motion) == (None, None, None)
    assert reading.background in ("black", "gray")


def test_the_judge_sees_no_shape_in_noise() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (NUM_FRAMES, HEIGHT, WIDTH, 3), dtype=np.uint8)
    assert not any(read_clip(noise).agrees(scene)["all"] for scene in scattered_scenes(40))
