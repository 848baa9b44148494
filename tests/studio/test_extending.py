"""A clip is made longer: by windows that are jobs, joined and sealed as one, with its drift on record."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from studio.app import Studio
from studio.catalog.loader import load_catalog
from studio.config import Settings
from studio.consistency.policy import ChecksFailed, Policy
from studio.errors import EnvironmentFault, GenerationFailed, RequestError, UnreadableMedia, UnsupportedValue
from studio.extending import extender, joining
from studio.extending.finishing import Finisher
from studio.extending.joining import Join, joined_frames
from studio.extending.wish import ExtendWish
from studio.generator import RunContext
from studio.jobs.budget import OverBudget
from studio.jobs.quarantine import InWork
from studio.jobs.states import JobState
from studio.library.asset import Asset
from studio.library.store import UnknownAsset
from studio.media import Audio, FrameClip, Image, iter_frames, probe_video, read_image
from studio.people.account import Role as AccountRole
from studio.provenance.inspect import C2paReading
from studio.recipe import recipe_of
from studio.registry import Registry
from studio.request import GenerationRequest, ResolvedRequest, Role
from studio.spending.money import Money
from tests.fakes import ROW, ScriptedGenerator, write_scripted_rows
from tests.studio.media_files import pan, tone, write_mp4

SIZE = {"width": 96, "height": 96}
_CONTINUES = 'continues = { role = "source-video", frames = { min = 5, max = 9, default = 5, step = 4, offset = 1 } }'


class GoingOn(ScriptedGenerator):
    """Scrolls what it is given by two pixels a frame. Row settings: lift, levels added to all frames but the first;
    fails_at, the number of the call that fails."""

    made: int = 0

    def generate(self, resolved: ResolvedRequest, run: RunContext) -> FrameClip:
        type(self).made += 1
        if type(self).made == self.spec.settings.get("fails_at"):
            raise GenerationFailed("the script says so")
        run.progress(1, 1)
        given = self._given(resolved)
        frames = given + [np.roll(given[-1], -2 * step, axis=1) for step in range(1, resolved.num_frames)]
        lift = self.spec.settings.get("lift", 0)
        lifted = [np.clip(frame.astype(int) + lift, 0, 255).astype(np.uint8) for frame in frames[1:]]
        return FrameClip(frames=np.stack([frames[0], *lifted])[: resolved.num_frames], frame_rate=resolved.frame_rate)

    def _given(self, resolved: ResolvedRequest) -> list[Image]:
        picture, video = (resolved.conditioning(role) for role in (Role.FIRST_FRAME, Role.SOURCE_VIDEO))
        if picture is not None:
            return [read_image(picture.path)]
        assert video is not None
        return [timed.image for timed in iter_frames(video.path)]


def write_row(folder: Path, model: str, *settings: str, tasks: str = '"image-to-video"') -> None:
    row = ROW.format(id=model, script="moving").replace("tests.fakes:ScriptedGenerator", f"{__name__}:GoingOn")
    row = row.replace('"text-to-video", "image-to-video"', tasks)
    row = row.replace('script = "moving"', ", ".join(('script = "moving"', *settings)))
    (folder / f"{model}.toml").write_text(row)


@pytest.fixture
def studio(settings: Settings, tmp_path: Path) -> Any:
    rows = write_scripted_rows(tmp_path / "rows")
    write_row(rows, "steady")
    write_row(rows, "brightening", "lift = 12")
    write_row(rows, "faltering", "fails_at = 2")
    write_row(rows, "overlapping", _CONTINUES, tasks='"image-to-video", "video-to-video"')
    write_row(rows, "dear", "price = 2.0")
    write_row(rows, "broken", "continues = { role = 'source-video', frames = 5 }")
    GoingOn.made = 0
    studio = Studio(settings)
    studio.__dict__["registry"] = Registry(load_catalog((rows,)), settings)
    yield studio
    studio.store.close()


@pytest.fixture
def clip(studio: Studio) -> Asset:
    """Nine frames of 96x96 pixels."""
    return sealed(studio)


def sealed(studio: Studio, **fields: Any) -> Asset:
    request = GenerationRequest(**{"model": "scripted-moving", "seed": 3, "prompt": "a square", **SIZE, **fields})
    return studio.generate(request).asset


def extend(studio: Studio, clip: str, model: str | None = "steady", **fields: Any) -> Any:
    return studio.extend(ExtendWish(clip=clip, model=model, **fields))


def generation_of(studio: Studio, asset: Asset) -> dict[str, Any]:
    return studio.verify(asset.path).c2pa.generation or {}


def test_the_longer_clip_is_sealed_and_tells_what_it_was_made_of(studio: Studio, clip: Asset) -> None:
    outcome, extension = extend(studio, clip.id, windows=2, seed=7)
    asset = outcome.asset
    assert (asset.num_frames, asset.width, asset.height, asset.frame_rate) == (9 + 8 + 8, 96, 96, 8)
    assert len(list(iter_frames(asset.path))) == 25
    assert outcome.verification.c2pa.state == "trusted"
    assert asset.watermark_id is not None

    ingredients = outcome.verification.c2pa.ingredients
    assert [item.relationship for item in ingredients] == ["componentOf"] * 3
    assert [item.state for item in ingredients] == ["trusted"] * 3
    assert ingredients[0].title == clip.path.name
    assert ingredients[1].ingredients[0].ingredients[0].title == clip.path.name  # window <- its first frame <- clip

    told = generation_of(studio, asset)
    assert told["origin"] == "timeline"
    assert told["inputs"][0] == {"role": "clip", "sha256": clip.sha256}
    assert any("frames 9 to 24 come from 2 windows" in words for words in told["warnings"])
    assert asset.parent_id == clip.id
    assert asset.request["extension"]["drift"] == [drift.as_json() for drift in extension.drift]
    assert [drift.seam_frame for drift in extension.drift] == [9, 17]
    assert not any("exposure" in drift.flagged or "colour" in drift.flagged for drift in extension.drift)

    generator = studio.registry.generator("steady")
    assert isinstance(generator, GoingOn)
    assert generator.sessions == 1  # the weights stayed loaded from one window to the next
    assert {item.id for item in studio.store.assets()} == {clip.id, asset.id}
    assert {job.state for job in studio.store.jobs()} == {JobState.SUCCEEDED}
    assert not list(studio.settings.quarantine_folder.rglob("*.*"))


def test_a_window_goes_on_from_the_last_frame_and_does_not_repeat_it(studio: Studio, clip: Asset) -> None:
    outcome, _ = extend(studio, clip.id, keeps_windows=True)
    before = [timed.image.astype(int) for timed in iter_frames(clip.path)]
    after = [timed.image.astype(int) for timed in iter_frames(outcome.asset.path)]
    for old, new in zip(before, after[:9], strict=True):
        assert np.abs(old - new).mean() < 3
    moves = [np.abs(np.roll(one, -2, axis=1) - two).mean() for one, two in pairwise(after[8:])]
    assert max(moves) < 5  # each new frame is the one before, two pixels on: the ninth is not shown twice


def test_a_model_that_drifts_is_found_out(studio: Studio, clip: Asset) -> None:
    outcome, extension = extend(studio, clip.id, "brightening", windows=2, seed=1)
    first, second = extension.drift
    assert first.exposure == pytest.approx(12, abs=3)
    assert second.exposure == pytest.approx(24, abs=5)
    assert "exposure" in first.flagged
    assert any("levels lighter than the clip" in note for note in outcome.notices)
    assert any("levels lighter than the clip" in words for words in generation_of(studio, outcome.asset)["warnings"])


def test_windows_that_are_finished_are_not_made_again(studio: Studio, clip: Asset) -> None:
    with pytest.raises(GenerationFailed):
        extend(studio, clip.id, "faltering", windows=2)
    first = next(asset for asset in studio.store.assets() if asset.kind == "video" and asset.id != clip.id)
    told: list[str] = []
    _, extension = studio.extend(ExtendWish(clip=clip.id, model="faltering", windows=2), warn=told.append)
    assert GoingOn.made == 3  # the first, the one that failed, the second
    assert extension.windows[0].asset.id == first.id
    assert extension.asset.seed == first.seed  # which was drawn by the first call
    assert any("goes on from there" in text for text in told)


def test_windows_are_somebodys_while_they_are_made_and_after_one_failed(studio: Studio, clip: Asset) -> None:
    for name in ("anna", "berta"):
        studio.people.add(name, "tulip engine waltz", AccountRole.CREATOR)
    with pytest.raises(GenerationFailed):
        extend(studio, clip.id, "faltering", windows=2, owner="anna")
    windows = [job for job in studio.desk.jobs() if (job.client_key or "").startswith("extend:")]
    assert {job.state for job in windows} == {JobState.SUCCEEDED, JobState.FAILED}
    assert {studio.people.owner(job.id) for job in windows} == {"anna"}
    longer, _ = extend(studio, clip.id, "faltering", windows=2, keeps_windows=True, owner="berta")
    assert studio.people.owner(longer.asset.id) == "berta"
    assert {studio.people.owner(job.id) for job in windows} == {"anna"}


def test_a_joined_clip_that_waits_is_sealed_without_being_joined_again(
    studio: Studio, clip: Asset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Finisher, "seal", dies)
        with pytest.raises(KeyboardInterrupt):
            extend(studio, clip.id)
    monkeypatch.setattr(extender, "join", dies)
    outcome, extension = extend(studio, clip.id)
    assert GoingOn.made == 1
    assert outcome.asset.num_frames == 17
    assert len(extension.drift) == 1


def test_a_policy_holds_the_whole_clip_and_not_its_windows(studio: Studio) -> None:
    flagged = sealed(studio, model="scripted-unlucky", seed=2, width=160, height=128)  # one frame of it is black
    with pytest.raises(ChecksFailed):
        extend(studio, flagged.id, on_fail=Policy.parse("hold"))
    held = studio.store.jobs(JobState.HELD)
    assert [row.request["num_frames"] for row in held] == [17]
    with pytest.raises(Exception, match="held for review"):
        extend(studio, flagged.id, on_fail=Policy.parse("hold"))
    asset = studio.release(held[0].id)
    assert asset.num_frames == 17
    assert asset.request["extension"]["drift"]
    assert GoingOn.made == 1
    with pytest.raises(RequestError, match="made out of another one by making it longer"):
        recipe_of(C2paReading(state="absent"), asset)


def test_a_model_that_takes_a_part_overlaps_with_the_clip(studio: Studio, clip: Asset) -> None:
    outcome, extension = extend(studio, clip.id, "overlapping", windows=2, keeps_windows=True)
    assert outcome.asset.num_frames == 9 + 4 + 4
    assert [window.first_frame for window in extension.windows] == [9, 13]
    window = extension.windows[0].asset
    assert window.request["conditionings"][0]["role"] == "source-video"
    assert outcome.asset.request["extension"]["overlap"] == 5
    assert not any("seam_jump" in drift.flagged for drift in extension.drift)
    assert studio.store.has_asset(window.id)


def test_the_finished_clip_has_the_length_that_was_asked_for(studio: Studio, clip: Asset) -> None:
    outcome, extension = extend(studio, clip.id, duration_seconds=Fraction(5, 2))
    assert outcome.asset.num_frames == 20
    assert [window.num_frames for window in extension.windows] == [8, 3]


def test_a_file_from_elsewhere_is_an_ingredient_by_its_role(studio: Studio, tmp_path: Path) -> None:
    path = write_mp4(tmp_path / "private name.mp4", pan(9, 96, 96), Fraction(8), audio=tone(9 / 8))
    outcome, extension = extend(studio, str(path))
    assert outcome.asset.num_frames == 17
    assert (extension.parent_id, outcome.asset.parent_id) == (None, None)
    assert outcome.verification.c2pa.ingredients[0].title == "clip.mp4"
    assert probe_video(outcome.asset.path).has_audio
    with pytest.raises(RequestError, match="made out of another"):
        studio.recipe(outcome.asset.path)
    with pytest.raises(UnsupportedValue, match="clips of the library alone"):
        extend(studio, str(path), "overlapping", overlap=5)


def test_a_copy_of_an_asset_is_that_asset(studio: Studio, clip: Asset, tmp_path: Path) -> None:
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(clip.path.read_bytes())
    _, extension = extend(studio, str(copy))
    assert extension.parent_id == clip.id


REFUSED = {
    "windows": ({"windows": 0}, "windows: out of range; got 0; allowed: 1 to 32"),
    "too many": ({"windows": 1000}, "allowed: 1 to 32"),
    "two lengths": ({"windows": 2, "duration_seconds": Fraction(3)}, "leave one out"),
    "absurd": ({"duration_seconds": Fraction(99999)}, "up to 33.12 s (32 windows of 8 new frames)"),
    "too short": ({"duration_seconds": Fraction(1)}, "more than the 1.125 s it has"),
    "overlap": ({"overlap": 3}, "overlap: steady does not go on from so many frames; got 3; allowed: 1"),
    "no overlap": ({"overlap": 0}, "allowed: 1 or more"),
    "part": ({"model": "overlapping", "overlap": 6}, "allowed: 1 or 5 to 9 in steps of 4 (4k+1)"),
    "model": ({"model": "nobody"}, "no such model"),
    "size": ({"model": "micro-svd"}, "got 96x96; allowed: width 128 only, height 128 only"),
    "text alone": ({"model": "wan2.1-t2v-1.3b"}, "it makes no clip from a picture"),
    "option": ({"options": {"shade": 99}}, "option shade"),
    "frames": ({"num_frames": 6}, "num_frames"),
}


def test_what_cannot_be_is_refused_before_any_work(studio: Studio, clip: Asset) -> None:
    for name, (fields, words) in REFUSED.items():
        with pytest.raises(RequestError) as caught:
            studio.extend(ExtendWish(**{"clip": clip.id, "model": "steady", **fields}))
        assert words in caught.value.sentence(), name
    with pytest.raises(OverBudget, match=r"4\.00 USD or more for 2 windows"):
        extend(studio, clip.id, "dear", windows=2, max_cost=Money.parse("3 USD"))
    assert GoingOn.made == 0
    assert [asset.id for asset in studio.store.assets()] == [clip.id]
    assert not [path for path in studio.settings.quarantine_folder.glob("*") if path.is_dir()]


def test_what_is_no_clip_is_refused(studio: Studio, clip: Asset, tmp_path: Path) -> None:
    (tmp_path / "zero.mp4").touch()
    (tmp_path / "words.mp4").write_text("not a video at all")
    PIL.Image.new("RGB", (96, 96)).save(tmp_path / "picture.png")
    still = studio.export(clip.id, tmp_path / "still.png").asset
    webm = studio.export(clip.id, tmp_path / "clip.webm").asset
    for got, kind, words in (
        ("20200101-000000-ffffffff", UnknownAsset, "no such asset in the library, and no such file"),
        ("", UnknownAsset, "an empty id"),
        (str(tmp_path / "gone.mp4"), UnreadableMedia, "there is no such file"),
        (str(tmp_path / "zero.mp4"), UnreadableMedia, "0 bytes"),
        (str(tmp_path / "words.mp4"), UnreadableMedia, "words.mp4"),
        (str(tmp_path), UnreadableMedia, "this is a folder"),
        (str(tmp_path / "picture.png"), UnreadableMedia, "this is a picture"),
        (still.id, UnreadableMedia, "this is a picture"),
        (webm.id, UnsupportedValue, f"extend asset {clip.id}"),
    ):
        with pytest.raises(kind) as caught:
            extend(studio, got)
        assert words in caught.value.sentence(), got


def test_a_model_is_named_where_the_clip_s_own_cannot_go_on(studio: Studio, clip: Asset) -> None:
    other = sealed(studio, model="scripted-frozen", prompt="")
    with pytest.raises(UnsupportedValue, match="add --model"):
        extend(studio, str(write_mp4(studio.settings.home.parent / "x.mp4", pan(9, 96, 96))), None)
    outcome, _ = extend(studio, other.id, None)
    assert outcome.asset.model == "scripted-frozen"
    assert clip.prompt == "a square"


def test_only_one_process_works_on_an_extension(studio: Studio, clip: Asset) -> None:
    digest = ExtendWish(clip=clip.id, model="steady").digest(clip.sha256, "steady")
    with studio.quarantine.lock(f"extend-{digest}"), pytest.raises(InWork):
        extend(studio, clip.id)
    assert GoingOn.made == 0


def test_a_row_that_makes_no_sense_is_the_catalogs_fault(studio: Studio, clip: Asset) -> None:
    with pytest.raises(EnvironmentFault, match=r"settings\.continues"):
        extend(studio, clip.id, "broken")


# -- joining ------------------------------------------------------------------------------------------------------


def write_shades(path: Path, shades: list[int]) -> Path:
    """Write gray frames into a file that holds them bit for bit; a corner keeps it from merging equal ones."""
    frames = [PIL.Image.new("RGB", (16, 16), (shade, shade, shade)) for shade in shades]
    for index, frame in enumerate(frames):
        frame.putpixel((15, 15), (index, 255 * (index % 2), 0))
    frames[0].save(path, save_all=True, append_images=frames[1:], lossless=True, duration=125, minimize_size=False)
    return path


def shades_of(tmp_path: Path, overlap: int, *pieces: list[int], most_frames: int | None = None) -> list[int]:
    paths = tuple(write_shades(tmp_path / f"{number}.webp", piece) for number, piece in enumerate(pieces))
    counts = tuple(len(piece) for piece in pieces)
    plan = Join(pieces=paths, counts=counts, width=16, height=16, frame_rate=Fraction(8), overlap=overlap,
                most_frames=most_frames)  # fmt: skip
    found = [int(image[0, 0, 0]) for image in joined_frames(plan)]
    assert len(found) >= plan.num_frames
    return found[: plan.num_frames]


def test_of_one_overlapping_frame_the_clips_own_stays(tmp_path: Path) -> None:
    assert shades_of(tmp_path, 1, [10, 20, 30], [90, 40, 50], [91, 60]) == [10, 20, 30, 40, 50, 60]


def test_more_overlapping_frames_are_blended_over(tmp_path: Path) -> None:
    found = shades_of(tmp_path, 3, [0, 1, 100, 100, 100], [200, 200, 200, 201, 202])
    assert found == [0, 1, 125, 150, 175, 201, 202]


def test_a_window_may_be_blended_over_into_the_next(tmp_path: Path) -> None:
    found = shades_of(tmp_path, 3, [0, 40, 40, 40], [40, 40, 40, 80], [40, 40, 80, 81, 82], most_frames=6)
    assert found == [0, 40, 40, 40, 80, 81]


def test_sound_goes_where_its_pictures_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clip of 8 frames, a window of 5 without sound, one of 5 with it: one frame of each window overlaps."""
    tracks = {"clip": tone(1.0), "silent": None, "loud": tone(5 / 8)}
    monkeypatch.setattr(joining, "read_audio", lambda path: tracks[path.name])
    plan = Join(pieces=tuple(map(Path, tracks)), counts=(8, 5, 5), width=16, height=16, frame_rate=Fraction(8),
                overlap=1, most_frames=None)  # fmt: skip
    sound, notes = joining._sound(plan)
    assert sound is not None
    assert notes == ()
    assert sound.duration_seconds == Fraction(16, 8)
    loud = [float(np.abs(part).max()) > 0.01 for part in np.array_split(sound.samples, 4)]
    assert loud == [True, True, False, True]
    loud_track, whole = tracks["loud"], sound.samples
    assert loud_track is not None
    np.testing.assert_array_equal(whole[-24_000:], loud_track.samples[6_000:30_000])


def test_sound_of_another_kind_is_left_out_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    tracks = {"clip": tone(1.0), "other": tone(1.0, sample_rate=16_000)}
    monkeypatch.setattr(joining, "read_audio", lambda path: tracks[path.name])
    plan = Join(pieces=tuple(map(Path, tracks)), counts=(8, 8), width=16, height=16, frame_rate=Fraction(8),
                overlap=1, most_frames=None)  # fmt: skip
    sound, notes = joining._sound(plan)
    assert isinstance(sound, Audio)
    assert not sound.samples[48_000:].any()
    assert "window 1" in notes[0]
    assert joining._sound(replace(plan, pieces=(Path("other"), Path("other"))))[1] == ()
