"""A visible label can be read on any picture, stays inside it, and costs next to nothing."""

from __future__ import annotations

import time

import numpy as np
import pytest

from studio.app import Studio
from studio.config import Settings, VisibleLabel
from studio.errors import EnvironmentFault
from studio.export.label import label_of
from studio.request import GenerationRequest
from tests.studio.provenance.conftest import Frame, decode
from ui.cli.entry import run

SIZES = [(64, 64), (128, 128), (480, 832), (1080, 1920), (1024, 576)]


def flat(height: int, width: int, shade: int) -> Frame:
    return np.full((height, width, 3), shade, np.uint8)


def changed(before: Frame, after: Frame) -> tuple[slice, slice]:
    """Return the box in which two frames differ."""
    rows, columns = np.nonzero((before != after).any(axis=2))
    return slice(int(rows.min()), int(rows.max()) + 1), slice(int(columns.min()), int(columns.max()) + 1)


def contrast(picture: Frame) -> float:
    """Return WCAG 2's ratio of the lightest to the darkest luminance; 4.5 is what text needs."""
    linear = (picture.reshape(-1, 3) / 255.0) ** 2.2
    luminance = linear @ np.array([0.2126, 0.7152, 0.0722])
    return float((luminance.max() + 0.05) / (luminance.min() + 0.05))


def test_no_label_is_drawn_unless_one_is_wanted() -> None:
    assert label_of(None, 128, 128) is None
    with pytest.raises(ValueError, match="text, icon or None"):
        label_of("banner", 128, 128)


@pytest.mark.parametrize("kind", ["text", "icon"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("shade", [0, 90, 128, 255])
def test_a_label_can_be_read_on_light_and_dark(kind: str, size: tuple[int, int], shade: int) -> None:
    frame = flat(*size, shade)
    draw = label_of(kind, *size)
    assert draw is not None
    labelled = draw(frame)
    rows, columns = changed(frame, labelled)
    assert contrast(labelled[rows, columns]) > 4.5
    assert rows.stop - rows.start >= 7  # capitals, without the box, which black on black hides


@pytest.mark.parametrize("kind", ["text", "icon"])
@pytest.mark.parametrize("size", SIZES)
def test_a_label_stands_in_the_upper_right_corner_off_the_edges(kind: str, size: tuple[int, int]) -> None:
    frame = flat(*size, 128)
    draw = label_of(kind, *size)
    assert draw is not None
    rows, columns = changed(frame, draw(frame))
    margin = round(0.05 * min(size))
    assert rows.start >= margin
    assert columns.start >= margin
    assert columns.stop <= size[1] - margin
    assert rows.stop < size[0] / 2
    assert (columns.start + columns.stop) / 2 > size[1] / 2


@pytest.mark.parametrize("kind", ["text", "icon"])
def test_a_label_grows_with_the_picture(kind: str) -> None:
    heights = []
    for height, width in [(480, 832), (1080, 1920)]:
        frame = flat(height, width, 128)
        draw = label_of(kind, height, width)
        assert draw is not None
        rows, _ = changed(frame, draw(frame))
        heights.append((rows.stop - rows.start) / height)
    assert heights[0] == pytest.approx(heights[1], rel=0.1)


def test_the_words_differ_for_a_clip_that_was_changed() -> None:
    frame = flat(256, 256, 128)
    generated, modified = (label_of("text", 256, 256, is_modified=changed) for changed in (False, True))
    assert generated is not None
    assert modified is not None
    assert (generated(frame) != modified(frame)).any()


def test_the_frame_itself_is_left_alone_and_other_sizes_are_refused() -> None:
    frame = flat(128, 128, 7)
    draw = label_of("icon", 128, 128)
    assert draw is not None
    assert (draw(frame) == draw(frame)).all()
    assert (frame == 7).all()
    with pytest.raises(ValueError, match="expected"):
        draw(flat(64, 128, 7))


@pytest.mark.parametrize("kind", ["text", "icon"])
@pytest.mark.parametrize("size", [(2, 2), (16, 16), (20, 400), (400, 20)])
def test_a_frame_too_small_for_a_label_does_not_break_it(kind: str, size: tuple[int, int]) -> None:
    draw = label_of(kind, *size)
    assert draw is not None
    assert draw(flat(*size, 128)).shape == (*size, 3)


@pytest.mark.parametrize("kind", ["text", "icon"])
def test_a_label_costs_less_than_two_milliseconds_a_frame_at_1080p(kind: str) -> None:
    frame = flat(1080, 1920, 128)
    draw = label_of(kind, 1080, 1920)
    assert draw is not None
    draw(frame)
    times = []
    for _ in range(20):
        start = time.perf_counter()
        draw(frame)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.002


REQUEST = GenerationRequest(model="scripted-moving", seed=3)


def test_a_label_is_off_unless_asked_for(studio: Studio) -> None:
    outcome = studio.generate(REQUEST)
    assert outcome.verification.c2pa.generation is not None
    assert "visible_label" not in outcome.verification.c2pa.generation


@pytest.mark.parametrize("label", ["text", "icon"])
def test_a_labelled_clip_shows_it_says_it_and_stays_the_same_clip(label: VisibleLabel, studio: Studio) -> None:
    plain, labelled = studio.generate(REQUEST), studio.generate(REQUEST, label=label)
    assert labelled.asset.frames_sha256 == plain.asset.frames_sha256
    assert labelled.asset.report == plain.asset.report
    reading = labelled.verification.c2pa
    assert reading.state == "trusted"
    assert reading.generation is not None
    assert reading.generation["visible_label"] == label
    assert reading.manifest is not None
    (actions,) = [item["data"] for item in reading.manifest["assertions"] if item["label"] == "c2pa.actions.v2"]
    assert "c2pa.addedText" in [action["action"] for action in actions["actions"]]
    for before, after in zip(decode(plain.asset.path), decode(labelled.asset.path), strict=True):
        difference = np.abs(before.astype(int) - after).mean(axis=2)
        assert difference[:24, -28:].mean() > 25
        assert difference[64:].mean() < 5


def test_the_setting_draws_a_label_and_the_command_overrides_it(studio: Studio) -> None:
    studio.settings = studio.settings.model_copy(update={"visible_label": "icon"})
    kinds = [studio.generate(REQUEST, label=label).verification.c2pa.generation for label in (None, "none", "text")]
    assert [(kind or {}).get("visible_label") for kind in kinds] == ["icon", None, "text"]


def test_a_label_nobody_knows_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(("generate", "--model", "micro-wan", "--label", "banner")) == 2
    assert "text, icon or none" in capsys.readouterr().err
    monkeypatch.setenv("STUDIO_VISIBLE_LABEL", "banner")
    with pytest.raises(EnvironmentFault, match="STUDIO_VISIBLE_LABEL"):
        Settings.read()
