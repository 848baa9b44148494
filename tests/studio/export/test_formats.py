"""Every format leaves through the gate: sealed, verifiable by anybody, playable, and with its parent's mark."""

from __future__ import annotations

import base64
import wave
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import PIL.Image
import pytest

from studio.errors import UnsupportedValue, VerificationFailed
from studio.export.encoder import EncodedFacts
from studio.export.pictures import write_gif, write_webp
from studio.exports import Exported
from studio.library.asset import Asset
from studio.media import FrameClip, count_frames, iter_frames, read_audio, read_image
from studio.provenance.certificates import watermark_key
from studio.provenance.inspect import C2paReading
from studio.provenance.watermark import WatermarkDetector
from tests.studio.export.conftest import Library
from tests.studio.media_files import pan, psnr, tone

Name = Callable[[str], str]

FORMATS: dict[str, dict[str, Any]] = {
    ".mov": {},
    ".mkv": {},
    ".webm": {},
    ".gif": {"width": 320, "frame_rate": Fraction(12)},
    ".webp": {},
    ".png": {},
    ".jpg": {"frame": 3},
    ".wav": {},
    "-part.mp4": {"start": Fraction(1, 2), "end": Fraction(1)},
    "-still.webp": {"frame": -1},
    "-smaller.mp4": {"width": 320},
    "-slower.mp4": {"frame_rate": Fraction(12)},
    "-whole.mov": {"start": Fraction(0), "end": Fraction(5, 4)},
    "-part.gif": {"width": 320, "start": Fraction(1)},
    "-part.webp": {"end": Fraction(1, 4)},
}
PICTURES = (".png", ".jpg", "-still.webp")


def actions_of(reading: C2paReading) -> list[dict[str, Any]]:
    assertions = (reading.manifest or {})["assertions"]
    return next(item["data"]["actions"] for item in assertions if "actions" in item["label"])


@pytest.fixture(scope="module")
def exports(library: Library, clip: Asset) -> dict[str, Exported]:
    """One export of each kind."""
    return {
        suffix: library.export(clip, f"clip{index}{Path(f'x{suffix}').suffix}", **wish)
        for index, (suffix, wish) in enumerate(FORMATS.items())
    }


@pytest.mark.parametrize("suffix", FORMATS)
class TestEveryFormat:
    def test_is_trusted_at_home_and_valid_elsewhere(
        self, suffix: str, exports: dict[str, Exported], library: Library
    ) -> None:
        home, elsewhere = library.read(exports[suffix]), library.read(exports[suffix], knows_us=False)
        assert (home.state, home.problem, home.trust_list) == ("trusted", None, "this studio")
        assert elsewhere.state == "valid"

    def test_names_its_parent(self, suffix: str, exports: dict[str, Exported], library: Library, clip: Asset) -> None:
        (parent,) = library.read(exports[suffix]).ingredients
        assert (parent.relationship, parent.state) == ("parentOf", "trusted")
        assert exports[suffix].asset.parent_id == clip.id

    def test_tells_who_made_the_pictures(self, suffix: str, exports: dict[str, Exported], library: Library) -> None:
        told = library.read(exports[suffix]).generation
        assert told is not None
        assert told["job_id"] == exports[suffix].asset.id
        assert told["model"] == {
            "id": "selftest", "name": "Micro Test", "repository": "someone/micro", "revision": "0123abc"
        }  # fmt: skip

    def test_a_flipped_byte_is_noticed(
        self, suffix: str, exports: dict[str, Exported], library: Library, tmp_path: Path
    ) -> None:
        exported = exports[suffix]
        content = bytearray(exported.path.read_bytes())
        content[-30] ^= 1
        (tmp_path / exported.path.name).write_bytes(content)
        changed = Exported(asset=exported.asset, path=tmp_path / exported.path.name, sidecar=exported.sidecar)
        assert library.read(changed).state == "invalid"

    def test_is_the_librarys_file_byte_for_byte(self, suffix: str, exports: dict[str, Exported]) -> None:
        exported = exports[suffix]
        assert exported.path.read_bytes() == exported.asset.path.read_bytes()
        assert (exported.sidecar is None) == (exported.asset.sidecar is None) == (suffix not in (".mkv", ".webm"))
        if exported.sidecar is not None and exported.asset.sidecar is not None:
            assert exported.sidecar.read_bytes() == exported.asset.sidecar.read_bytes()

    def test_can_be_exported_again_as_a_copy(
        self, suffix: str, exports: dict[str, Exported], library: Library, tmp_path: Path
    ) -> None:
        asset = exports[suffix].asset
        again = library.studio.export(asset.id, tmp_path)
        assert again.asset.id == asset.id
        assert library.read(again).state == "trusted"

    def test_a_new_mark_is_claimed_only_where_it_was_put_in_anew(
        self, suffix: str, exports: dict[str, Exported], library: Library
    ) -> None:
        reading = library.read(exports[suffix])
        assertions = {item["label"]: item["data"] for item in (reading.manifest or {})["assertions"]}
        actions = [action["action"] for action in assertions["c2pa.actions.v2"]["actions"]]
        assert actions[0] == "c2pa.opened"
        assert "c2pa.created" not in actions
        mark = (reading.generation or {}).get("watermark")
        assert ("c2pa.watermarked.bound" in actions) == (mark is not None and not mark.get("inherited"))
        if suffix in (".mov", ".mkv"):
            assert mark is not None
            assert mark["inherited"]


