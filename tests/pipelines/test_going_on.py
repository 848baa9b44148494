"""Clips that go on from the last frames of a video: what of them stays as it was, and the whole of `Studio.extend`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipelines.source_video import end_of_source
from studio.app import Studio
from studio.catalog.loader import load_catalog
from studio.errors import UnsupportedValue
from studio.extending.part import part_rule
from studio.extending.wish import ExtendWish
from studio.generator import Generator
from studio.media import iter_frames
from studio.registry import Registry
from studio.request import Conditioning, GenerationRequest, ResolvedRequest, Role
from tests.pipelines.checkpoints.ltx import SETTINGS, SIZES, save_early_ltx, save_ltx
from tests.pipelines.checkpoints.skyreels import save_skyreels
from tests.pipelines.checkpoints.wan import SETTINGS as WAN_SETTINGS
from tests.pipelines.conftest import RecordingRun
from tests.studio.media_files import pan, write_mp4

pytestmark = pytest.mark.filterwarnings("ignore")

Make = Callable[..., Generator]
ROWS = ["ltx-video-0.9.5", "ltx-video-0.9.8-13b-distilled", "skyreels-v2-df-1.3b-540p"]


@pytest.fixture
def video(tmp_path: Path) -> Conditioning:
    """Thirty frames of 64x32 at 24 frames per second."""
    return Conditioning(role=Role.SOURCE_VIDEO, path=write_mp4(tmp_path / "video.mp4", pan(30, 64, 32)))


@pytest.fixture
def ltx(tmp_path: Path, generator_of: Make) -> Generator:
    """A checkpoint whose decoder lays no noise on the latents, so that they can be looked at."""
    return generator_of("ltx-video-0.9.5", save_early_ltx(tmp_path / "weights"), parameters=SIZES, settings=SETTINGS)


def generator_for(row: str, folder: Path, generator_of: Make) -> Generator:
    if row.startswith("ltx"):
        more = {"num_inference_steps": {"min": 2, "max": 4, "default": 3}}
        return generator_of(row, save_ltx(folder), parameters=SIZES | more, settings=SETTINGS)
    frames = {"num_frames": {"min": 1, "max": 25, "default": 13, "step": 4, "offset": 1}}
    return generator_of(row, save_skyreels(folder, is_forcing=True), parameters=frames, settings=WAN_SETTINGS)


def resolved_for(generator: Generator, video: Conditioning, *, overlap: int, **fields: Any) -> ResolvedRequest:
    options = {"overlap": overlap, **fields.pop("options", {})}
    wish = {"prompt": "a red circle", "seed": 5, "width": 64, "height": 32, "num_frames": 25, "num_inference_steps": 3}
    return generator.resolve(
        GenerationRequest(model=generator.spec.id, conditionings=(video,), options=options, **wish | fields)
    )


def test_the_latents_of_the_given_frames_stay_as_they_are(ltx: Any, video: Conditioning, tmp_path: Path) -> None:
    """The clip's latents begin with a draw from the encoder's distribution for them; K = 8k + 1 make k + 1."""
    resolved = resolved_for(ltx, video, overlap=17, options={"image_cond_noise_scale": 0.0})
    with ltx.session(), torch.inference_mode():
        pipeline = ltx._pipeline
        rng = torch.Generator().manual_seed(5)
        latents = ltx._sample(pipeline, resolved, ltx._encode(pipeline, resolved), rng, lambda *_: {})
        again = torch.Generator().manual_seed(5)
        torch.randn(latents.shape, generator=again)
        frames = pipeline.video_processor.preprocess_video(end_of_source(resolved, 17), 32, 64)
        wanted = pipeline.vae.encode(frames).latent_dist.sample(again)
    assert latents.shape[2] == 4
    torch.testing.assert_close(latents[:, :, :3], wanted, rtol=1e-5, atol=1e-5)


def test_the_clip_begins_with_the_given_frames_as_far_as_the_decoder_sees_them_alone(
    ltx: Generator, video: Conditioning, run: RecordingRun
) -> None:
    """The decoder looks ahead as well: with what is behind them the given frames change too, but less."""
    still = {"image_cond_noise_scale": 0.0}
    requests = [
        resolved_for(ltx, video, overlap=17, prompt=text, options=still) for text in ("a red circle", "a square")
    ]
    with ltx.session():
        one, other = (ltx.generate(request, run).frames.astype(int) for request in requests)
    changes = np.abs(one - other).mean(axis=(1, 2, 3))
    assert changes[:9].max() < changes[17:].min()
    assert changes[17:].min() > 0


@pytest.mark.parametrize(("row", "overlap", "windows"), [(ROWS[0], 9, 2), (ROWS[2], 13, 1)])
def test_an_extended_clip_goes_on_from_its_last_frames(
    row: str, overlap: int, windows: int, tmp_path: Path, generator_of: Make, studio: Studio
) -> None:
    """Without a word about the overlap it is the row's, or as much as fits into a window of 17 frames."""
    generator = generator_for(row, tmp_path / "weights", generator_of)
    given = watched(generator)
    studio.__dict__["registry"] = rows = Registry(studio.registry.catalog, studio.settings)
    rows._generators[row] = generator
    clip = studio.generate(GenerationRequest(
        model=row, prompt="a red circle", seed=1, width=64, height=32, num_frames=25, num_inference_steps=3,
    )).asset  # fmt: skip
    outcome, extension = studio.extend(ExtendWish(
        clip=clip.id, windows=windows, seed=7, num_frames=17, num_inference_steps=3, keeps_windows=True,
    ))  # fmt: skip
    asset, seams = outcome.asset, [25, 25 + 17 - overlap][:windows]
    assert (asset.num_frames, asset.model) == (25 + windows * (17 - overlap), row)
    assert outcome.verification.c2pa.state == "trusted"
    assert asset.request["extension"]["overlap"] == overlap
    assert [drift.seam_frame for drift in extension.drift] == seams
    assert asset.request["extension"]["drift"] == [drift.as_json() for drift in extension.drift]
    before = clip
    for window, part in zip(extension.windows, given, strict=True):
        assert window.asset.num_frames == 17
        assert [item["role"] for item in window.asset.request["conditionings"]] == ["source-video"]
        assert window.asset.request["options"]["overlap"] == overlap
        assert window.asset.request["warnings"] == []
        assert places_of(part, stored(before.path)) == list(range(before.num_frames - overlap, before.num_frames))
        before = window.asset


