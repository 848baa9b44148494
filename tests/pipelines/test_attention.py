"""Attention backends: what there is, what is refused, and that a choice reaches every attention of a model."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from pipelines.attention import Backend, attention_of, available, choose, preferred_kernel, route, using
from pipelines.kernels.dot_product_attention import dot_product_attention
from pipelines.kernels.programs import DotProduct, Program, Programs, chosen, running
from studio.errors import MissingPackage, UnsupportedValue

pytestmark = pytest.mark.filterwarnings("ignore")

CPU = torch.device("cpu")
Case = tuple[Any, dict[str, Any]]


class Kernels(TorchDispatchMode):
    """Counts the attention kernels that run, by name. On a CPU, MATH is made of plain matrix products: it has none."""

    def __init__(self) -> None:
        super().__init__()
        self.flash = 0
        self.softmax = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.flash += func._overloadpacket.__name__ == "_scaled_dot_product_flash_attention_for_cpu"
        self.softmax += "softmax" in func._overloadpacket.__name__
        return func(*args, **(kwargs or {}))


def svd_unet() -> Case:
    """Return a small UNet of Stable Video Diffusion, whose processors know nothing of diffusers' backends."""
    from diffusers import UNetSpatioTemporalConditionModel

    torch.manual_seed(0)
    unet = UNetSpatioTemporalConditionModel(
        block_out_channels=(32, 64), layers_per_block=1, sample_size=8, in_channels=8, out_channels=4,
        down_block_types=("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
        up_block_types=("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"),
        cross_attention_dim=16, num_attention_heads=4, projection_class_embeddings_input_dim=96,
        addition_time_embed_dim=32, num_frames=5,
    )  # fmt: skip
    return unet.eval(), {
        "sample": torch.randn(1, 5, 8, 8, 8),
        "timestep": torch.tensor(1.0),
        "encoder_hidden_states": torch.randn(1, 1, 16),
        "added_time_ids": torch.randn(1, 3),
    }


def wan_transformer() -> Case:
    """Return a small transformer of Wan, which is on diffusers' dispatcher."""
    from diffusers import WanTransformer3DModel

    torch.manual_seed(0)
    transformer = WanTransformer3DModel(
        patch_size=(1, 2, 2), num_attention_heads=2, attention_head_dim=12, in_channels=4, out_channels=4, text_dim=16,
        freq_dim=32, ffn_dim=24, num_layers=2, cross_attn_norm=True, qk_norm="rms_norm_across_heads",
        rope_max_seq_len=32,
    )  # fmt: skip
    return transformer.eval(), {
        "hidden_states": torch.randn(1, 4, 3, 8, 8),
        "timestep": torch.tensor([5]),
        "encoder_hidden_states": torch.randn(1, 7, 16),
    }


def cogvideox_transformer() -> Case:
    """Return a small transformer of CogVideoX, whose processors diffusers' backends do not reach either."""
    from diffusers import CogVideoXTransformer3DModel

    torch.manual_seed(0)
    transformer = CogVideoXTransformer3DModel(
        num_attention_heads=2, attention_head_dim=8, in_channels=4, out_channels=4, time_embed_dim=2, text_embed_dim=8,
        num_layers=2, sample_width=8, sample_height=8, sample_frames=9, patch_size=2, temporal_compression_ratio=4,
        max_text_seq_length=8,
    )  # fmt: skip
    return transformer.eval(), {
        "hidden_states": torch.randn(1, 3, 4, 8, 8),
        "timestep": torch.tensor([5]),
        "encoder_hidden_states": torch.randn(1, 8, 8),
    }


MODELS = {"svd": (svd_unet, 16), "wan": (wan_transformer, 4), "cogvideox": (cogvideox_transformer, 2)}


@torch.no_grad()
def kernels_of(model: Any, given: dict[str, Any]) -> tuple[torch.Tensor, Kernels]:
    with Kernels() as kernels:
        result = model(**given)[0]
    return result, kernels


# -- a choice reaches every attention --------------------------------------------------------------------------------


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", ["sdpa-flash", "sdpa-math"])
def test_every_attention_of_a_model_is_computed_by_the_chosen_kernel(model: str, name: str) -> None:
    make, calls = MODELS[model]
    module, given = make()
    expected, stock = kernels_of(module, given)
    assert (stock.flash, stock.softmax) == (calls, 0)
    with route(module, choose(name, CPU)):
        result, kernels = kernels_of(module, given)
    assert (kernels.flash, kernels.softmax) == ((calls, 0) if name == "sdpa-flash" else (0, calls))
    torch.testing.assert_close(result, expected, atol=1e-5, rtol=0)


def test_what_diffusers_has_for_it_does_nothing_on_svd() -> None:
    from diffusers.models.attention_dispatch import _AttentionBackendRegistry

    module, given = svd_unet()
    before = _AttentionBackendRegistry._active_backend
    try:
        module.set_attention_backend("_native_math")
        assert kernels_of(module, given)[1].softmax == 0
    finally:
        _AttentionBackendRegistry.set_active_backend(before)


def test_a_choice_overrules_what_diffusers_was_told_and_gives_it_back() -> None:
    module, given = wan_transformer()
    processors = [block.attn1.processor for block in module.blocks]
    for processor in processors:
        processor._attention_backend = "_native_math"
    assert kernels_of(module, given)[1].softmax == 2
    with route(module, choose("sdpa-flash", CPU)):
        assert kernels_of(module, given)[1].flash == 4
    assert [processor._attention_backend for processor in processors] == ["_native_math"] * 2


def test_auto_leaves_a_model_as_it_is() -> None:
    module, given = wan_transformer()
    module.blocks[0].attn1.processor._attention_backend = "_native_math"
    with route(module, choose("auto", CPU)):
        assert kernels_of(module, given)[1].softmax == 1
        assert not module._forward_pre_hooks


@pytest.mark.slow
def test_a_compiled_model_obeys_as_well() -> None:
    module, given = wan_transformer()
    expected, _ = kernels_of(module, given)
    module.compile(backend="eager")
    with route(module, choose("sdpa-math", CPU)), torch.no_grad():
        result = module(**given)[0]
    torch.testing.assert_close(result, expected, atol=1e-5, rtol=0)
    assert not torch.equal(result, expected)  # another kernel, another rounding


# -- and nothing else ------------------------------------------------------------------------------------------------


def test_nothing_of_a_route_is_left_behind() -> None:
    module, given = wan_transformer()
    with route(module, choose("sdpa-math", CPU)):
        pass
    assert kernels_of(module, given)[1].flash == 4
    assert not module._forward_pre_hooks
    assert not module._forward_hooks
    assert all(block.attn1.processor._attention_backend is None for block in module.blocks)


def test_a_forward_that_fails_takes_its_route_with_it() -> None:
    module, given = wan_transformer()
    query = torch.randn(1, 2, 5, 8)
    with torch.no_grad(), route(module, choose("sdpa-math", CPU)):
        with pytest.raises(RuntimeError):
            module(**given | {"encoder_hidden_states": torch.randn(1, 7, 3)})
        assert chosen() == Programs()
        with Kernels() as kernels:
            torch.nn.functional.scaled_dot_product_attention(query, query, query)
        assert kernels.flash == 1
        assert kernels_of(module, given)[1].softmax == 4


def test_attention_outside_the_model_is_torchs_own() -> None:
    module, _ = svd_unet()
    query = torch.randn(1, 2, 5, 8)
    with route(module, choose("sdpa-math", CPU)), Kernels() as kernels, torch.no_grad():
        torch.nn.functional.scaled_dot_product_attention(query, query, query)
    assert kernels.flash == 1


def test_a_pipeline_is_routed_by_its_denoisers() -> None:
    transformer, given = wan_transformer()
    vae, _ = svd_unet()
    pipeline = SimpleNamespace(transformer=transformer, transformer_2=None, vae=vae)
    with attention_of(pipeline, choose("sdpa-math", CPU)):
        assert kernels_of(transformer, given)[1].softmax == 4
        assert not vae._forward_pre_hooks
        assert chosen() == Programs()
    assert kernels_of(transformer, given)[1].softmax == 0
    assert chosen() == Programs()


def test_a_backend_changes_nothing_but_attention() -> None:
    with running(Programs.all(Program.TRITON)):
        with using(choose("auto", CPU)):
            assert chosen() == Programs.all(Program.TRITON)
        with using(choose("sdpa-math", CPU)):
            assert chosen() == Programs(
                attention=DotProduct.MATH,
                temporal_attention=Program.TORCH,
                group_norm=Program.TRITON,
                gated_linear=Program.TRITON,
            )


@torch.no_grad()
def test_our_own_attention_obeys_the_innermost_context() -> None:
    query, key, value = torch.randn(1, 2, 5, 8), torch.randn(1, 2, 6, 8), torch.randn(1, 2, 6, 8)
    mask = torch.zeros(5, 6)
    expected = torch.nn.functional.scaled_dot_product_attention(query, key, value, mask, scale=0.5)
    counts = Counter[str]()
    with using(choose("sdpa-flash", CPU)):
        for name in ("sdpa-flash", "sdpa-math"):
            with using(choose(name, CPU)), Kernels() as kernels:
                result = dot_product_attention(query, key, value, mask=mask, scale=0.5)
            torch.testing.assert_close(result, expected, atol=1e-5, rtol=0)
            counts += Counter(flash=kernels.flash, softmax=kernels.softmax)
    assert counts == Counter(flash=1, softmax=1)


# -- what there is -------------------------------------------------------------------------------------------------


def test_every_backend_is_either_available_or_says_why_not() -> None:
    found = {one.backend: one for one in available(CPU)}
    assert list(found) == list(Backend)
    for name in ("auto", "sdpa", "sdpa-flash", "sdpa-math"):
        assert found[Backend(name)].is_available
    for name in ("sdpa-efficient", "sdpa-cudnn"):
        assert "no such kernel" in found[Backend(name)].reason


@pytest.mark.parametrize("name", [one.backend for one in available(CPU) if one.is_available])
def test_what_is_available_can_be_chosen(name: Backend) -> None:
    choice = choose(name, CPU)
    assert choice.backend is name
    assert str(choice) == name


def test_a_name_nobody_knows_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(UnsupportedValue, match=r"got flashiest; allowed: auto, sdpa, .*, xformers, studio"):
        choose("flashiest", CPU)


def test_a_backend_that_the_device_has_not_is_refused_with_those_it_has() -> None:
    with pytest.raises(UnsupportedValue, match=r"allowed: auto, sdpa, sdpa-flash, sdpa-math") as refusal:
        choose("sdpa-cudnn", CPU)
    assert refusal.value.field == "attention"
    assert refusal.value.fix == "choose auto"


def test_our_own_program_is_refused_where_it_cannot_run() -> None:
    with pytest.raises((UnsupportedValue, MissingPackage), match="Triton"):
        choose("studio", CPU)


def test_a_library_that_is_missing_is_named_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import pipelines.attention as module

    find_spec = module.importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name, *rest: None if name == "xformers" else find_spec(name, *rest)
    )
    with pytest.raises(MissingPackage, match=r"pip install 'local-video-studio\[xformers\]'"):
        choose("xformers", CPU)


def test_torch_is_asked_which_kernel_it_prefers() -> None:
    assert preferred_kernel(CPU, batch=2, tokens=16) == "flash"


@torch.no_grad()
def test_our_own_attention_inside_a_routed_model_is_computed_by_its_backend() -> None:
    class Attention(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return dot_product_attention(x, x, x)

    module, query = Attention(), torch.randn(1, 2, 5, 8)
    with route(module, choose("sdpa-math", CPU)), Kernels() as kernels:
        module(query)
    assert (kernels.flash, kernels.softmax) == (0, 1)