@pytest.mark.parametrize("suffix", [suffix for suffix in FORMATS if suffix != ".wav"])
def test_the_parents_mark_is_read_back_and_bound(
    suffix: str, exports: dict[str, Exported], library: Library, clip: Asset
) -> None:
    exported = exports[suffix]
    if suffix in PICTURES and exported.asset.watermark_id is None:  # one lossy frame may be too little
        assert any("mark can no longer be read" in note for note in exported.notes)
        return
    assert exported.asset.watermark_id == clip.watermark_id
    detector = WatermarkDetector(watermark_key(library.studio.settings.identity_folder))
    for frame in iter_frames(exported.path) if suffix not in (".png", ".jpg") else ():
        detector.update(frame.image)
    if suffix in (".png", ".jpg"):
        detector.update(read_image(exported.path))
    assert detector.finish().identifier == clip.watermark_id
    manifest = library.read(exported).manifest or {}
    binding = next(item["data"] for item in manifest["assertions"] if item["label"] == "c2pa.soft-binding")
    assert base64.b64decode(binding["blocks"][0]["value"]).hex() == clip.watermark_id


class TestWhatIsInside:
    @pytest.mark.parametrize(
        ("suffix", "codec", "sound"), [(".mov", "h264", "aac"), (".mkv", "h264", "aac"), (".webm", "vp9", "opus")]
    )
    def test_videos_hold_all_frames_and_the_sound(
        self, suffix: str, codec: str, sound: str, exports: dict[str, Exported], clip: Asset
    ) -> None:
        with av.open(str(exports[suffix].path)) as container:
            assert container.streams.video[0].codec_context.codec.canonical_name == codec
            assert container.streams.audio[0].codec_context.codec.canonical_name == sound
            assert sum(1 for _ in container.decode(video=0)) == 30
        original = np.stack([frame.image for frame in iter_frames(clip.path)])
        again = np.stack([frame.image for frame in iter_frames(exports[suffix].path)])
        assert psnr(again, original) > 36
        audio = read_audio(exports[suffix].path)
        assert audio is not None
        assert float(audio.duration_seconds) == pytest.approx(1.25, abs=0.05)

    def test_a_gif_plays_at_its_pace_for_ever(self, exports: dict[str, Exported]) -> None:
        with PIL.Image.open(exports[".gif"].path) as picture:
            assert (picture.size, picture.n_frames, picture.info["loop"]) == ((320, 240), 15, 0)
            milliseconds = [(picture.seek(index), picture.info["duration"])[1] for index in range(picture.n_frames)]
        assert sum(milliseconds) == pytest.approx(1250, abs=40)

    def test_an_animated_webp_plays_at_its_pace_for_ever(self, exports: dict[str, Exported]) -> None:
        path = exports[".webp"].path
        with PIL.Image.open(path) as picture:
            assert (picture.size, picture.n_frames, picture.info["loop"]) == ((384, 288), 30, 0)
        assert count_frames(path) == 30

    @pytest.mark.parametrize("write", [write_webp, write_gif])
    def test_frames_that_repeat_stay_frames_of_their_own(
        self, write: Callable[..., EncodedFacts], tmp_path: Path
    ) -> None:
        frames = [frame for frame in pan(4, 98, 66, step=9) for _ in range(5)]
        facts = write(lambda: frames, tmp_path / "x", width=98, height=66, frame_rate=Fraction(10))
        assert facts.num_frames == 20
        with PIL.Image.open(facts.path) as picture:
            assert picture.n_frames == 20
            for index, frame in enumerate(frames):
                picture.seek(index)
                assert psnr(np.asarray(picture.convert("RGB")), frame) > 24
                assert picture.info["duration"] == 100

    def test_a_picture_is_the_frame_asked_for(self, exports: dict[str, Exported], clip: Asset) -> None:
        frames = [frame.image for frame in iter_frames(clip.path)]
        assert psnr(read_image(exports[".png"].path), frames[15]) > 36
        assert psnr(read_image(exports[".jpg"].path), frames[3]) > 36
        assert psnr(read_image(exports["-still.webp"].path), frames[-1]) > 36

    def test_pictures_and_sound_have_an_empty_report(self, exports: dict[str, Exported]) -> None:
        for suffix in (*PICTURES, ".wav"):
            asset = exports[suffix].asset
            assert (asset.checks_passed, asset.report["checks"]) == (None, [])
        assert exports[".mov"].asset.report["checks"]

    def test_a_part_holds_its_frames_and_its_sound(self, exports: dict[str, Exported], clip: Asset) -> None:
        frames = np.stack([frame.image for frame in iter_frames(exports["-part.mp4"].path)])
        original = np.stack([frame.image for frame in iter_frames(clip.path)])
        assert psnr(frames, original[12:24]) > 36
        audio = read_audio(exports["-part.mp4"].path)
        assert audio is not None
        assert float(audio.duration_seconds) == pytest.approx(0.5, abs=0.05)

    def test_sound_alone_is_plain_pcm(self, exports: dict[str, Exported]) -> None:
        with wave.open(str(exports[".wav"].path)) as file:
            assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (2, 2, 48_000)
            samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        assert len(samples) / 2 / 48_000 == pytest.approx(1.25, abs=0.05)
        assert np.abs(samples).max() == pytest.approx(2**14, rel=0.1)

    def test_another_width_keeps_the_proportions_and_is_told(
        self, exports: dict[str, Exported], library: Library
    ) -> None:
        asset = exports["-smaller.mp4"].asset
        assert (asset.width, asset.height) == (320, 240)
        actions = actions_of(library.read(exports["-smaller.mp4"]))
        assert "c2pa.resized.proportional" in [action["action"] for action in actions]

    def test_another_frame_rate_keeps_the_length(self, exports: dict[str, Exported]) -> None:
        asset = exports["-slower.mp4"].asset
        assert (asset.num_frames, asset.frame_rate) == (15, Fraction(12))

    def test_a_clip_at_another_frame_rate_is_not_called_cut(
        self, exports: dict[str, Exported], library: Library
    ) -> None:
        reading = library.read(exports["-slower.mp4"])
        assert [action["action"] for action in actions_of(reading)[:2]] == ["c2pa.opened", "c2pa.transcoded"]
        assert actions_of(reading)[1]["description"] == "the frame rate was changed"
        assert (reading.generation or {})["origin"] == "converted"

    @pytest.mark.parametrize("suffix", ["-part.gif", "-part.webp"])
    def test_a_part_as_an_animated_picture_is_called_cut_and_converted(
        self, suffix: str, exports: dict[str, Exported], library: Library
    ) -> None:
        told = [action["action"] for action in actions_of(library.read(exports[suffix]))]
        assert told[:3] == ["c2pa.opened", "c2pa.trimmed", "c2pa.converted"]

    def test_a_part_that_is_the_whole_is_not_called_cut(self, exports: dict[str, Exported], library: Library) -> None:
        told = [action["action"] for action in actions_of(library.read(exports["-whole.mov"]))]
        assert "c2pa.trimmed" not in told