def watched(generator: Any) -> list[np.ndarray]:
    """Return a list that gets the frames of each source video that the generator is given."""
    seen: list[np.ndarray] = []
    sample = generator._sample

    def watching(pipeline: Any, resolved: ResolvedRequest, *given: Any) -> Any:
        source = resolved.conditioning(Role.SOURCE_VIDEO)
        seen.extend([] if source is None else [stored(source.path)])
        return sample(pipeline, resolved, *given)

    generator._sample = watching
    return seen


def stored(path: Path) -> np.ndarray:
    return np.stack([frame.image for frame in iter_frames(path)]).astype(int)


def places_of(part: np.ndarray, whole: np.ndarray) -> list[int]:
    """Return which frame of the whole each frame of a part is; both were encoded, so they are only nearest."""
    return [int(np.abs(whole - frame).mean(axis=(1, 2, 3)).argmin()) for frame in part]


def test_a_distilled_checkpoint_goes_on_by_its_own_timesteps(
    tmp_path: Path, generator_of: Make, video: Conditioning
) -> None:
    generator: Any = generator_for(ROWS[1], tmp_path / "weights", generator_of)
    generator.spec.settings["timesteps"] = [1000, 900, 400.5]
    resolved, seen = resolved_for(generator, video, overlap=9), []

    def on_step(_pipeline: Any, _index: int, timestep: Any, _tensors: dict[str, Any]) -> dict[str, Any]:
        seen.append(float(timestep))
        return {}

    with generator.session(), torch.inference_mode():
        pipeline = generator._pipeline
        embeddings = generator._encode(pipeline, resolved)
        latents = generator._sample(pipeline, resolved, embeddings, torch.Generator().manual_seed(1), on_step)
    assert seen == [1000, 900, 400.5]
    assert latents.shape[2] == 4


def test_a_source_means_what_the_request_says(ltx: Generator, video: Conditioning) -> None:
    whole, end = (resolved_for(ltx, video, overlap=number) for number in (0, 9))
    assert "made from its first" in whole.warnings[0]
    assert "begins with its last 0.375 s" in end.warnings[0]
    short = replace(video, path=write_mp4(video.path.parent / "short.mp4", pan(9, 64, 32)))
    assert resolved_for(ltx, short, overlap=9).warnings == ()
    with pytest.raises(UnsupportedValue, match="ends before the clip does"):
        resolved_for(ltx, short, overlap=0)


@pytest.mark.parametrize(
    ("overlap", "words"),
    [
        (8, r"option overlap: .* got 8; allowed: 9 to 129 in steps of 8 \(8k\+1\)"),
        (25, "less than the clip's 25 frames"),
    ],
)
def test_a_part_that_the_model_cannot_begin_with_is_refused(
    ltx: Generator, video: Conditioning, overlap: int, words: str
) -> None:
    with pytest.raises(UnsupportedValue, match=words):
        resolved_for(ltx, video, overlap=overlap)


def test_blocks_have_to_fill_the_part(tmp_path: Path, generator_of: Make, video: Conditioning) -> None:
    generator = generator_for("skyreels-v2-df-1.3b-540p", tmp_path / "weights", generator_of)
    with pytest.raises(UnsupportedValue, match=r"do not fill the part .* a divisor of 3"):
        resolved_for(generator, video, overlap=9, num_frames=13, options={"causal_block_size": 2})


def test_an_overlap_is_said_by_its_own_argument(studio: Studio) -> None:
    clip = studio.generate(GenerationRequest(model="scripted-moving", prompt="a square", seed=1)).asset
    with pytest.raises(UnsupportedValue, match="say it with --overlap"):
        studio.extend(ExtendWish(clip=clip.id, model="ltx-video-0.9.5", options={"overlap": 9}))


def test_every_row_that_takes_a_part_makes_sense() -> None:
    rules = {spec.id: part_rule(spec) for spec in load_catalog() if "continues" in spec.settings}
    assert set(ROWS) <= set(rules)
    assert all(rule is not None and rule.option is not None for rule in rules.values())
