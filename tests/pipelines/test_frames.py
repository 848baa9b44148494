"""Decoded frames as they come: rounded, counted, refused where they are broken, on disk where they are many."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from pipelines import frames as module
from pipelines.frames import FILE_NAME, collect_frames, to_uint8
from studio.catalog.loader import load_catalog
from studio.errors import Canceled, DiskFull, GenerationFailed
from studio.request import GenerationRequest, ResolvedRequest
from studio.resolve import resolve
from tests.pipelines.conftest import RecordingRun

HEIGHT, WIDTH = 4, 6


@pytest.fixture
def resolved() -> ResolvedRequest:
    spec = load_catalog().get("micro-wan")
    found = resolve(spec, GenerationRequest(model="micro-wan", prompt="a red circle", seed=1))
    return replace(found, width=WIDTH, height=HEIGHT, num_frames=5)


def clip(num_frames: int = 5) -> torch.Tensor:
    return torch.rand(num_frames, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0)) * 2 - 1


def in_pieces(frames: torch.Tensor, sizes: Sequence[int]) -> Iterator[torch.Tensor]:
    assert sum(sizes) == len(frames)
    yield from frames.split(list(sizes))


@pytest.mark.parametrize("sizes", [[5], [1, 1, 1, 1, 1], [1, 4], [3, 2]])
def test_pieces_become_one_clip_as_diffusers_would_round_it(
    sizes: list[int], resolved: ResolvedRequest, run: RecordingRun
) -> None:
    from diffusers.image_processor import VaeImageProcessor

    found = collect_frames(in_pieces(clip(), sizes), resolved, run)
    stock = VaeImageProcessor().postprocess(clip(), output_type="np")
    assert found.shape == (5, HEIGHT, WIDTH, 3)
    np.testing.assert_array_equal(found, (stock * 255).round().astype(np.uint8))
    assert not (run.workdir / FILE_NAME).exists()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_halves_and_values_beyond_black_and_white_are_taken(
    dtype: torch.dtype, resolved: ResolvedRequest, run: RecordingRun
) -> None:
    frames = torch.full((5, 3, HEIGHT, WIDTH), 3.0, dtype=dtype)
    frames[1:] = -60_000.0
    found = collect_frames(iter([frames]), resolved, run)
    assert (found[0] == 255).all()
    assert (found[1:] == 0).all()


@pytest.mark.parametrize("sizes", [[5], [1, 4], [2, 2, 1]])
def test_a_large_clip_lies_in_a_file_of_the_job_and_is_the_same(
    sizes: list[int], resolved: ResolvedRequest, run: RecordingRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    num_bytes = 5 * HEIGHT * WIDTH * 3
    monkeypatch.setattr(module, "MOST_BYTES_IN_MEMORY", num_bytes)
    in_memory = collect_frames(in_pieces(clip(), sizes), resolved, run)
    assert not isinstance(in_memory, np.memmap)
    monkeypatch.setattr(module, "MOST_BYTES_IN_MEMORY", num_bytes - 1)
    on_disk = collect_frames(in_pieces(clip(), sizes), resolved, run)
    assert isinstance(on_disk, np.memmap)
    np.testing.assert_array_equal(on_disk, in_memory)
    on_disk.flush()
    assert (run.workdir / FILE_NAME).read_bytes() == in_memory.tobytes()


def test_what_an_earlier_run_left_in_the_file_is_no_part_of_the_clip(
    resolved: ResolvedRequest, run: RecordingRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_BYTES_IN_MEMORY", 0)
    (run.workdir / FILE_NAME).write_bytes(b"\xff" * 10_000)
    found = collect_frames(in_pieces(clip(), [5]), resolved, run)
    monkeypatch.setattr(module, "MOST_BYTES_IN_MEMORY", 1 << 30)
    np.testing.assert_array_equal(found, collect_frames(in_pieces(clip(), [5]), resolved, run))
    assert (run.workdir / FILE_NAME).stat().st_size == found.nbytes


def test_a_disk_without_room_for_a_large_clip_is_named_before_a_frame_is_decoded(
    resolved: ResolvedRequest, run: RecordingRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_BYTES_IN_MEMORY", 0)
    usage = shutil.disk_usage(run.workdir)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=100))
    decoded = Decoding(run, [5])
    with pytest.raises(DiskFull, match="no room for the clip's frames"):
        collect_frames(decoded, resolved, run)
    assert decoded.yielded == 0
    assert not (run.workdir / FILE_NAME).exists()


@pytest.mark.parametrize(
    "sizes", [[4], [2, 2], [6], [3, 3], [5, 1], [1, 4, 5], []], ids=lambda sizes: "+".join(map(str, sizes)) or "none"
)
def test_another_number_of_frames_is_refused(sizes: list[int], resolved: ResolvedRequest, run: RecordingRun) -> None:
    with pytest.raises(GenerationFailed, match="another shape than was asked for") as refusal:
        collect_frames(in_pieces(clip(sum(sizes)), sizes), resolved, run)
    assert refusal.value.allowed == f"5 frames of {WIDTH}x{HEIGHT}"


@pytest.mark.parametrize("shape", [(HEIGHT, WIDTH + 2), (HEIGHT - 2, WIDTH), (WIDTH, HEIGHT)])
def test_frames_of_another_size_are_refused(
    shape: tuple[int, int], resolved: ResolvedRequest, run: RecordingRun
) -> None:
    with pytest.raises(GenerationFailed, match="another shape"):
        collect_frames(iter([clip(2), torch.zeros(3, 3, *shape)]), resolved, run)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_value_that_is_not_finite_is_refused_wherever_it_stands(
    value: float, dtype: torch.dtype, resolved: ResolvedRequest, run: RecordingRun
) -> None:
    frames = clip().to(dtype)
    frames[3, 2, 1, 0] = value
    with pytest.raises(GenerationFailed, match="not finite") as refusal:
        collect_frames(in_pieces(frames, [2, 3]), resolved, run)
    assert refusal.value.fix


def test_infinities_of_both_signs_do_not_hide_each_other() -> None:
    with pytest.raises(GenerationFailed, match="not finite"):
        to_uint8(np.array([[[[np.inf, -np.inf, 0.0]]]], np.float32))


@dataclass
class Decoding:
    """An iterator of pieces that counts what it was asked for. Each piece is a step to the run."""

    run: RecordingRun
    sizes: list[int]
    yielded: int = 0

    def __iter__(self) -> Iterator[torch.Tensor]:
        return self

    def __next__(self) -> torch.Tensor:
        if self.yielded == len(self.sizes):
            raise StopIteration
        self.yielded += 1
        self.run.steps.append((self.yielded, len(self.sizes)))
        return clip(self.sizes[self.yielded - 1])


def test_a_cancel_is_heard_between_pieces(resolved: ResolvedRequest, run: RecordingRun) -> None:
    run.cancel_at = 2
    decoded = Decoding(run, [1, 1, 1, 1, 1])
    with pytest.raises(Canceled):
        collect_frames(decoded, resolved, run)
    assert decoded.yielded == 2


def test_a_clip_that_is_whole_is_not_thrown_away_by_a_late_cancel(resolved: ResolvedRequest, run: RecordingRun) -> None:
    run.cancel_at = 2
    assert len(collect_frames(Decoding(run, [1, 4]), resolved, run)) == 5
