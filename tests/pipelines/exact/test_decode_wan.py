"""Wan's latents decoded piece by piece are the stock frames, from memory that a longer clip adds nothing to."""

from pathlib import Path

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from pipelines.exact.decode_upsampling import upsampled_convolution
from pipelines.exact.decode_wan import decode_wan

pytestmark = pytest.mark.filterwarnings("ignore")

MICRO_WAN = Path(__file__).parents[3] / "weights" / "micro-wan" / "vae"
SECOND = {"is_residual": True, "num_res_blocks": 1, "dim_mult": [1, 2, 2]}
KINDS = {
    "2.1": {"num_res_blocks": 2, "dim_mult": [1, 2, 4, 4], "temperal_downsample": [False, True, True]},
    "2.1 shallow": {"num_res_blocks": 1, "dim_mult": [1, 2], "temperal_downsample": [False]},
    "2.2, patches of 2": SECOND
    | {"patch_size": 2, "in_channels": 12, "out_channels": 12, "temperal_downsample": [False, True]},
    "2.2, patches of 4": SECOND
    | {"patch_size": 4, "in_channels": 48, "out_channels": 48, "temperal_downsample": [True, True]},
}


@pytest.fixture(scope="module", params=KINDS)
def vae(request):
    import diffusers

    torch.manual_seed(0)
    vae = diffusers.AutoencoderKLWan(base_dim=16, decoder_base_dim=24, z_dim=8, **KINDS[request.param]).eval()
    with torch.no_grad():
        for name, parameter in vae.named_parameters():
            if "gamma" in name:
                parameter.add_(torch.randn_like(parameter), alpha=0.3)
    return vae


@torch.no_grad()
def stock(vae, latents):
    return vae.decode(latents).sample[0].transpose(0, 1)


@pytest.mark.parametrize("num_frames", range(1, 7))
@pytest.mark.parametrize("frames_at_once", [1, 2, 3, None])
def test_frames_are_those_of_the_stock_decoder(vae, num_frames, frames_at_once):
    latents = torch.randn(1, 8, num_frames, 3, 4)
    frames = torch.cat(list(decode_wan(vae, latents, frames_at_once=frames_at_once)))
    expected = stock(vae, latents)
    assert frames.shape == expected.shape
    assert (frames - expected).abs().max() <= 1e-5


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (7, 2)])
def test_odd_sizes_decode(vae, size):
    latents = torch.randn(1, 8, 3, *size)
    frames = torch.cat(list(decode_wan(vae, latents, frames_at_once=1)))
    assert (frames - stock(vae, latents)).abs().max() <= 1e-5


def test_frames_never_leave_their_range(vae):
    """Stock clamps, and this must as well."""
    weight = vae.decoder.conv_out.weight
    before = weight.detach().clone()
    with torch.no_grad():
        weight.mul_(100)
        frames = torch.cat(list(decode_wan(vae, torch.randn(1, 8, 3, 3, 4))))
        weight.copy_(before)
    assert frames.abs().max() == 1


def test_a_pixel_of_zeros_is_a_number(vae):
    """The length that a pixel is divided by is zero in a latent of zeros, when no bias fills it."""
    latents = torch.zeros(1, 8, 2, 3, 4)
    biases = {name: value.clone() for name, value in vae.state_dict().items() if name.endswith("bias")}
    vae.load_state_dict({name: torch.zeros_like(value) for name, value in biases.items()}, strict=False)
    try:
        frames = torch.cat(list(decode_wan(vae, latents)))
        assert torch.equal(frames, stock(vae, latents))
    finally:
        vae.load_state_dict(biases, strict=False)


def test_pieces_are_no_longer_than_asked_for(vae):
    pieces = list(decode_wan(vae, torch.randn(1, 8, 4, 3, 4), frames_at_once=2))
    assert all(len(piece) <= 2 for piece in pieces)


def test_weights_and_latents_are_left_as_they_were(vae):
    latents = torch.randn(1, 8, 3, 3, 4)
    before = [latents.clone(), *(parameter.clone() for parameter in vae.parameters())]
    list(decode_wan(vae, latents, frames_at_once=1))
    assert all(map(torch.equal, before, [latents, *vae.parameters()]))


def test_decoding_ends_between_parts_when_asked(vae):
    calls = []

    def stop_at_the_third():
        calls.append(None)
        if len(calls) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(decode_wan(vae, torch.randn(1, 8, 3, 3, 4), on_part=stop_at_the_third))
    assert len(calls) == 3


class LargestTensor(TorchDispatchMode):
    """Remembers how many values the largest tensor had that was made inside."""

    values = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        sizes = [leaf.untyped_storage().nbytes() for leaf in tree_iter(result) if isinstance(leaf, torch.Tensor)]
        self.values = max(self.values, *sizes, 0)
        return result


def test_a_longer_clip_takes_no_larger_tensor(vae):
    largest = []
    for num_frames in (4, 12):
        latents = torch.randn(1, 8, num_frames, 3, 4)
        with LargestTensor() as mode:
            for _ in decode_wan(vae, latents, frames_at_once=1):
                pass
        largest.append(mode.values)
    assert largest[0] == largest[1]


def test_the_shipped_vae_decodes_to_the_same_pictures():
    import diffusers

    vae = diffusers.AutoencoderKLWan.from_pretrained(MICRO_WAN).eval()
    latents = torch.randn(1, 32, 5, 8, 8)
    for frames_at_once in (1, None):
        frames = torch.cat(list(decode_wan(vae, latents, frames_at_once=frames_at_once)))
        assert (frames - stock(vae, latents)).abs().max() <= 1e-5


@pytest.mark.parametrize("size", [(1, 1), (2, 7), (5, 4)])
def test_one_transposed_convolution_is_doubling_and_convolving(size):
    convolution = torch.nn.Conv2d(6, 5, 3, padding=1).double()
    x = torch.randn(2, 6, *size, dtype=torch.double)
    doubled = torch.nn.functional.interpolate(x, scale_factor=2.0, mode="nearest")
    with torch.no_grad():
        assert (upsampled_convolution(x, convolution) - convolution(doubled)).abs().max() <= 1e-14
