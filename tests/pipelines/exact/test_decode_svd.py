"""A clip of SVD's VAE decoded in parts is the stock decoder's whole clip, in less memory."""

from itertools import count, pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from pipelines.exact.decode_svd import decode_frames
from pipelines.plan import DecodeForm, Tiling

pytestmark = pytest.mark.filterwarnings("ignore")

FORMS = list(DecodeForm)
SVD_XT = {"block_out_channels": (128, 256, 512, 512), "layers_per_block": 2, "latent_channels": 4}


def make_vae(*channels, layers=1, seed=0):
    import diffusers

    torch.manual_seed(seed)
    vae = diffusers.AutoencoderKLTemporalDecoder(
        block_out_channels=channels, layers_per_block=layers, down_block_types=["DownEncoderBlock2D"] * len(channels)
    ).eval()
    with torch.no_grad():
        for name, parameter in vae.named_parameters():
            if "mix_factor" in name:  # every share from mostly spatial to mostly temporal
                parameter.normal_(std=2)
            elif "norm" in name:
                parameter.add_(torch.randn_like(parameter), alpha=0.3)
    return vae


@pytest.fixture(scope="module")
def vae():
    return make_vae(32, 64, layers=2)


@torch.no_grad()
def stock(vae, latents):
    return vae.decode(latents, num_frames=len(latents)).sample


def difference(vae, latents, **how):
    frames = torch.cat(list(decode_frames(vae, latents, **how)))
    expected = stock(vae, latents)
    assert frames.shape == expected.shape
    return (frames - expected).abs().max().item()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("num_frames", [1, 2, 14, 16, 25, 32])
def test_frames_are_those_of_the_stock_whole_clip(vae, form, num_frames):
    assert difference(vae, torch.randn(num_frames, 4, 3, 5), form=form) <= 1e-5


@settings(max_examples=40, deadline=None)
@given(
    form=st.sampled_from(FORMS),
    num_frames=st.integers(1, 7),
    height=st.integers(1, 6),
    width=st.integers(2, 6),
    frames=st.none() | st.integers(1, 8),
    positions=st.none() | st.integers(5, 400),
)
def test_sizes_and_tiles_do_not_change_the_frames(vae, form, num_frames, height, width, frames, positions):
    latents = torch.randn(num_frames, 4, height, width)
    tiling = Tiling(frames=frames, positions=positions)
    assert difference(vae, latents, form=form, tiling=tiling) <= 1e-5


@pytest.mark.parametrize(("channels", "layers"), [((32,), 1), ((32,), 3), ((64, 32), 2), ((32, 32, 64, 64), 1)])
@pytest.mark.parametrize("form", FORMS)
def test_every_shape_of_the_class_decodes(channels, layers, form):
    assert difference(make_vae(*channels, layers=layers), torch.randn(3, 4, 3, 4), form=form) <= 1e-5


@pytest.mark.parametrize("form", FORMS)
def test_in_double_precision_nothing_is_left_but_rounding(form):
    vae = make_vae(32, 64, layers=2).double()
    assert difference(vae, torch.randn(14, 4, 4, 6).double(), form=form) <= 1e-12


def test_stock_in_chunks_is_another_picture(vae):
    """What this decoder exists for: the frames differ where chunks meet, by more than any rounding."""
    latents = torch.randn(8, 4, 4, 4)
    chunked = torch.cat([stock(vae, part) for part in latents.split(4)])
    assert (chunked - stock(vae, latents)).abs().max() > 0.01


def test_frames_come_before_the_last_one_is_made(vae):
    """The last layers run frame by frame: when the first frame is handed out, at most two have been through them."""
    made = []
    hook = vae.decoder.conv_out.register_forward_hook(lambda module, inputs, output: made.append(len(output)))
    try:
        frames = decode_frames(vae, torch.randn(6, 4, 4, 4), form=DecodeForm.STREAMED, tiling=Tiling(frames=1))
        next(frames)
        assert sum(made) == 2
        assert len(list(frames)) == 5
    finally:
        hook.remove()


