"""What all local generators share: placement, previews, and failures that name what ran out."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.failures import torch_failures
from pipelines.frames import to_uint8
from pipelines.latent_preview import LatentPreview
from pipelines.placement import choose_placement
from studio.app import Studio
from studio.errors import EnvironmentFault, GenerationFailed, OutOfMemory
from studio.request import GenerationRequest


def test_a_cpu_runs_in_float32() -> None:
    import torch

    placement = choose_placement("cpu", "bfloat16")
    assert placement.is_cpu
    assert placement.dtype is torch.float32


@pytest.mark.parametrize("device", ["cuda:99", "tpu", "gpu0"])
def test_a_device_that_is_not_there_is_named(device: str) -> None:
    with pytest.raises(EnvironmentFault, match="STUDIO_DEVICE"):
        choose_placement(device, "float16")


def test_ram_that_runs_out_is_called_ram() -> None:
    import torch

    with pytest.raises(OutOfMemory, match="RAM ran out while sampling"), torch_failures("sampling"):
        torch.empty(1 << 60, dtype=torch.uint8)


def test_gpu_memory_that_runs_out_is_called_gpu_memory() -> None:
    import torch

    with pytest.raises(OutOfMemory, match="GPU memory ran out"), torch_failures("sampling"):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 MiB")


def test_a_bug_in_the_model_is_one_sentence() -> None:
    import torch

    with pytest.raises(GenerationFailed, match="failed while sampling"), torch_failures("sampling"):
        torch.ones(2, 3) @ torch.ones(2, 3)


def test_output_that_is_not_finite_is_refused() -> None:
    frames = np.zeros((2, 4, 4, 3), np.float32)
    frames[1, 2, 3, 0] = np.nan
    with pytest.raises(GenerationFailed, match="not finite"):
        to_uint8(frames)


def test_frames_are_rounded_not_cut() -> None:
    frames = np.full((1, 1, 1, 3), 0.9999, np.float32)
    assert to_uint8(frames).max() == 255


def test_the_preview_finds_the_colours_of_a_linear_code() -> None:
    import torch

    mix = torch.tensor([[0.5, 0.2, 0.0], [0.0, 1.0, 0.3], [0.1, 0.0, 2.0], [1.0, 1.0, 1.0]])

    def encode(picture: torch.Tensor) -> torch.Tensor:
        small = torch.nn.functional.avg_pool2d(picture, 4)[0]
        return torch.einsum("lc,chw->lhw", mix, small) + 0.25

    preview = LatentPreview.measure(encode, scale=4)
    red = encode(torch.tensor([1.0, -1.0, -1.0]).view(1, 3, 1, 1).expand(1, 3, 32, 32))
    shown = preview.render(red).image.reshape(-1, 3).mean(0)
    np.testing.assert_allclose(shown, [255, 0, 0], atol=6)


def test_an_estimate_is_made_without_loading_torch(studio: Studio) -> None:
    _, figures = studio.estimate(
        GenerationRequest(model="micro-wan", prompt="a red circle moving left on a black background")
    )
    assert figures.seconds is not None
    assert figures.ram_bytes is not None
    assert figures.cost is not None
    assert figures.cost.amount == 0
