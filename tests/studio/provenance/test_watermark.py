"""The mark cannot be seen, survives real H.264, and is never found where there is none."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from studio.provenance.watermark import WatermarkDetector, WatermarkEmbedder, WatermarkReading, random_payload
from tests.studio.provenance.conftest import Frame, decode, encode

KEY, WRONG_KEY = b"k" * 32, b"w" * 32
PAYLOAD = 0x0123456789ABCDEF
BLACK, WHITE, NAVY, GRAY, SAND = (0, 0, 0), (255, 255, 255), (20, 20, 60), (128, 128, 128), (230, 220, 190)


def drawn_clip(seed: int, background: tuple[int, int, int], size: int = 128, num_frames: int = 14) -> list[Frame]:
    """One coloured disc that moves over a flat background: the world of the micro models."""
    rng = np.random.default_rng(seed)
    color, radius = rng.integers(60, 256, 3), rng.uniform(size / 10, size / 4)
    start, velocity = rng.uniform(0.3 * size, 0.7 * size, 2), rng.uniform(-3, 3, 2)
    rows, columns = np.mgrid[0:size, 0:size]
    frames = []
    for index in range(num_frames):
        row, column = start + velocity * index
        cover = np.clip(radius - np.hypot(rows - row, columns - column) + 0.5, 0, 1)[..., None]
        frames.append(np.rint(np.array(background) * (1 - cover) + color * cover).astype(np.uint8))
    return frames


@cache
def textured_clip() -> tuple[Frame, ...]:
    """A 1024x576 pan over clouds of many scales, with some grain: no two places and no two frames are alike."""
    import cv2

    rng = np.random.default_rng(7)
    scene = np.zeros((640, 1152, 3), np.float32)
    for octave in range(2, 9):
        noise = rng.normal(0, 1, (640 >> octave, (1152 >> octave) + 1, 3)).astype(np.float32)
        scene += cv2.resize(noise, (1152, 640), interpolation=cv2.INTER_CUBIC) * 2.0**octave / 6
    scene = np.clip(scene + 120, 0, 255)
    frames = []
    for index in range(9):
        view = scene[4 * index : 4 * index + 576, 8 * index : 8 * index + 1024]
        frames.append(np.clip(view + rng.normal(0, 1, view.shape), 0, 255).astype(np.uint8))
    return tuple(frames)


def mark(frames: Sequence[Frame], *, key: bytes = KEY, payload: int = PAYLOAD, strength: float = 1.0) -> list[Frame]:
    height, width = frames[0].shape[:2]
    embedder = WatermarkEmbedder(key, payload, height, width, strength)
    return [embedder.apply(frame) for frame in frames]


def read(frames: Sequence[Frame], key: bytes = KEY) -> WatermarkReading:
    detector = WatermarkDetector(key)
    for frame in frames:
        detector.update(frame)
    return detector.finish()


def decibels(before: Sequence[Frame], after: Sequence[Frame]) -> float:
    """Return the peak signal-to-noise ratio of a whole clip."""
    error = np.mean((np.stack(before).astype(np.float32) - np.stack(after)) ** 2)
    return float(10 * np.log10(255**2 / error))


@pytest.fixture(scope="module")
def marked_texture() -> list[Frame]:
    return mark(textured_clip())


@pytest.mark.parametrize("background", [BLACK, WHITE, NAVY, GRAY, SAND])
def test_small_flat_clips_keep_the_mark_through_the_encoder(background: tuple[int, int, int], tmp_path: Path) -> None:
    for seed in range(3):
        clip = drawn_clip(seed, background)
        marked = mark(clip)
        reading = read(decode(encode(marked, tmp_path / "clip.mp4", crf=16)))
        assert reading.payload == PAYLOAD
        assert reading.detected
        assert reading.confidence > 0.75
        assert decibels(clip, marked) > 44


def test_a_clip_with_nothing_in_it_keeps_the_mark(tmp_path: Path) -> None:
    for level in (0, 255):
        clip = [np.full((128, 128, 3), level, np.uint8)] * 14
        assert read(decode(encode(mark(clip), tmp_path / "clip.mp4"))).payload == PAYLOAD


@pytest.mark.parametrize(
    ("crf", "filters"),
    [(16, "null"), (28, "null"), (23, "scale=512:288")],
    ids=["own quality", "crf 28", "half size"],
)
def test_a_large_clip_keeps_the_mark(marked_texture: list[Frame], crf: int, filters: str, tmp_path: Path) -> None:
    frames = decode(encode(marked_texture, tmp_path / "clip.mp4", crf=crf, filters=filters))
    assert read(frames).payload == PAYLOAD


@pytest.mark.parametrize(
    ("filters", "words"),
    [
        ("crop=iw*0.9:ih*0.9:iw*0.07:ih*0.02", "cut to 90% of its size"),
        ("crop=iw*0.75:ih*0.75", "cut to 75% of its size"),
        ("hflip", "mirrored"),
        ("scale=640:480", "stretched 0.75 times in width"),
        ("rotate=2*PI/180", "turned by 2.0 degrees"),
        ("scale=768:-2,pad=768:768:(ow-iw)/2:(oh-ih)/2", None),
        ("crop=iw*0.95:ih*0.95,scale=iw*0.75:ih*0.75,fps=24", "cut to 95% of its size"),
        ("drawbox=x=iw*0.58:y=ih*0.05:w=iw*0.39:h=ih*0.39:color=blue:t=fill", None),
    ],
)
def test_the_mark_is_found_again_in_a_changed_picture(
    marked_texture: list[Frame], filters: str, words: str | None, tmp_path: Path
) -> None:
    frames = decode(
        encode(marked_texture, tmp_path / "clip.mp4", crf=28, filters=f"{filters},pad=ceil(iw/2)*2:ceil(ih/2)*2")
    )
    detector = WatermarkDetector(KEY)
    for frame in frames:
        detector.update(frame)
    reading = detector.finish(search=True)
    assert reading.payload == PAYLOAD
    if words is not None:
        assert words in (reading.transform or "")


def test_a_mark_too_faint_to_be_read_is_recognised_among_known_ones(
    marked_texture: list[Frame], tmp_path: Path
) -> None:
    """Where the codec left half of it, knowing the library's marks is what tells whose it is."""
    frames = decode(encode(marked_texture[:4], tmp_path / "clip.mp4", crf=28))[:1]
    rng = np.random.default_rng(5)
    noisy = [np.clip(frame + rng.normal(0, 14, frame.shape), 0, 255).astype(np.uint8) for frame in frames]
    assert read(noisy).payload is None
    others = [int(item) for item in rng.integers(1, 2**63, 2000)]
    detector, stranger = WatermarkDetector(KEY, known=[*others, PAYLOAD]), WatermarkDetector(KEY, known=others)
    for frame in noisy:
        detector.update(frame)
        stranger.update(frame)
    reading = detector.finish()
    assert reading.payload == PAYLOAD
    assert reading.with_index
    assert not stranger.finish().detected