def test_decoding_ends_between_parts_when_asked(vae):
    calls = []

    def stop_at_the_fifth():
        calls.append(None)
        if len(calls) == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(decode_frames(vae, torch.randn(4, 4, 4, 4), on_part=stop_at_the_fifth))
    assert len(calls) == 5


def test_weights_and_latents_are_left_as_they_were(vae):
    latents = torch.randn(3, 4, 4, 4).contiguous(memory_format=torch.channels_last)
    before = [latents.clone(), *(parameter.clone() for parameter in vae.parameters())]
    list(decode_frames(vae, latents))
    assert all(map(torch.equal, before, [latents, *vae.parameters()]))


def tensors_in(tree):
    return [leaf for leaf in tree_iter(tree) if isinstance(leaf, torch.Tensor)]


class Meter(TorchDispatchMode):
    """Counts the bytes of living tensors that are made inside, by kind of device."""

    def __init__(self):
        super().__init__()
        self.alive = {}
        self.keys = count()
        self.held = {"meta": 0, "cpu": 0}
        self.peaks = dict(self.held)

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        given = {tensor.untyped_storage()._cdata for tensor in tensors_in((args, kwargs))}
        for tensor in tensors_in(result):
            if tensor.untyped_storage()._cdata not in given:
                self.add(tensor.untyped_storage(), tensor.device.type)
        return result

    def add(self, storage, kind):
        self.alive[next(self.keys), kind] = (StorageWeakRef(storage), storage.nbytes())
        self.held[kind] += storage.nbytes()
        if self.held[kind] > self.peaks[kind]:  # as long as what has gone is counted too, this cannot be missed
            self.alive = {key: entry for key, entry in self.alive.items() if not entry[0].expired()}
            self.held = {k: sum(size for key, (_, size) in self.alive.items() if key[1] == k) for k in self.held}
            self.peaks = {k: max(self.peaks[k], self.held[k]) for k in self.held}


def peaks(vae, latents, form):
    with Meter() as meter:
        shapes = [frames.shape for frames in decode_frames(vae, latents, form=form)]
    return meter.peaks, shapes


def test_each_form_holds_less_than_the_one_before():
    vae = make_vae(32, 64).to("meta").half()
    latents = torch.empty(16, 4, 32, 32, device="meta", dtype=torch.half)
    clip = 16 * 32 * 64 * 64 * 2
    whole, streamed, parked = (peaks(vae, latents, form)[0] for form in FORMS)
    assert 2 * clip < whole["meta"]
    assert clip < streamed["meta"] < 1.5 * clip
    assert parked["meta"] < 0.5 * clip
    assert whole["cpu"] == streamed["cpu"] == 0
    assert clip <= parked["cpu"] < 1.6 * clip


@pytest.mark.slow
def test_svd_xt_at_full_size_stays_within_its_targets():
    """25 frames of 576 x 1024 in half precision, where the stock decoder holds 28.1 GiB."""
    import diffusers

    with torch.device("meta"):
        vae = diffusers.AutoencoderKLTemporalDecoder(**SVD_XT, down_block_types=["DownEncoderBlock2D"] * 4)
    vae = vae.to("meta").half().eval()
    latents = torch.empty(25, 4, 72, 128, device="meta", dtype=torch.half)
    for form, most in zip(FORMS, (7.5, 4.2, 0.9), strict=True):
        found, shapes = peaks(vae, latents, form)
        assert found["meta"] / 2**30 < most
        assert sum(shape[0] for shape in shapes) == 25
        assert {tuple(shape[1:]) for shape in shapes} == {(3, 576, 1024)}


def test_a_clip_is_one_sequence_of_frames(vae):
    """Frames are yielded once, in order, in pieces no longer than the plan asks for."""
    latents = torch.randn(7, 4, 4, 4)
    pieces = list(decode_frames(vae, latents, tiling=Tiling(frames=3)))
    assert all(len(piece) <= 3 for piece in pieces)
    whole = torch.cat(pieces)
    assert len(whole) == 7
    assert all(not torch.equal(first, second) for first, second in pairwise(whole))
