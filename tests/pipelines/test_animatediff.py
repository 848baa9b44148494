"""What is particular to AnimateDiff: two checkpoints in one folder, frames that are decoded each by itself."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from studio.errors import MissingWeights
from studio.request import Conditioning, GenerationRequest, Role
from tests.pipelines.checkpoints.animatediff import save_animatediff
from tests.pipelines.conftest import RecordingRun
from tests.studio.media_files import pan, write_mp4

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def generator(tmp_path: Path, generator_of: Callable[..., Any]) -> Any:
    return generator_of("animatediff-1.5-2", save_animatediff(tmp_path / "animatediff"))


def test_the_adapter_alone_is_refused_with_what_is_missing(tmp_path: Path, generator_of: Callable[..., Any]) -> None:
    from diffusers import MotionAdapter

    MotionAdapter(block_out_channels=(8,), motion_norm_num_groups=2, motion_num_attention_heads=2).save_pretrained(
        tmp_path / "adapter"
    )
    with (
        pytest.raises(MissingWeights, match=r"adapter alone.*save_pretrained"),
        generator_of("animatediff-1.5-2", tmp_path / "adapter").session(),
    ):
        pass


@pytest.mark.parametrize(("num_frames", "pieces"), [(3, [3]), (9, [4, 4, 1])])
def test_it_decodes_a_few_frames_at_a_time_as_the_stock_decoder_does(
    generator: Any, num_frames: int, pieces: list[int]
) -> None:
    request = GenerationRequest(model=generator.spec.id, prompt="a", num_frames=num_frames)
    latents = torch.randn(1, 4, num_frames, 8, 8, generator=torch.Generator().manual_seed(1))
    with generator.session(), torch.inference_mode():
        ours = list(generator._decode(generator._pipeline, latents, generator.resolve(request)))
        stock = generator._pipeline.decode_latents(latents)[0].transpose(0, 1)
    assert [len(piece) for piece in ours] == pieces
    torch.testing.assert_close(torch.cat(ours), stock, rtol=0, atol=1e-5)


def test_the_adapter_moves_the_frames_apart(generator: Any, run: RecordingRun) -> None:
    request = GenerationRequest(model=generator.spec.id, prompt="a red circle", seed=5, num_inference_steps=2)
    with generator.session():
        moved = generator.generate(generator.resolve(request), run).frames
        for name, parameter in generator._pipeline.unet.named_parameters():
            if "motion_modules" in name and "proj_out" in name:
                torch.nn.init.zeros_(parameter)
        still = generator.generate(generator.resolve(request), run).frames
    assert np.any(moved != still)


def test_the_encoder_is_left_in_its_own_number_format_by_a_source_video(
    generator: Any, run: RecordingRun, tmp_path: Path
) -> None:
    source = Conditioning(role=Role.SOURCE_VIDEO, path=write_mp4(tmp_path / "v.mp4", pan(8, 64, 32), Fraction(8)))
    request = GenerationRequest(
        model=generator.spec.id, prompt="a", seed=5, num_inference_steps=2, conditionings=(source,)
    )
    with generator.session():
        before = generator._pipeline.vae.dtype
        assert generator.generate(generator.resolve(request), run).frames.shape == (5, 32, 32, 3)
        assert generator._pipeline.vae.dtype == before
    assert len(run.previews) == 1
