"""What others put around a UNet's layers goes on working: LoRAs, hooks, weights in other formats or other places."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from pipelines.exact.unet import exact_forward, installed
from pipelines.plan import Tiling
from tests.pipelines.exact.unets import inputs_of, small_unet

pytestmark = pytest.mark.filterwarnings("ignore")

TILINGS = [Tiling(), Tiling(frames=1, positions=7, is_guidance_split=True)]

# Every layer that a LoRA can sit on, and some of those that it usually does.
LORA_TARGETS = [
    ["to_q"],
    ["to_q", "to_k", "to_v", "to_out.0", "proj_in", "proj_out", "ff.net.0.proj", "ff.net.2", "ff_in.net.0.proj"],
    ["conv_in", "conv_out", "conv1", "conv2", "conv_shortcut", "conv", "time_emb_proj", "linear_1", "linear_2"],
]


@pytest.mark.parametrize("targets", LORA_TARGETS, ids=lambda targets: targets[0])
@pytest.mark.parametrize("tiling", TILINGS)
@torch.inference_mode()
def test_a_lora_does_what_it_does_to_stock(targets: list[str], tiling: Tiling) -> None:
    from peft import LoraConfig, inject_adapter_in_model

    unet = small_unet()
    inputs = inputs_of(unet, batch=2)
    plain = unet(*inputs).sample
    torch.manual_seed(0)
    inject_adapter_in_model(LoraConfig(r=2, target_modules=targets, init_lora_weights=False), unet)
    with_lora = unet(*inputs).sample
    ours = exact_forward(unet, tiling)(*inputs).sample
    assert (with_lora - plain).abs().max() > 1e-2
    # A LoRA's weights are as large as the model's here, and the numbers grow.
    torch.testing.assert_close(ours, with_lora, atol=1e-5 * float(with_lora.abs().max().clamp(min=1)), rtol=0)


@pytest.mark.parametrize("tiling", TILINGS)
@torch.inference_mode()
def test_weights_kept_in_eight_bits_are_widened_as_for_stock(tiling: Tiling) -> None:
    unet = small_unet()
    unet.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=torch.float32)
    assert unet.mid_block.resnets[0].temporal_res_block.conv1.weight.dtype == torch.float8_e4m3fn
    inputs = inputs_of(unet)
    stock = unet(*inputs).sample
    assert (exact_forward(unet, tiling)(*inputs).sample - stock).abs().max() <= 1e-5


@pytest.mark.parametrize("tiling", TILINGS)
@torch.inference_mode()
def test_weights_are_looked_at_only_while_their_layer_is_held(tiling: Tiling) -> None:
    """So weights can live elsewhere; layers come in the same order in every pass, and each once."""
    unet = small_unet()
    inputs = inputs_of(unet, batch=2)
    expected = exact_forward(unet, tiling)(*inputs).sample
    homes = {tensor: tensor.data for tensor in (*unet.parameters(), *unet.buffers())}
    for tensor, home in homes.items():
        tensor.data = torch.full_like(home, torch.nan)
    order: list[Any] = []

    @contextmanager
    def held(layer: Any) -> Iterator[None]:
        order.append(layer)
        away = {tensor: tensor.data for tensor in (*layer.parameters(), *layer.buffers())}
        for tensor in away:
            tensor.data = homes[tensor]
        yield
        for tensor, nothing in away.items():
            tensor.data = nothing

    passes = 2 if tiling.is_guidance_split else 1
    ours = exact_forward(unet, tiling, held=held)(*inputs).sample
    assert torch.equal(ours, expected)
    assert len(order) == passes * len(set(order))
    assert order == order[: len(order) // passes] * passes


@torch.inference_mode()
def test_it_is_installed_for_a_while_and_leaves_no_trace() -> None:
    unet = small_unet()
    inputs = inputs_of(unet)
    stock = unet(*inputs).sample
    before = dict(vars(unet))
    with installed(unet, Tiling()):
        ours = unet(*inputs).sample
        assert ours is not stock
        assert torch.equal(ours, exact_forward(unet, Tiling())(*inputs).sample)
        with installed(unet, Tiling(frames=1)):
            unet(*inputs)
        assert torch.equal(unet(*inputs).sample, ours)
        assert unet.config.in_channels == 8
    assert vars(unet) == before
    assert torch.equal(unet(*inputs).sample, stock)


def test_a_failure_inside_takes_it_off() -> None:
    unet = small_unet()
    with pytest.raises(KeyboardInterrupt), installed(unet, Tiling()):
        raise KeyboardInterrupt
    assert "forward" not in vars(unet)


def counting_hook() -> Any:
    from accelerate.hooks import ModelHook

    class Counting(ModelHook):  # type: ignore[misc]
        calls = 0

        def pre_forward(self, module: Any, *args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            return args, kwargs

    return Counting()


@pytest.mark.parametrize("is_hooked_first", [True, False])
@torch.inference_mode()
def test_hooks_of_model_offload_are_called_whether_they_came_before_or_after(is_hooked_first: bool) -> None:
    from accelerate.hooks import add_hook_to_module, remove_hook_from_module

    unet = small_unet()
    inputs = inputs_of(unet)
    stock, ours = unet(*inputs).sample, exact_forward(unet, Tiling())(*inputs).sample
    hook = counting_hook()
    if is_hooked_first:
        add_hook_to_module(unet, hook)
    with installed(unet, Tiling()):
        if not is_hooked_first:
            add_hook_to_module(unet, hook)
        assert torch.equal(unet(*inputs).sample, ours)
        assert hook.calls == 1
    assert torch.equal(unet(*inputs).sample, stock)
    assert hook.calls == 2
    remove_hook_from_module(unet)
    assert torch.equal(unet(*inputs).sample, stock)
    assert hook.calls == 2


@torch.inference_mode()
def test_hooks_may_come_and_go_while_it_is_installed() -> None:
    from accelerate.hooks import add_hook_to_module, remove_hook_from_module

    unet = small_unet()
    inputs = inputs_of(unet)
    stock, ours = unet(*inputs).sample, exact_forward(unet, Tiling())(*inputs).sample
    add_hook_to_module(unet, counting_hook())
    with installed(unet, Tiling()):
        remove_hook_from_module(unet)
        assert torch.equal(unet(*inputs).sample, ours)
        add_hook_to_module(unet, counting_hook())
        assert torch.equal(unet(*inputs).sample, ours)
        remove_hook_from_module(unet)
    assert torch.equal(unet(*inputs).sample, stock)
