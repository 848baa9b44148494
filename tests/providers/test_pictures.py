"""A user's picture is made fit for the way to a provider, and tells it nothing more than what is seen on it."""

from __future__ import annotations

import base64
import io
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from providers.pictures import Attachment, attachments_of, picture
from studio.catalog.remote import InputLimits, Remote
from studio.errors import InputRefused, UnsupportedValue
from studio.request import Conditioning, ResolvedRequest, Role, Task

JPEG_AND_PNG = ("image/jpeg", "image/png")


def limits(**changes: object) -> InputLimits:
    given = {"transport": "data-uri", "mime_types": JPEG_AND_PNG, "max_bytes": 10**6}
    return InputLimits.model_validate(given | changes)


def photo(path: Path, width: int, height: int, **more: object) -> Conditioning:
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    Image.fromarray(noise).save(path, **more)
    return Conditioning(role=Role.FIRST_FRAME, path=path)


def size_of(attachment: Attachment) -> tuple[int, int]:
    return Image.open(io.BytesIO(attachment.content)).size


def test_a_picture_that_fits_is_sent_at_its_size_and_without_a_note(tmp_path: Path) -> None:
    notes: list[str] = []
    sent = picture(photo(tmp_path / "a.png", 320, 200), limits(), notes.append)
    assert (sent.mime_type, size_of(sent), notes) == ("image/png", (320, 200), [])
    assert base64.b64decode(sent.base64) == sent.content
    assert sent.data_uri.startswith("data:image/png;base64,")


def test_a_png_that_is_too_large_for_the_way_becomes_a_jpeg(tmp_path: Path) -> None:
    sent = picture(photo(tmp_path / "a.png", 640, 480), limits(max_bytes=500_000), lambda _: None)
    assert (sent.mime_type, size_of(sent)) == ("image/jpeg", (640, 480))
    assert len(sent.content) <= 500_000


def test_a_picture_is_scaled_down_until_it_fits_and_that_is_told(tmp_path: Path) -> None:
    notes: list[str] = []
    sent = picture(photo(tmp_path / "a.jpg", 1200, 900), limits(max_bytes=60_000), notes.append)
    width, height = size_of(sent)
    assert len(sent.content) <= 60_000
    assert abs(width / height - 4 / 3) < 0.02
    assert notes == [f"first-frame: 1200x900 was sent as {width}x{height}"]


def test_a_side_that_is_too_long_is_shortened(tmp_path: Path) -> None:
    sent = picture(photo(tmp_path / "a.jpg", 800, 200), limits(max_side=400), lambda _: None)
    assert size_of(sent) == (400, 100)


@pytest.mark.parametrize(
    ("size", "rule", "words"),
    [
        ((900, 200), {"max_ratio": 2.5}, "too narrow or too wide"),
        ((200, 900), {"min_ratio": 0.4}, "too narrow or too wide"),
        ((200, 900), {"min_side": 300}, "too small"),
        ((400, 400), {"max_bytes": 900, "min_side": 300}, "too large"),
        ((400, 400), {"max_bytes": 900, "mime_types": ("image/png",)}, "too large"),
    ],
)
def test_what_cannot_be_made_to_fit_is_refused(
    tmp_path: Path, size: tuple[int, int], rule: dict[str, object], words: str
) -> None:
    with pytest.raises(InputRefused, match=words) as caught:
        picture(photo(tmp_path / "a.png", *size), limits(**rule), lambda _: None)
    assert caught.value.field == "first-frame"


def test_where_and_with_what_it_was_taken_is_not_told(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "SECRET CAMERA", 6  # make; turned by a quarter
    sent = picture(photo(tmp_path / "a.jpg", 320, 200, exif=exif), limits(), lambda _: None)
    assert b"SECRET CAMERA" not in sent.content
    assert size_of(sent) == (200, 320)


def test_all_roles_find_their_place_and_each_is_given_its_link(tmp_path: Path) -> None:
    items = tuple(
        Conditioning(role=role, path=photo(tmp_path / f"{number}.png", 64, 48).path)
        for number, role in enumerate((Role.FIRST_FRAME, Role.LAST_FRAME, Role.REFERENCE, Role.REFERENCE))
    )
    found = attachments_of(_request(items), _remote(), print, lambda item: item)
    assert found.first is not None
    assert found.last is not None
    assert (found.last.role, len(found.references), found.video) == (Role.LAST_FRAME, 2, None)


def test_a_video_where_none_is_taken_is_refused(tmp_path: Path) -> None:
    item = Conditioning(role=Role.SOURCE_VIDEO, path=tmp_path / "a.mp4")
    with pytest.raises(UnsupportedValue, match="takes no videos"):
        attachments_of(_request((item,)), _remote(), print, lambda item: item)


def _remote() -> Remote:
    return Remote(
        provider="acme",
        provider_name="Acme",
        base_url="https://acme.example",
        base_url_variable="ACME_URL",
        image=limits(),
    )


def _request(items: tuple[Conditioning, ...]) -> ResolvedRequest:
    return ResolvedRequest(
        model="m", task=Task.REFERENCE_TO_VIDEO, prompt="", negative_prompt="", seed=0, width=64, height=48,
        num_frames=8, frame_rate=Fraction(8), num_inference_steps=None, guidance_scale=None, conditionings=items,
        generate_audio=False, options={},
    )  # fmt: skip
