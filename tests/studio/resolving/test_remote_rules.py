"""What a provider does not take is refused before anything is sent, or left out with a word, as the request chose."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from studio.errors import UnreadableMedia, UnsupportedValue
from studio.request import Conditioning, ResolvedRequest, Role, Task
from tests.studio.media_files import write_mp4
from tests.studio.resolving.rows import local_row, picture, remote_row, resolved

LIMITS = {"transport": "data-uri", "mime_types": ["image/png"], "max_bytes": 10**7}


@pytest.mark.parametrize(
    ("unit", "prompt", "got"),
    [
        ("characters", "a" * 11, "11 characters"),
        ("utf16", "\U0001f98a" * 6, "12 UTF-16 units"),
        ("bytes", "ß" * 6, "12 bytes of UTF-8"),
    ],
)
def test_a_prompt_is_counted_as_the_provider_counts(unit: str, prompt: str, got: str) -> None:
    spec = remote_row(prompt_limit={"max": 10, "unit": unit})
    assert resolved(spec, prompt=prompt[:5]).prompt == prompt[:5]
    for choice in ("reject", "drop"):
        with pytest.raises(UnsupportedValue, match=r"prompt: .*allowed: up to 10 ") as caught:
            resolved(spec, prompt=prompt, on_unsupported=choice)
        assert caught.value.got == got


def test_a_seed_stays_below_the_provider_s_highest() -> None:
    spec = remote_row(max_seed=9)
    assert {resolved(spec).seed for _ in range(40)} <= set(range(10))
    assert resolved(spec, seed=9).seed == 9
    with pytest.raises(UnsupportedValue, match="seed: out of range; got 10; allowed: 0 to 9"):
        resolved(spec, seed=10)


@pytest.mark.parametrize(
    ("rule", "wanted", "has_sound"),
    [
        ("none", None, False),
        ("none", False, False),
        ("optional", None, False),
        ("optional", True, True),
        ("always", None, True),
        ("always", True, True),
    ],
)
def test_sound_is_as_the_row_and_the_request_have_it(rule: str, wanted: bool | None, has_sound: bool) -> None:
    found = resolved(remote_row(audio=rule), generate_audio=wanted)
    assert (found.generate_audio, found.warnings) == (has_sound, ())


def test_sound_that_cannot_be_switched_off_is_told() -> None:
    found = resolved(remote_row(audio="always"), generate_audio=False)
    assert found.generate_audio
    assert found.warnings == ("generate_audio: the sound of cloud-one cannot be switched off",)


def test_sound_that_there_is_none_of_is_refused() -> None:
    with pytest.raises(UnsupportedValue, match="generate_audio: cloud-one makes no sound"):
        resolved(remote_row(), generate_audio=True)


EXCLUDED = {
    "reason": "1080p clips are up to 6 seconds long",
    "resolutions": ["1080p"],
    "longer_than_seconds": 6,
}


def test_values_that_do_not_go_together_are_refused_with_the_row_s_reason() -> None:
    spec = remote_row(exclusions=[EXCLUDED])
    with pytest.raises(UnsupportedValue) as caught:
        resolved(spec, resolution="1080p", duration_seconds=8)
    assert caught.value.sentence() == (
        "resolution: 1080p clips are up to 6 seconds long; got 1080p, 8 s; change resolution or duration_seconds."
    )


@pytest.mark.parametrize(
    "fields", [{"resolution": "1080p", "duration_seconds": 6}, {"resolution": "720p", "duration_seconds": 8}], ids=str
)
def test_where_only_some_of_it_applies_nothing_is_refused(fields: dict[str, Any]) -> None:
    assert resolved(remote_row(exclusions=[EXCLUDED]), **fields).warnings == ()


@pytest.mark.parametrize(
    ("rule", "fields"),
    [
        ({"tasks": ["text-to-video"]}, {}),
        ({"aspect_ratios": ["9:16"]}, {"aspect_ratio": "9:16"}),
        ({"shorter_than_seconds": 6}, {"duration_seconds": 4}),
        ({"frame_rates": [24]}, {}),
        ({"with_audio": True}, {"generate_audio": True}),
        ({"with_audio": False}, {"generate_audio": False}),
        ({}, {}),
    ],
    ids=str,
)
def test_each_condition_of_an_exclusion_counts(rule: dict[str, Any], fields: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedValue, match="for once"):
        resolved(remote_row(audio="optional", exclusions=[{"reason": "for once", **rule}]), **fields)


def test_references_are_taken_up_to_their_number(tmp_path: Path) -> None:
    pictures = tuple(picture(tmp_path, 100 + n, 100, Role.REFERENCE) for n in range(3))
    spec = remote_row(max_references=2)
    found = resolved(spec, conditionings=pictures[:2])
    assert found.task is Task.REFERENCE_TO_VIDEO
    assert [item.path for item in found.all_of(Role.REFERENCE)] == [item.path for item in pictures[:2]]
    with pytest.raises(UnsupportedValue, match=r"reference: .*got 3; allowed: up to 2"):
        resolved(spec, conditionings=pictures)


def test_of_first_frames_there_is_one(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedValue, match=r"image: .*got 2; allowed: one"):
        resolved(remote_row(), conditionings=(picture(tmp_path, 64, 64), picture(tmp_path, 96, 96)))


def test_a_last_frame_alone_asks_for_the_first(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedValue, match="image: first-last-frame-to-video needs one; got none; add --image"):
        resolved(remote_row(), conditionings=(picture(tmp_path, 64, 64, Role.LAST_FRAME),))


@pytest.mark.parametrize(
    ("size", "limits", "allowed"),
    [
        ((300, 100), {"min_ratio": 0.5, "max_ratio": 2}, "width by height from 0.5 to 2"),
        ((100, 300), {"min_ratio": 0.5}, "width by height from 0.5"),
        ((300, 100), {"min_side": 128}, "sides of at least 128 pixels"),
    ],
    ids=str,
)
def test_a_picture_of_the_wrong_shape_or_too_small_is_refused(
    tmp_path: Path, size: tuple[int, int], limits: dict[str, Any], allowed: str
) -> None:
    with pytest.raises(UnsupportedValue) as caught:
        resolved(remote_row(image=LIMITS | limits), conditionings=(picture(tmp_path, *size),))
    assert (caught.value.field, caught.value.got) == ("image", f"{size[0]}x{size[1]}")
    assert caught.value.allowed == allowed


def test_a_picture_that_is_too_large_is_only_told_of(tmp_path: Path) -> None:
    found = resolved(remote_row(image=LIMITS | {"max_side": 640}), conditionings=(picture(tmp_path, 1280, 720),))
    assert found.warnings == ("first-frame: 1280x720 is scaled down to fit what Cloud takes",)


def test_a_provider_crops_in_its_own_way_and_a_local_model_in_ours(tmp_path: Path) -> None:
    wide = picture(tmp_path, 400, 100)
    assert resolved(remote_row(), conditionings=(wide,)).warnings == (
        "first-frame: Cloud fits 400x100 into 1280x720 in its own way",
    )
    assert resolved(local_row(), conditionings=(wide,)).warnings == (
        "first-frame: 400x100 is scaled to cover 832x480 and cut at the centre",
    )


@pytest.fixture
def two_seconds(tmp_path: Path) -> Conditioning:
    frames = np.zeros((16, 96, 64, 3), np.uint8)
    path = write_mp4(tmp_path / "source.mp4", frames)
    return Conditioning(role=Role.SOURCE_VIDEO, path=path)


def test_a_video_longer_than_the_provider_takes_is_refused(two_seconds: Conditioning) -> None:
    short = LIMITS | {"mime_types": ["video/mp4"], "max_seconds": 0.5}
    with pytest.raises(UnsupportedValue, match=r"video: too long for Cloud; got .* s; allowed: up to 0\.5 s"):
        resolved(remote_row(video=short), conditionings=(two_seconds,))
    found = resolved(remote_row(video=short | {"max_seconds": 5}), conditionings=(two_seconds,))
    assert (found.task, found.width, found.height) == (Task.VIDEO_TO_VIDEO, 720, 1280)


def test_a_video_that_is_none_is_refused_before_it_is_sent(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_text("no video")
    with pytest.raises(UnreadableMedia, match="video"):
        resolved(remote_row(), conditionings=(Conditioning(role=Role.SOURCE_VIDEO, path=path),))


LACKING: list[tuple[str, Any, str]] = [
    ("negative_prompt", "rain", "negative_prompt: cloud-one has none; it was left out"),
    ("seed", 5, "seed: cloud-one takes no seed; 5 was left out"),
    ("generate_audio", True, "generate_audio: cloud-one makes no sound; true was left out"),
    ("num_inference_steps", 30, "num_inference_steps: cloud-one has no such parameter; 30 was left out"),
    ("guidance_scale", 2.5, "guidance_scale: cloud-one has no such parameter; 2.5 was left out"),
    ("frame_rate", Fraction(30), "frame_rate: cloud-one does not do this; 30 was left out"),
    ("options", {"zoom": "in"}, "option: cloud-one has no such option; zoom was left out"),
]


@pytest.mark.parametrize(("name", "value", "warning"), LACKING, ids=[name for name, *_ in LACKING])
def test_what_the_model_lacks_is_refused_or_left_out_with_a_warning(name: str, value: Any, warning: str) -> None:
    spec = remote_row({"seed": False})
    with pytest.raises(UnsupportedValue):
        resolved(spec, **{name: value})
    found = resolved(spec, on_unsupported="drop", **{name: value})
    assert found.warnings == (warning,)
    assert ResolvedRequest.from_json(found.as_json()) == found
    assert found.num_frames == 144


def test_all_that_was_left_out_is_told() -> None:
    fields = {name: value for name, value, _ in LACKING}
    found = resolved(remote_row({"seed": False}), on_unsupported="drop", **fields)
    assert set(found.warnings) == {warning for *_, warning in LACKING}


@pytest.mark.parametrize(
    "fields",
    [{"resolution": "4k"}, {"duration_seconds": 5}, {"width": 3}, {"seed": -1}, {"on_unsupported": "ignore"}],
    ids=str,
)
def test_what_is_wrong_and_not_lacking_is_refused_always(fields: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedValue):
        resolved(remote_row(), **{"on_unsupported": "drop", **fields})


def test_an_option_may_be_text() -> None:
    option = {"type": "text", "default": "", "max_characters": 5, "help": "a word"}
    spec = remote_row({"options": {"word": option}})
    assert resolved(spec, options={"word": " hi "}).options == {"word": " hi "}
    with pytest.raises(UnsupportedValue, match=r"option word: .*allowed: text of up to 5 characters"):
        resolved(spec, options={"word": "longer"})
