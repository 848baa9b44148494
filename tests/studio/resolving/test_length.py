"""A length is asked for in frames or in seconds; what comes out is exact, and what is not meant exactly is told."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from studio.errors import UnsupportedValue
from studio.resolving.clip_length import seconds_of
from tests.studio.resolving.rows import local_row, remote_row, resolved

SLOW: dict[str, Any] = {"frame_rate": {"min": 23.976, "max": 60, "default": 24}, "frame_rates": [23.976, 24, 60]}


@pytest.mark.parametrize(
    ("fields", "num_frames"),
    [
        ({}, 144),
        ({"duration_seconds": 8}, 192),
        ({"duration_seconds": 4.0}, 96),
        ({"num_frames": 192}, 192),
        ({"num_frames": 96, "duration_seconds": 4}, 96),
    ],
    ids=str,
)
def test_whole_seconds_become_frames(fields: dict[str, Any], num_frames: int) -> None:
    assert resolved(remote_row(), **fields).num_frames == num_frames


@pytest.mark.parametrize(
    ("fields", "field", "hint"),
    [
        ({"duration_seconds": 5}, "duration_seconds", "allowed: 4, 6 or 8 seconds; nearest: 4 or 6"),
        ({"duration_seconds": 4.5}, "duration_seconds", "nearest: 4 or 6"),
        ({"duration_seconds": 60}, "duration_seconds", "nearest: 8"),
        ({"num_frames": 100}, "num_frames", "96 (4 s) or 144 (6 s)"),
        ({"num_frames": 1000}, "num_frames", "192 (8 s)"),
        ({"num_frames": 96, "duration_seconds": 6}, "duration_seconds", "leave one out"),
        ({"duration_seconds": 0}, "duration_seconds", "more than 0"),
        ({"duration_seconds": float("nan")}, "duration_seconds", "more than 0"),
        ({"duration_seconds": float("inf")}, "duration_seconds", "up to 86400"),
        ({"frame_rate": Fraction(30)}, "frame_rate", "24 only"),
    ],
    ids=str,
)
def test_another_length_is_refused_naming_the_nearest(fields: dict[str, Any], field: str, hint: str) -> None:
    with pytest.raises(UnsupportedValue) as caught:
        resolved(remote_row(), **fields)
    assert caught.value.field == field
    assert hint in caught.value.sentence()


@given(st.sampled_from([4, 6, 8]), st.sampled_from([Fraction(24000, 1001), Fraction("23.976"), 24, 60]))
def test_seconds_survive_any_frame_rate(seconds: int, rate: Fraction | int) -> None:
    spec = remote_row(SLOW)
    found = resolved(spec, duration_seconds=seconds, frame_rate=Fraction(rate))
    assert found.frame_rate == rate
    assert seconds_of(spec, found.num_frames, found.frame_rate) == seconds
    assert resolved(spec, num_frames=found.num_frames, frame_rate=Fraction(rate)).num_frames == found.num_frames


def test_only_the_frame_rates_of_the_row_will_do() -> None:
    with pytest.raises(UnsupportedValue, match=r"frame_rate: .*got 30; allowed: 23.976, 24, 60 frames per second"):
        resolved(remote_row(SLOW), frame_rate=Fraction(30))


def test_a_local_model_makes_the_nearest_length_and_says_so() -> None:
    found = resolved(local_row(), duration_seconds=5)
    assert found.num_frames == 81
    assert found.warnings == ("duration_seconds: 5 s at 16 frames per second is 80 frames; this model makes 81",)


def test_an_exact_length_is_not_worth_a_word() -> None:
    found = resolved(local_row(), duration_seconds=Fraction(33, 16))
    assert (found.num_frames, found.warnings) == (33, ())


@pytest.mark.parametrize("seconds", [0.01, 6, 100], ids=str)
def test_a_local_model_refuses_what_is_far_from_all_it_makes(seconds: float) -> None:
    with pytest.raises(UnsupportedValue, match=r"0\.3125 to 5\.0625 seconds at 16 frames per second"):
        resolved(local_row(), duration_seconds=seconds)


def test_seconds_and_frames_of_a_local_model_may_agree() -> None:
    assert resolved(local_row(), duration_seconds=5, num_frames=81).num_frames == 81
    with pytest.raises(UnsupportedValue, match="two different lengths; got 5 s and 77 frames"):
        resolved(local_row(), duration_seconds=5, num_frames=77)