@pytest.mark.parametrize("background", [WHITE, NAVY, SAND])
def test_a_crop_of_a_small_clip_is_recognised_in_its_library(background: tuple[int, int, int], tmp_path: Path) -> None:
    """The library tells which marks there are, and on which sizes of clip."""
    sealed = decode(encode(mark(drawn_clip(3, background)), tmp_path / "sealed.mp4"))
    cut = decode(encode(sealed, tmp_path / "cut.mp4", crf=30, filters="crop=114:114"))
    library = WatermarkDetector(KEY, known=[7, PAYLOAD, 9], sizes=[(128, 128), (96, 96)])
    for frame in cut:
        library.update(frame)
    assert library.finish(search=True).payload == PAYLOAD


def test_a_short_mark_is_read_where_a_long_one_does_not_fit(tmp_path: Path) -> None:
    rng = np.random.default_rng(9)
    frame = np.clip(rng.normal(120, 20, (72, 72, 3)), 0, 255).astype(np.uint8)
    found = {}
    for bits in (64, 24):
        marked = WatermarkEmbedder(KEY, PAYLOAD % 2**bits, 72, 72, 1.6, bits=bits).apply(frame)
        found[bits] = read(decode(encode([marked], tmp_path / "clip.mp4")))
    assert not found[64].detected
    assert found[24].payload == PAYLOAD % 2**24
    assert found[24].identifier == "abcdef"
    assert len(found[24].identifier or "") == 6


