"""A sealed clip can be made again; what a file says about it is read with the caution due to a stranger."""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from studio import app as studio_app
from studio.app import Studio
from studio.catalog.loader import load_catalog
from studio.config import PromptPolicy, Settings
from studio.errors import RequestError, UnknownModel, UnreadableMedia, UnsupportedValue
from studio.library.asset import Asset
from studio.provenance.inspect import C2paReading
from studio.recipe import recipe_of
from studio.registry import Registry
from studio.request import Conditioning, GenerationRequest, Role, Task
from tests.fakes import write_scripted_rows
from tests.studio.media_files import ffmpeg
from ui.cli.entry import run

PROMPT = "a lamp nobody\nmay look at"
REQUEST = GenerationRequest(
    model="scripted-moving",
    prompt=PROMPT,
    negative_prompt="moths",
    seed=2**62,
    width=192,
    height=144,
    num_frames=13,
    frame_rate=Fraction(24000, 1001),
    num_inference_steps=5,
    guidance_scale=2.5,
    options={"shade": 20, "mode": "hard", "loop": True},
)
RECORD: dict[str, Any] = {
    "job_id": "job-1",
    "origin": "text_to_video",
    "task": "text-to-video",
    "model": {"id": "scripted-moving", "name": "Scripted"},
    "seed": "7",
    "width": 192,
    "height": 144,
    "num_frames": 13,
    "frame_rate": "24",
    "num_inference_steps": 5,
    "guidance_scale": 2.5,
    "options": {"shade": 20},
    "prompt": {"policy": "full", "prompt": "a lamp"},
}


def a_studio(home: Path, policy: PromptPolicy, rows: Path) -> Studio:
    studio = Studio(Settings(home=home, prompt_policy=policy))
    studio.__dict__["registry"] = Registry(load_catalog((rows,)), studio.settings)
    return studio


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    return write_scripted_rows(tmp_path / "rows")


@pytest.fixture
def telling(tmp_path: Path, rows: Path) -> Iterator[Studio]:
    """A studio whose files tell their prompts."""
    studio = a_studio(tmp_path / "telling", PromptPolicy.FULL, rows)
    yield studio
    studio.store.close()


@pytest.fixture
def silent(tmp_path: Path, rows: Path) -> Iterator[Studio]:
    """Another studio, whose files keep their prompts."""
    studio = a_studio(tmp_path / "silent", PromptPolicy.HASH, rows)
    yield studio
    studio.store.close()


def resolved(studio: Studio, request: GenerationRequest) -> dict[str, Any]:
    return studio.resolve(request).as_json()


def reading_of(**changes: Any) -> C2paReading:
    return C2paReading(state="valid", generation=deepcopy(RECORD) | changes)


def picture(path: Path, seed: int = 0) -> Path:
    pixels = np.random.default_rng(seed).integers(0, 256, (144, 192, 3), np.uint8)
    PIL.Image.fromarray(pixels).save(path)
    return path


def test_a_file_that_tells_its_prompt_is_made_again_anywhere(telling: Studio, silent: Studio) -> None:
    first = telling.generate(REQUEST).asset
    recipe = silent.recipe(first.path)
    assert resolved(silent, recipe.request) == resolved(telling, REQUEST)
    assert recipe.remarks({}) == ()
    assert silent.generate(recipe.request).asset.frames_sha256 == first.frames_sha256


@pytest.mark.parametrize("copy", ["the file itself", "stripped of its record"])
def test_a_file_that_keeps_its_prompt_is_made_again_where_it_was_made(
    copy: str, silent: Studio, tmp_path: Path
) -> None:
    first = silent.generate(REQUEST).asset
    path = first.path
    if copy != "the file itself":
        path = tmp_path / "stripped.mp4"
        ffmpeg("-i", first.path, "-c", "copy", path)
        assert silent.verify(path).c2pa.state == "absent"
    recipe = silent.recipe(path)
    assert resolved(silent, recipe.request) == resolved(silent, REQUEST)
    assert recipe.remarks({}) == (f"recipe: taken from asset {first.id} of this library",)


