"""What is counted is what a hand computation says, on numbers and on the meta device alike."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import pytest
import torch
from torch.nn.functional import conv2d, conv_transpose2d, linear, scaled_dot_product_attention

from pipelines.counting import Counting, allocated, weight_bytes

KILO = 1024


@pytest.fixture(params=product(["meta", "cpu"], [False, True]), ids=lambda given: f"{given[0]}-inference-{given[1]}")
def device(request: pytest.FixtureRequest) -> Iterator[str]:
    name, is_inference = request.param
    with torch.inference_mode(is_inference):
        yield name


def floats(kilobytes: int, device: str) -> torch.Tensor:
    return torch.empty(kilobytes * KILO // 4, device=device)


def test_what_is_alive_is_counted_until_its_last_view_is_gone(device: str) -> None:
    with Counting(device=device) as count:
        first = floats(4, device)
        view = first.view(32, 32)[1:].T
        second = first + 1
        assert count.live_bytes == 8 * KILO
        del first, second
        assert count.live_bytes == 4 * KILO
        del view
        assert count.live_bytes == 0
    assert count.peak_bytes == 8 * KILO


def test_what_was_there_before_is_not_counted(device: str) -> None:
    before = torch.ones(1024, device=device)
    with Counting(device=device) as count:
        before.add_(1)
        view = before[:512]
        assert view.mul_(2) is view
    assert count.peak_bytes == 0


def test_what_lives_on_after_the_counting_is_still_counted(device: str) -> None:
    with Counting(device=device) as count:
        kept = floats(4, device)
    assert count.live_bytes == 4 * KILO
    del kept
    assert count.live_bytes == 0


def test_memory_is_handed_out_in_pieces_of_512_bytes() -> None:
    assert [allocated(size) for size in (0, 1, 512, 513)] == [0, 512, 512, 1024]
    with Counting() as count:
        three = [torch.empty(1, device="meta") for _ in range(3)]
        assert count.live_bytes == 512 * len(three)


def test_a_temporary_counts_at_the_peak_alone(device: str) -> None:
    with Counting(device=device) as count:
        x = floats(4, device)
        y = (x + 1) * 2
        assert count.live_bytes == 8 * KILO
        assert count.peak_bytes == 12 * KILO
        count.reset()
        assert count.peak_bytes == 8 * KILO
        assert y.shape == x.shape


def test_the_peak_names_its_holders(device: str) -> None:
    with Counting(device=device) as count:
        small = floats(1, device)
        large = torch.cat([small] * 3)
        del large
        floats(2, device)
    assert [(holder.operation, holder.num_bytes) for holder in count.memory.largest(2)] == [
        ("cat", 3 * KILO),
        ("empty", KILO),
    ]
    assert count.memory.largest(1)[0].shape == (768,)
    assert count.memory.largest(1)[0].dtype == "float32"


def test_a_linear_layer(device: str) -> None:
    x, weight, bias = (torch.ones(shape, device=device) for shape in ((4, 8, 32), (64, 32), (64,)))
    with Counting(device=device) as count:
        linear(x, weight, bias)
    assert count.flops == 2 * (4 * 8) * 32 * 64
    assert count.convolution_flops == 0
    assert count.traffic_bytes == 4 * (4 * 8 * 32 + 64 * 32 + 64 + 4 * 8 * 64)
    assert count.operations == 1


def test_a_product_of_batches(device: str) -> None:
    a, b = torch.ones(6, 5, 7, device=device), torch.ones(6, 7, 3, device=device)
    with Counting(device=device) as count:
        a @ b
        torch.baddbmm(torch.ones(6, 5, 3, device=device), a, b)
    assert count.flops == 2 * (2 * 6 * 5 * 7 * 3)


def test_a_convolution_and_its_transpose(device: str) -> None:
    x, weight = torch.ones(2, 8, 16, 16, device=device), torch.ones(12, 2, 3, 3, device=device)
    with Counting(device=device) as count:
        y = conv2d(x, weight, stride=2, padding=1, groups=4)
    assert y.shape == (2, 12, 8, 8)
    assert count.flops == count.convolution_flops == 2 * y.numel() * (8 // 4) * 9
    with Counting(device=device) as count:
        conv_transpose2d(x, torch.ones(8, 12, 2, 2, device=device), stride=2)
    assert count.flops == 2 * x.numel() * 12 * 4


def test_attention_counts_as_a_kernel_that_keeps_no_scores(device: str) -> None:
    query, key = torch.ones(2, 4, 512, 16, device=device), torch.ones(2, 4, 300, 16, device=device)
    mask = torch.ones(512, 300, dtype=torch.bool, device=device)
    with Counting(device=device) as count:
        out = scaled_dot_product_attention(query, key, value=key, attn_mask=mask)
    assert out.shape == query.shape
    assert count.flops == 2 * (2 * 2 * 4 * 512 * 300 * 16)
    assert count.peak_bytes == query.numel() * 4
    assert count.traffic_bytes == 4 * 2 * (query.numel() + key.numel()) + mask.numel()


def test_heads_come_out_side_by_side_as_fused_kernels_leave_them() -> None:
    query = torch.ones(2, 4, 10, 16, device="meta")
    with Counting() as count:
        out = scaled_dot_product_attention(query, query, query)
        count.reset()
        out.transpose(1, 2).flatten(2)
    assert count.operations == 0


def test_views_are_free_and_copies_are_read_and_written(device: str) -> None:
    x, y = torch.ones(16, 16, device=device), torch.ones(16, 16, device=device)
    with Counting(device=device) as count:
        x.T.reshape(256).unsqueeze(0).expand(3, -1)
        assert count.traffic_bytes == 2 * KILO  # the reshape of what is transposed copies
        count.reset()
        x[2:].permute(1, 0).unflatten(0, (4, 4))
        torch.empty(100, device=device)
        assert (count.traffic_bytes, count.operations) == (0, 0)
        x.copy_(y)
        assert count.traffic_bytes == 2 * KILO
        count.reset()
        x.zero_()
        assert count.traffic_bytes == KILO
        count.reset()
        x.add_(y[:1].expand(16, 16))
        assert count.traffic_bytes == 3 * KILO


def test_what_is_parked_in_main_memory_is_told_from_the_device() -> None:
    with Counting(device="meta") as count:
        x = floats(4, "meta")
        parked = x.to("cpu")
        assert (count.live_bytes, count.host_memory.live_bytes) == (4 * KILO, 4 * KILO)
        del x
        assert (count.live_bytes, count.host_memory.live_bytes) == (0, 4 * KILO)
        back = parked.to("meta", torch.float16)
        assert count.live_bytes == 2 * KILO
        parked.copy_(back)
    assert count.transfer_bytes == (4 + 2 + 4) * KILO
    assert count.host_memory.peak_bytes >= 4 * KILO
    assert count.traffic_bytes <= 2 * 6 * KILO  # of the change of format


def test_a_whole_module_can_be_sent_away_and_brought_back() -> None:
    with Counting(device="meta") as count, torch.inference_mode():
        layer = torch.nn.Linear(64, 64, device="meta")
        assert count.live_bytes == weight_bytes(layer) == 4 * 64 * 64 + 512
        layer.to("cpu")
        assert count.live_bytes == 0
        layer.to("meta")
        assert count.live_bytes == weight_bytes(layer)


def test_weights_that_are_shared_count_once() -> None:
    layer = torch.nn.Linear(64, 64, bias=False)
    other = torch.nn.Linear(64, 64, bias=False)
    other.weight = layer.weight
    assert weight_bytes(layer, other) == 4 * 64 * 64


def test_counting_changes_no_number() -> None:
    torch.manual_seed(0)
    layers = torch.nn.Sequential(
        torch.nn.Conv2d(4, 32, 3), torch.nn.GroupNorm(4, 32), torch.nn.Upsample(scale_factor=2), torch.nn.Flatten(2),
        torch.nn.LayerNorm(64), torch.nn.Linear(64, 32), torch.nn.GELU(), torch.nn.Unflatten(2, (4, 8)),
    )  # fmt: skip
    x = torch.randn(2, 4, 6, 6)

    def compute() -> torch.Tensor:
        heads = layers(x)
        return scaled_dot_product_attention(heads, heads, heads)

    for is_inference in (False, True):
        with torch.inference_mode(is_inference):
            expected = compute()
            with Counting(device="cpu"):
                assert torch.equal(compute(), expected)


def test_counting_within_counting(device: str) -> None:
    with Counting(device=device) as outer:
        floats(1, device)
        with Counting(device=device) as inner:
            floats(4, device)
    assert (outer.peak_bytes, inner.peak_bytes) == (4 * KILO, 4 * KILO)


def test_what_is_remembered_of_the_meta_device_changes_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other shapes, strides, number formats and arguments of a kind are other operations."""

    def figures() -> list[tuple[object, ...]]:
        found: list[tuple[object, ...]] = []
        with Counting() as count, torch.inference_mode():
            for dtype in (torch.float32, torch.float16):
                x = torch.empty(4, 6, dtype=dtype, device="meta")
                for y in (x, x, x.T, x.T, x.T.contiguous(), x[:, :3], x * 1, x * 1.0, x.long() * 1, x.long() * 1.0):
                    for made in (
                        y + 1,
                        y.softmax(-1),
                        torch.cat([y, y]),
                        *torch.var_mean(y.float(), 0),
                        y.clone().add_(2),
                    ):
                        found.append((made.shape, made.stride(), made.dtype, count.live_bytes, count.traffic_bytes))
                    out = torch.empty(y.shape, device="meta")
                    assert torch.add(y, 1, out=out) is out
        return [*found, (count.peak_bytes, count.operations)]

    remembered = figures()
    monkeypatch.setattr(Counting, "_run", lambda _self, _operation, func, args, kwargs: func(*args, **kwargs))
    assert figures() == remembered