def test_one_decoded_frame_of_a_large_clip_is_enough(marked_texture: list[Frame], tmp_path: Path) -> None:
    frames = decode(encode(marked_texture, tmp_path / "clip.mp4", crf=23))
    assert read(frames[4:5]).payload == PAYLOAD


def test_the_mark_is_faint(marked_texture: list[Frame]) -> None:
    assert decibels(textured_clip(), marked_texture) > 42
    assert np.abs(np.stack(marked_texture).astype(int) - np.stack(textured_clip())).max() <= 16


@pytest.mark.parametrize("shape", [(96, 160), (144, 176), (320, 192), (241, 321), (480, 854), (1280, 720)])
def test_any_shape_of_frame_will_do(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(3)
    frames = [np.clip(rng.normal(120, 6, (*shape, 3)), 0, 255).astype(np.uint8) for _ in range(4)]
    assert read(mark(frames)).payload == PAYLOAD


def test_a_frame_too_small_for_a_mark_is_left_readable() -> None:
    for shape in ((1, 1, 3), (8, 64, 3), (16, 16, 3)):
        frame = np.full(shape, 90, np.uint8)
        marked = mark([frame])
        assert marked[0].shape == shape
        assert read(marked).payload in (None, PAYLOAD)


def test_the_same_input_gives_the_same_mark_and_leaves_the_frame_alone() -> None:
    clip = drawn_clip(0, NAVY)
    before = np.stack(clip)
    first, second = mark(clip), mark(clip)
    assert np.array_equal(first, second)
    assert np.array_equal(np.stack(clip), before)
    assert not np.array_equal(first, mark(clip, payload=PAYLOAD + 1))
    assert not np.array_equal(first, mark(clip, key=WRONG_KEY))


def test_the_pattern_of_a_key_never_changes() -> None:
    """Files out there depend on it: a changed digest means a new ALGORITHM name."""
    from studio.provenance.watermark.codeword import FULL
    from studio.provenance.watermark.pattern import pattern_of

    pattern = pattern_of(KEY, FULL, "fine")
    assert pattern.order[:8].tolist() == [411, 157, 40, 197, 61, 101, 257, 229]
    assert pattern.signs[:8].tolist() == [1.0, 1.0, -1.0, 1.0, -1.0, -1.0, 1.0, 1.0]
    assert pattern.cycles[:3].tolist() == [[11, 3], [14, 8], [20, 8]]


def test_a_wrong_key_finds_nothing(marked_texture: list[Frame]) -> None:
    assert read(marked_texture, WRONG_KEY) == WatermarkReading(detected=False, payload=None, confidence=0.0)
    for seed in range(10):
        assert not read(mark(drawn_clip(seed, GRAY)), WRONG_KEY).detected


def test_unmarked_clips_hold_no_mark() -> None:
    rng = np.random.default_rng(11)
    backgrounds = (BLACK, WHITE, NAVY, GRAY, SAND)
    clips = [drawn_clip(seed, backgrounds[seed % 5], num_frames=5) for seed in range(30)]
    clips += [list(rng.integers(0, 256, (3, 128, 128, 3), np.uint8)) for _ in range(12)]
    clips += [list(textured_clip()), [np.zeros((128, 128, 3), np.uint8)]]
    assert not any(read(clip).detected for clip in clips)


def test_no_frames_hold_no_mark() -> None:
    assert not WatermarkDetector(KEY).finish().detected


def test_a_wrong_frame_is_refused() -> None:
    embedder = WatermarkEmbedder(KEY, PAYLOAD, 128, 128)
    with pytest.raises(ValueError, match="expected"):
        embedder.apply(np.zeros((128, 64, 3), np.uint8))


def test_identifiers_differ() -> None:
    assert len({random_payload() for _ in range(100)}) == 100


@pytest.mark.parametrize("shape", [(1, 30_000), (30_000, 1), (2, 9_000), (40, 900)])
def test_a_strip_is_no_clip_and_takes_no_memory(shape: tuple[int, int]) -> None:
    """Enlarged to the units of the mark, a line of 30,000 pixels would take many gigabytes."""
    import tracemalloc

    frame = np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)
    tracemalloc.start()
    detector = WatermarkDetector(KEY)
    detector.update(frame)
    assert not detector.finish(search=True).detected
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 64 * 2**20