def test_a_stranger_learns_all_but_the_prompt_and_is_told_so(telling: Studio, silent: Studio) -> None:
    path = silent.generate(REQUEST).asset.path
    recipe = telling.recipe(path)
    assert (recipe.request.prompt, recipe.request.seed) == ("", REQUEST.seed)
    assert recipe.remarks({}) == ("recipe: the file keeps its prompt to itself: pass --prompt",)
    assert recipe.remarks({"prompt": PROMPT}) == ()
    again = recipe.with_changes({"prompt": PROMPT, "negative_prompt": "moths"})
    assert resolved(telling, again) == resolved(telling, REQUEST)


@pytest.mark.parametrize("fault", ["changed", "no record", "not media"])
def test_a_file_that_does_not_hold_is_no_recipe(fault: str, telling: Studio, silent: Studio, tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    content = telling.generate(REQUEST).asset.path.read_bytes()
    if fault == "changed":
        path.write_bytes(content.replace(b"may look at", b"may look up"))
    elif fault == "no record":
        path.write_bytes(content)
        ffmpeg("-i", path, "-c", "copy", tmp_path / "bare.mp4")
        path = tmp_path / "bare.mp4"
    else:
        path.write_bytes(b"hello")
    with pytest.raises(UnreadableMedia, match="there is no recipe in it"):
        silent.recipe(path)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"model": "scripted-moving"}, "recipe model"),
        ({"model": {"id": ["scripted-moving"]}}, "recipe id"),
        ({"task": "mind-reading"}, "recipe task"),
        ({"task": None}, "recipe task"),
        ({"seed": 7}, "recipe seed"),
        ({"seed": "-1"}, "recipe seed"),
        ({"seed": "9" * 4000}, "recipe seed"),
        ({"width": "wide"}, "recipe width"),
        ({"height": True}, "recipe height"),
        ({"num_frames": 1.5}, "recipe num_frames"),
        ({"frame_rate": "1e999999999"}, "recipe frame_rate"),
        ({"frame_rate": "24/0"}, "recipe frame_rate"),
        ({"guidance_scale": "much"}, "recipe guidance_scale"),
        ({"options": ["shade"]}, "recipe options"),
        ({"options": {str(number): 1 for number in range(1000)}}, "recipe options"),
        ({"options": {"shade": {"path": "/etc/passwd"}}}, "recipe option shade"),
        ({"options": {"sha\u202ede\x1b[2J": None}}, "recipe option sha de [2J"),
        ({"prompt": {"policy": "full", "prompt": ["a", "lamp"]}}, "recipe prompt"),
    ],
)
def test_a_record_that_makes_no_sense_is_refused_by_name(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(UnsupportedValue) as caught:
        recipe_of(reading_of(**changes), None)
    assert caught.value.field == named
    assert "\n" not in caught.value.sentence()


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"width": 10**6}, "width"),
        ({"num_frames": -4}, "num_frames"),
        ({"seed": str(2**63)}, "seed"),
        ({"guidance_scale": 1e300}, "guidance_scale"),
        ({"options": {"weights": "/etc/passwd"}}, "option"),
        ({"options": {"\u202esthgiew\n": 1}}, "option"),
        ({"options": {"mode": "http://127.0.0.1/"}}, "option mode"),
        ({"prompt": {"policy": "full", "prompt": "a\x1b[2J lamp"}}, "prompt"),
        ({"prompt": {"policy": "full", "prompt": "x" * 20_000}}, "prompt"),
    ],
)
def test_what_a_record_asks_for_has_to_be_allowed_by_the_model(
    changes: dict[str, Any], named: str, silent: Studio
) -> None:
    request = recipe_of(reading_of(**changes), None).request
    with pytest.raises(UnsupportedValue) as caught:
        silent.resolve(request)
    assert caught.value.field == named


def test_a_record_can_choose_no_file_and_no_model_from_elsewhere(silent: Studio) -> None:
    named = {"conditionings": [{"role": "first-frame", "path": "/etc/passwd"}], "inputs": [{"role": "x"}, 7, "y"]}
    recipe = recipe_of(reading_of(**named), None)
    assert (recipe.request.conditionings, recipe.inputs) == ((), ())
    with pytest.raises(UnknownModel):
        silent.resolve(recipe_of(reading_of(model={"id": "../../somewhere"}), None).request)