class TestTheFamily:
    def test_a_mark_belongs_to_the_clip_it_was_made_for(
        self, exports: dict[str, Exported], library: Library, clip: Asset
    ) -> None:
        store = library.studio.store
        assert clip.watermark_id is not None
        original = store.asset_with_watermark(clip.watermark_id)
        assert original is not None
        assert original.id == clip.id
        family = {asset.id for asset in store.assets_with_watermark(clip.watermark_id)}
        assert family == {clip.id} | {item.asset.id for item in exports.values() if item.asset.watermark_id is not None}
        assert exports[".mov"].asset.id in family

    def test_a_derived_file_is_recognised_as_itself(self, exports: dict[str, Exported], library: Library) -> None:
        for suffix in (".mov", ".gif", ".png"):
            verification = library.studio.verify(exports[suffix].path)
            assert verification.c2pa.state == "trusted", suffix
            assert verification.asset is not None
            assert verification.asset.id == exports[suffix].asset.id

    def test_no_time_of_a_derived_file_spoils_the_estimates(
        self, exports: dict[str, Exported], library: Library
    ) -> None:
        assert exports
        assert len(library.studio.store.timings("selftest")) == 1

    def test_a_copy_of_another_format_is_made_from_the_clip_itself(
        self, exports: dict[str, Exported], library: Library, clip: Asset, name: Name
    ) -> None:
        with pytest.raises(UnsupportedValue, match=clip.id):
            library.export(exports[".gif"].asset, name(".mp4"))

    def test_a_clip_that_was_altered_on_the_disk_is_not_passed_on(self, library: Library, name: Name) -> None:
        asset = library.seal(FrameClip(frames=pan(6), frame_rate=Fraction(8)))
        content = bytearray(asset.path.read_bytes())
        content[-20] ^= 1
        asset.path.write_bytes(content)
        for suffix in (".mp4", ".gif", ".png"):
            with pytest.raises(VerificationFailed, match="changed after it was sealed"):
                library.export(asset, name(suffix))
        assert library.studio.store.children(asset.id) == []


