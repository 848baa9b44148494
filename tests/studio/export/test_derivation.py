"""What cannot be made is refused before any work, in a sentence that names the option and what is allowed."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest

from studio.errors import OutputRefused, UnsupportedValue
from studio.library.asset import Asset
from studio.media import FrameClip
from tests.studio.export.conftest import Library
from tests.studio.media_files import pan


@pytest.mark.parametrize(
    ("suffix", "wish", "words"),
    [
        (".avi", {}, r"output: this is no format .*; got \.avi; allowed: \.mp4"),
        ("", {}, "no ending"),
        (".mp4", {"frame": 2}, "frame: this option does not go"),
        (".wav", {"width": 64}, "width: this option does not go"),
        (".png", {"start": Fraction(1)}, "start: .*--frame"),
        (".jpg", {"frame_rate": Fraction(5)}, "frame_rate: this option"),
        (".png", {"frame": 30}, "frame: the clip has no such frame; got 30; allowed: 0 to 29"),
        (".mp4", {"start": Fraction(2)}, r"start: outside the clip; got 2 s; allowed: 0 to 1\.208"),
        (".mp4", {"end": Fraction(2)}, r"end: outside the clip; .*at most 1\.250"),
        (".mp4", {"start": Fraction(1), "end": Fraction(1)}, "end: outside"),
        (".mp4", {"start": Fraction(1), "end": Fraction("1.01")}, "shorter than one frame"),
        (".mp4", {"width": 8}, "width: out of range; got 8; allowed: 16 to 1536"),
        (".gif", {"width": 1300}, "allowed: 16 to 1280"),
        (".mp4", {"width": 100_000}, "width: out of range"),
        (".gif", {"frame_rate": Fraction(60)}, r"frame_rate: out of range; got 60; allowed: 0\.1 to 50"),
        (".mp4", {"frame_rate": Fraction(1, 1000)}, "frame_rate: out of range"),
    ],
)
def test_a_wish_that_cannot_be_granted(
    suffix: str, wish: dict[str, Any], words: str, library: Library, clip: Asset
) -> None:
    with pytest.raises(UnsupportedValue, match=words):
        library.export(clip, f"never{suffix}", **wish)
    assert not list(library.folder.glob("never*"))
    assert library.studio.store.children(clip.id) == []


def test_a_clip_without_sound_has_no_sound_to_export(library: Library, name: Callable[[str], str]) -> None:
    asset = library.seal(FrameClip(frames=pan(6), frame_rate=Fraction(8)))
    with pytest.raises(UnsupportedValue, match="this clip has no sound"):
        library.export(asset, name(".wav"))
    assert library.leftovers() == []


def test_a_gif_of_too_many_frames_says_how_to_shorten_it(library: Library, name: Callable[[str], str]) -> None:
    asset = library.seal(FrameClip(frames=pan(601, 48, 32, step=0), frame_rate=Fraction(24)))
    with pytest.raises(UnsupportedValue, match=r"got 601 frames; allowed: at most 600; .*--start and --end"):
        library.export(asset, name(".gif"))


@pytest.mark.parametrize("taken", [".webm", ".c2pa"])
def test_a_pair_of_files_is_refused_if_either_name_is_taken(
    taken: str, library: Library, clip: Asset, name: Callable[[str], str]
) -> None:
    (library.folder / name(taken)).write_text("precious")
    with pytest.raises(OutputRefused, match="exists already"):
        library.export(clip, name(".webm"))
    assert [path.name for path in library.folder.glob(name(".*"))] == [name(taken)]
    assert (library.folder / name(taken)).read_text() == "precious"


def test_force_replaces_both_files_of_a_pair(library: Library, clip: Asset, name: Callable[[str], str]) -> None:
    for suffix in (".mkv", ".c2pa"):
        (library.folder / name(suffix)).write_text("old")
    exported = library.studio.export(clip.id, library.folder / name(".mkv"), overwrite=True)
    assert library.read(exported).state == "trusted"
