"""A size is asked for in pixels, by its names, or by the picture that the clip starts from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from studio.errors import UnsupportedValue
from studio.request import Role
from tests.studio.resolving.rows import FORMATS, local_row, picture, remote_row, resolved

SIZES: dict[str, Any] = {"sizes": [[832, 480], [480, 832], [1280, 720], [720, 1280]]}


@pytest.mark.parametrize(
    ("fields", "size"),
    [
        ({}, (1280, 720)),
        ({"resolution": "1080p"}, (1920, 1080)),
        ({"resolution": "1080P"}, (1920, 1080)),
        ({"aspect_ratio": "9:16"}, (720, 1280)),
        ({"aspect_ratio": "18:32"}, (720, 1280)),
        ({"resolution": "1080p", "aspect_ratio": "9:16"}, (1080, 1920)),
        ({"width": 1920, "height": 1080}, (1920, 1080)),
        ({"width": 1080}, (1080, 1920)),
        ({"width": 1920, "resolution": "1080p"}, (1920, 1080)),
    ],
    ids=str,
)
def test_the_format_that_fits_is_taken(fields: dict[str, Any], size: tuple[int, int]) -> None:
    found = resolved(remote_row(), **fields)
    assert (found.width, found.height) == size


def test_where_the_default_has_no_such_the_first_that_fits_is_taken() -> None:
    wide = {"width": 3440, "height": 1440, "resolution": "2k", "aspect_ratio": "21:9"}
    tall = {"width": 1440, "height": 3440, "resolution": "2k", "aspect_ratio": "9:21"}
    found = resolved(remote_row({"formats": [*FORMATS, wide, tall]}), resolution="2k")
    assert (found.width, found.height) == (3440, 1440)


@pytest.mark.parametrize(
    ("fields", "field", "got"),
    [
        ({"resolution": "4k"}, "resolution", "4k"),
        ({"aspect_ratio": "wide"}, "aspect_ratio", "wide"),
        ({"aspect_ratio": "16:0"}, "aspect_ratio", "16:0"),
        ({"width": 640, "height": 480}, "width x height", "640x480"),
        ({"width": 640}, "width", "640"),
        ({"width": 1280, "height": 720, "resolution": "1080p"}, "width and height and resolution", "1280 720 1080p"),
        ({"aspect_ratio": "1:1"}, "aspect_ratio", "1:1"),  # for pictures only
    ],
    ids=str,
)
def test_a_format_that_there_is_none_of_is_refused_with_those_there_are(
    fields: dict[str, Any], field: str, got: str
) -> None:
    with pytest.raises(UnsupportedValue) as caught:
        resolved(remote_row(), **fields)
    assert (caught.value.field, caught.value.got) == (field, got)
    assert "1280x720 (720p 16:9), 720x1280 (720p 9:16)" in str(caught.value.allowed)
    assert "960x960" not in str(caught.value.allowed)


@pytest.mark.parametrize(
    ("width", "height", "size"), [(640, 640, (960, 960)), (300, 700, (720, 1280)), (500, 281, (1280, 720))], ids=str
)
def test_the_picture_decides_where_nothing_was_asked(
    tmp_path: Path, width: int, height: int, size: tuple[int, int]
) -> None:
    found = resolved(remote_row(), conditionings=(picture(tmp_path, width, height),))
    assert (found.width, found.height) == size


def test_what_was_asked_for_counts_more_than_the_picture(tmp_path: Path) -> None:
    found = resolved(remote_row(), conditionings=(picture(tmp_path, 300, 700),), resolution="1080p")
    assert (found.width, found.height) == (1920, 1080)


def test_a_reference_has_no_say_in_the_size(tmp_path: Path) -> None:
    found = resolved(remote_row(), conditionings=(picture(tmp_path, 300, 700, Role.REFERENCE),))
    assert (found.width, found.height, found.warnings) == (1280, 720, ())


@pytest.mark.parametrize(
    ("fields", "size"),
    [
        ({"resolution": "720p"}, (1280, 720)),
        ({"aspect_ratio": "9:16"}, (480, 832)),
        ({"aspect_ratio": "16:9"}, (832, 480)),
        ({"resolution": "720p", "aspect_ratio": "9:16"}, (720, 1280)),
        ({"resolution": "480p", "width": 480}, (480, 832)),
    ],
    ids=str,
)
def test_plain_sizes_have_names_too(fields: dict[str, Any], size: tuple[int, int]) -> None:
    found = resolved(local_row(**SIZES), **fields)
    assert (found.width, found.height) == size


@pytest.mark.parametrize(
    ("sizes", "fields", "message"),
    [
        (SIZES, {"resolution": "1080p"}, "does not do this"),
        ({"sizes": [[832, 480], [640, 640], [600, 600]]}, {"aspect_ratio": "1:1"}, "any of several sizes"),
        ({}, {"resolution": "480p"}, "names none"),
    ],
    ids=["none", "several", "any"],
)
def test_a_name_that_stands_for_no_one_size_is_refused(
    sizes: dict[str, Any], fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(UnsupportedValue, match=message) as caught:
        resolved(local_row(**sizes), **fields)
    assert caught.value.fix == "give width and height"