def test_a_failure_inside_ends_the_counting() -> None:
    count = Counting()
    with pytest.raises(RuntimeError), count:
        torch.empty(2, device="meta") @ torch.empty(3, device="meta")
    torch.ones(1000, device="meta")
    assert count.flops == 0
    assert count.live_bytes == 0


@pytest.mark.filterwarnings("ignore")
def test_the_unet_of_stable_video_diffusion_at_full_size() -> None:
    """The figures were found with another counter."""
    from diffusers import UNetSpatioTemporalConditionModel

    with torch.device("meta"):
        unet = UNetSpatioTemporalConditionModel(num_attention_heads=(5, 10, 20, 20), num_frames=25)
    unet.half().to("meta")
    with Counting() as count, torch.no_grad(), torch.device("meta"):
        sample, context, ids = (torch.empty(shape).half() for shape in ((2, 25, 8, 72, 128), (2, 1, 1024), (2, 3)))
        count.reset()
        unet(sample, torch.ones(()), context, ids)
    assert weight_bytes(unet) / 2**30 == pytest.approx(2.84, abs=0.01)
    assert count.peak_bytes / 2**30 == pytest.approx(7.73, abs=0.02)
    assert count.flops / 1e12 == pytest.approx(159.9, abs=0.1)
    assert count.traffic_bytes / 1e9 == pytest.approx(697, rel=0.01)
