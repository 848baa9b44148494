"""CogVideoX's latents decoded batch by batch are the stock frames, bit for bit."""

import pytest
import torch

from pipelines.exact.decode_pieces import decode_pieces

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def vae():
    import diffusers

    torch.manual_seed(0)
    return diffusers.AutoencoderKLCogVideoX(
        block_out_channels=(8, 8, 8, 8),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=2,
        temporal_compression_ratio=4,
    ).eval()


@pytest.mark.parametrize("num_frames", range(1, 8))
def test_frames_are_those_of_the_stock_decoder(vae, num_frames):
    latents = torch.randn(1, 4, num_frames, 3, 4)
    with torch.no_grad():
        expected = vae.decode(latents).sample[0].transpose(0, 1)
    pieces = list(decode_pieces(vae, latents))
    assert len(pieces) == max(1, num_frames // 2)
    assert torch.equal(torch.cat(pieces), expected)


def test_the_first_frames_come_before_the_last_are_made(vae):
    calls = []
    pieces = decode_pieces(vae, torch.randn(1, 4, 6, 3, 4), on_part=lambda: calls.append(None))
    next(pieces)
    assert len(calls) == 1
    assert len(list(pieces)) == 2
    assert len(calls) == 3