def test_a_part_of_a_clip_points_to_the_clip(silent: Studio) -> None:
    with pytest.raises(RequestError, match="made out of another one"):
        recipe_of(reading_of(origin="trimmed"), None)
    asset = silent.generate(REQUEST).asset
    part = object.__new__(Asset)
    part.__dict__.update(vars(asset) | {"id": "part", "parent_id": asset.id, "derivation": {}})
    with pytest.raises(RequestError, match=f"use asset {asset.id}"):
        recipe_of(C2paReading(state="absent"), part)
    part.__dict__["parent_id"] = None  # as it becomes when the clip is removed
    with pytest.raises(RequestError, match="use the clip that it was made from"):
        recipe_of(C2paReading(state="absent"), part)


def test_pictures_are_asked_for_and_compared(telling: Studio, silent: Studio, tmp_path: Path) -> None:
    right, wrong = picture(tmp_path / "right.png"), picture(tmp_path / "wrong.png", seed=1)
    start = Conditioning(role=Role.FIRST_FRAME, path=right)
    first = telling.generate(replace(REQUEST, task=Task.IMAGE_TO_VIDEO, conditionings=(start,))).asset
    recipe = silent.recipe(first.path)
    (missing,) = recipe.remarks({})
    assert "the first-frame is not in the file" in missing
    assert missing.endswith("pass --image")
    with pytest.raises(UnsupportedValue, match="image"):
        silent.resolve(recipe.request)
    changes = {"conditionings": (replace(start, path=wrong),)}
    (other,) = recipe.remarks(changes)
    assert "another file than the recipe's" in other
    assert recipe.remarks({"conditionings": (start,)}) == ()
    again = silent.generate(recipe.with_changes({"conditionings": (start,)})).asset
    assert again.frames_sha256 == first.frames_sha256


def test_options_of_a_recipe_are_changed_one_by_one() -> None:
    changed = recipe_of(reading_of(options={"shade": 20, "mode": "hard"}), None).with_changes(
        {"options": {"mode": "soft"}, "seed": 8}
    )
    assert changed.options == {"shade": 20, "mode": "soft"}
    assert changed.seed == 8


def test_the_owner_can_prove_a_prompt(silent: Studio) -> None:
    outcome = silent.generate(REQUEST)
    assert outcome.verification.c2pa.generation is not None
    said = outcome.verification.c2pa.generation["prompt"]
    proof = silent.prompt_proof(outcome.asset)
    assert said == {"policy": "hash"} | {name: value for name, value in proof.items() if name != "prompt_key"}
    key = bytes.fromhex(proof["prompt_key"])
    assert hmac.new(key, f"prompt\0{PROMPT}".encode(), "sha256").hexdigest() == said["prompt_hmac_sha256"]


def test_the_command_line_makes_a_clip_again_with_changes(
    telling: Studio, settings: Settings, rows: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(studio_app, "load_catalog_with_plugins", lambda _own: load_catalog((rows,)))
    first = telling.generate(REQUEST).asset

    def generate(*arguments: str) -> dict[str, Any]:
        assert run(("generate", "--recipe", str(first.path), *arguments, "--json")) == 0
        data = json.loads(capsys.readouterr().out)["asset"]
        assert isinstance(data, dict)
        return data

    assert generate()["frames_sha256"] == first.frames_sha256
    changed = generate("--seed", "5", "--option", "shade=0", "--prompt", "another lamp")
    assert (changed["seed"], changed["prompt"], changed["width"]) == (5, "another lamp", 192)
    assert changed["frames_sha256"] != first.frames_sha256


def test_a_request_names_a_model_or_a_recipe(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(("generate", "--prompt", "a lamp")) == 2
    assert "--model" in capsys.readouterr().err
    assert run(("generate", "--recipe", "gone.mp4")) == 2
    assert "gone.mp4" in capsys.readouterr().err


def test_the_shipped_model_gives_the_same_frames_again(tmp_path: Path) -> None:
    studio = Studio(Settings(home=tmp_path / "home", prompt_policy=PromptPolicy.FULL, threads=2))
    words = "a blue square moving left on a black background"
    first = studio.generate(GenerationRequest(model="micro-wan", prompt=words, num_inference_steps=2)).asset
    recipe = studio.recipe(first.path)
    assert recipe.weights_sha256 is not None
    again = studio.generate(recipe.request).asset
    assert (again.id, again.frames_sha256) != (first.id, "")
    assert again.frames_sha256 == first.frames_sha256
    studio.store.close()