class TestOddClips:
    @pytest.mark.parametrize("suffix", [".mp4", ".mov", ".webm", ".gif", ".webp", ".png", ".jpg"])
    def test_one_frame_of_odd_size(self, suffix: str, library: Library, name: Name) -> None:
        asset = library.seal(FrameClip(frames=pan(1, 131, 97), frame_rate=Fraction(60)))
        assert (asset.width, asset.height, asset.num_frames) == (132, 98, 1)
        exported = library.export(asset, name(suffix))
        assert library.read(exported).state == "trusted"
        assert exported.asset.num_frames == 1

    def test_a_clip_of_60_frames_a_second_becomes_a_gif_that_players_can_follow(
        self, library: Library, name: Name
    ) -> None:
        asset = library.seal(FrameClip(frames=pan(20), frame_rate=Fraction(60)))
        exported = library.export(asset, name(".gif"))
        assert (exported.asset.frame_rate, exported.asset.num_frames) == (Fraction(30), 10)
        assert any("30 frames per second" in note for note in exported.notes)

    def test_a_mark_that_was_lost_is_a_warning_and_no_claim(self, library: Library, name: Name) -> None:
        asset = library.seal(FrameClip(frames=pan(12, 384, 288), frame_rate=Fraction(12), audio=tone(1)))
        exported = library.export(asset, name(".jpg"), width=24)
        assert exported.asset.watermark_id is None
        assert any("mark can no longer be read" in note for note in exported.notes)
        manifest = library.read(exported).manifest or {}
        assert "c2pa.soft-binding" not in [item["label"] for item in manifest["assertions"]]
