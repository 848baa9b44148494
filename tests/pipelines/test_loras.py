"""LoRAs: how they are named, what is refused, and that a pipeline is afterwards what it was."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from pipelines.lora_files import Denoisers, LoRA, digest_of, parse_loras
from pipelines.loras import with_loras
from studio.errors import UnsupportedValue, WeightsMismatch
from studio.provenance.manifest import Adapter
from tests.pipelines.conftest import save_svd, save_wan

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")
pytest.importorskip("peft")

pytestmark = pytest.mark.filterwarnings("ignore")

RANK = 3


@pytest.fixture(scope="module")
def wan(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return load(save_wan(tmp_path_factory.mktemp("wan")))


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return load(save_wan(tmp_path_factory.mktemp("pair"), experts=2))


@pytest.fixture(scope="module")
def svd(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return load(save_svd(tmp_path_factory.mktemp("svd")))


def load(folder: Path) -> Any:
    pipeline = diffusers.DiffusionPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def save(path: Path, tensors: dict[str, Any], metadata: dict[str, str] | None = None) -> Path:
    from safetensors.torch import save_file

    save_file({key: value.clone().contiguous() for key, value in tensors.items()}, path, metadata=metadata)
    return path


def tensors_for(network: Any, ending: str = "attn1.to_q", *, seed: int = 0, prefix: str = "transformer.") -> Any:
    """Return a random LoRA for the layers of a network whose names end so."""
    rng = torch.Generator().manual_seed(seed)
    found: dict[str, Any] = {}
    for name, layer in network.named_modules():
        if name.endswith(ending):
            found[f"{prefix}{name}.lora_A.weight"] = torch.randn(RANK, layer.in_features, generator=rng)
            found[f"{prefix}{name}.lora_B.weight"] = torch.randn(layer.out_features, RANK, generator=rng)
    assert found
    return found


def lora_at(path: Path, strength: float = 1.0, **values: Any) -> LoRA:
    return LoRA(path=path, strength=strength, sha256=digest_of(path), name=path.name, **values)


def fused(network: Any, tensors: dict[str, Any], strength: float, scale: float = 1.0) -> Any:
    """Return a copy of a network with the LoRA added to its weights."""
    import copy

    changed = copy.deepcopy(network)
    for key, down in tensors.items():
        if ".lora_A." in key:
            name = key.removesuffix(".lora_A.weight").removeprefix("transformer.").removeprefix("unet.")
            up = tensors[key.replace("lora_A", "lora_B")]
            changed.get_submodule(name).weight.data += strength * scale * (up @ down)
    return changed


def load_and_unload(pipeline: Any, loras: list[LoRA]) -> None:
    with with_loras(pipeline, loras):
        pass


def call_wan(network: Any, seed: int = 5) -> Any:
    rng = torch.Generator().manual_seed(seed)
    with torch.inference_mode():
        return network(
            torch.randn(1, 4, 2, 4, 4, generator=rng), torch.tensor([500.0]), torch.randn(1, 6, 16, generator=rng)
        ).sample


def call_svd(network: Any) -> Any:
    rng = torch.Generator().manual_seed(5)
    with torch.inference_mode():
        return network(
            torch.randn(1, 3, 8, 8, 8, generator=rng), torch.tensor(0.5), torch.randn(1, 1, 16, generator=rng),
            torch.tensor([[6.0, 127.0, 0.02]]),
        ).sample  # fmt: skip


def everything(network: Any) -> list[Any]:
    """Return the modules of a network, what they hold, and the bits of its weights."""
    modules = [(name, module, sorted(vars(module))) for name, module in network.named_modules()]
    modules += [(name, weight, weight.requires_grad) for name, weight in network.named_parameters()]
    return [modules, {name: tensor.clone() for name, tensor in network.state_dict().items()}]


def is_as_it_was(network: Any, before: list[Any]) -> bool:
    now = everything(network)
    same_bits = all(torch.equal(now[1][name], tensor) for name, tensor in before[1].items())
    same_parts = all(a[1] is b[1] and a[2] == b[2] for a, b in zip(now[0], before[0], strict=True))
    return bool(same_parts and now[1].keys() == before[1].keys() and same_bits)


class TestNames:
    @pytest.fixture(autouse=True)
    def _files(self, tmp_path: Path) -> None:
        for name in ("style", "other", "high"):
            save(tmp_path / f"{name}.safetensors", {f"{name}.lora_A.weight": torch.zeros(1, 1)})

    def test_files_and_strengths(self, tmp_path: Path) -> None:
        first, second = parse_loras(" style.safetensors:0.8, other.safetensors ,", tmp_path)
        assert (first.name, first.strength, first.denoisers) == ("style.safetensors", 0.8, Denoisers.BOTH)
        assert (second.path, second.strength) == (tmp_path / "other.safetensors", 1.0)
        assert first.adapter == Adapter(name="style.safetensors", sha256=digest_of(first.path), scale=0.8)

    def test_nothing_is_no_lora(self, tmp_path: Path) -> None:
        assert parse_loras("", tmp_path) == parse_loras(" , ", tmp_path) == ()

    @pytest.mark.parametrize("strength", ["-1.5", "0", "1e1", " 2 "])
    def test_negative_and_zero_strengths_are_strengths(self, tmp_path: Path, strength: str) -> None:
        (lora,) = parse_loras(f"style.safetensors:{strength}", tmp_path)
        assert lora.strength == float(strength)

    @pytest.mark.parametrize("strength", ["nan", "inf", "-inf", "10.5", "strong", ""])
    def test_wild_strengths_are_refused(self, tmp_path: Path, strength: str) -> None:
        with pytest.raises(UnsupportedValue, match=r"lora: style.safetensors has no such strength; got .*-10 to 10"):
            parse_loras(f"style.safetensors:{strength}", tmp_path)

    def test_one_denoiser_of_a_pair_can_be_chosen(self, tmp_path: Path) -> None:
        high, low = parse_loras("high:style.safetensors:0.5, low:high.safetensors", tmp_path)
        assert (high.denoisers, high.strength, high.name) == (Denoisers.HIGH, 0.5, "style.safetensors")
        assert (low.denoisers, low.strength, low.name) == (Denoisers.LOW, 1.0, "high.safetensors")

    def test_a_whole_path_is_taken_as_it_is(self, tmp_path: Path) -> None:
        (lora,) = parse_loras(f"{tmp_path}/style.safetensors:2", Path("/nowhere"))
        assert lora.path == tmp_path / "style.safetensors"

    def test_the_same_lora_twice_is_refused_under_any_name(self, tmp_path: Path) -> None:
        (tmp_path / "copy.safetensors").write_bytes((tmp_path / "style.safetensors").read_bytes())
        for second in ("style.safetensors", "copy.safetensors:0.5", "low:style.safetensors"):
            with pytest.raises(UnsupportedValue, match="named twice"):
                parse_loras(f"style.safetensors, {second}", tmp_path)
        assert len(parse_loras("high:style.safetensors, low:style.safetensors", tmp_path)) == 2

    def test_two_files_of_one_name_are_two_loras(self, tmp_path: Path) -> None:
        (tmp_path / "more").mkdir()
        save(tmp_path / "more" / "style.safetensors", {"b.lora_A.weight": torch.ones(1, 1)})
        assert len(parse_loras("style.safetensors, more/style.safetensors", tmp_path)) == 2


class TestRefusedFiles:
    def refusal(self, folder: Path, name: str) -> str:
        with pytest.raises(UnsupportedValue) as caught:
            parse_loras(name, folder)
        return caught.value.sentence()

    def test_what_is_not_there(self, tmp_path: Path) -> None:
        assert "there is no such file; got style.safetensors" in self.refusal(tmp_path, "style.safetensors:1")

    @pytest.mark.parametrize("name", ["style.pt", "style.bin:0.5", "style.ckpt", "style.PTH"])
    def test_a_pickle_is_not_even_looked_for(self, tmp_path: Path, name: str) -> None:
        assert "pickle, which can run code" in self.refusal(tmp_path, name)

    def test_another_kind_of_file(self, tmp_path: Path) -> None:
        assert "a LoRA is a safetensors file" in self.refusal(tmp_path, "style.gguf")

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"\x80\x04",
            struct.pack("<Q", 2**60) + b"{}",
            struct.pack("<Q", 10) + b"{}",
            struct.pack("<Q", 2) + b"[]",
            struct.pack("<Q", 8) + b'{"a": 1}',
            struct.pack("<Q", 2) + b"\xff\xff",
        ],
    )
    def test_a_file_that_only_has_the_name(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "style.safetensors").write_bytes(content)
        assert "no whole safetensors file" in self.refusal(tmp_path, "style.safetensors")

    def test_a_file_that_was_cut_off(self, tmp_path: Path) -> None:
        whole = save(tmp_path / "style.safetensors", {"a.lora_A.weight": torch.zeros(8, 8)})
        whole.write_bytes(whole.read_bytes()[:-1])
        assert "no whole safetensors file" in self.refusal(tmp_path, "style.safetensors")

    def test_a_checkpoint_that_is_no_lora(self, tmp_path: Path) -> None:
        save(tmp_path / "model.safetensors", {"blocks.0.attn1.to_q.weight": torch.zeros(2, 2)})
        assert "holds no LoRA; got model.safetensors" in self.refusal(tmp_path, "model.safetensors")

    @pytest.mark.parametrize(("key", "word"), [("a.dora_scale", "DoRA"), ("a.hada_w1_a", "LoHa"), ("a.diff", "weight")])
    def test_what_would_be_loaded_in_part_only(self, tmp_path: Path, key: str, word: str) -> None:
        save(tmp_path / "style.safetensors", {key: torch.zeros(1), "a.lora_A.weight": torch.zeros(1, 1)})
        assert f"holds a {word}" in self.refusal(tmp_path, "style.safetensors")


class TestWan:
    @pytest.mark.parametrize("strength", [1.0, 0.25, -2.0])
    def test_it_does_what_adding_it_to_the_weights_would(self, wan: Any, tmp_path: Path, strength: float) -> None:
        tensors = tensors_for(wan.transformer)
        lora = lora_at(save(tmp_path / "style.safetensors", tensors), strength)
        with with_loras(wan, [lora]) as loaded:
            result = call_wan(wan.transformer)
        assert torch.allclose(result, call_wan(fused(wan.transformer, tensors, strength)), atol=1e-3)
        assert not torch.allclose(result, call_wan(wan.transformer), atol=1e-2)
        assert loaded.adapters == (lora.adapter,)
        assert loaded.warnings == ()

    def test_the_pipeline_is_afterwards_what_it_was(self, wan: Any, tmp_path: Path) -> None:
        before, stock = everything(wan.transformer), call_wan(wan.transformer)
        loras = [
            lora_at(save(tmp_path / f"{seed}.safetensors", tensors_for(wan.transformer, seed=seed)), 1e3)
            for seed in (0, 1)
        ]
        for _ in range(2):
            with with_loras(wan, loras):
                assert not torch.equal(call_wan(wan.transformer), stock)
            assert is_as_it_was(wan.transformer, before)
            assert torch.equal(call_wan(wan.transformer), stock)

    def test_it_is_so_too_where_no_gradients_are_wanted_at_all(self, wan: Any, tmp_path: Path) -> None:
        before, stock = everything(wan.transformer), call_wan(wan.transformer)
        lora = lora_at(save(tmp_path / "style.safetensors", tensors_for(wan.transformer)))
        with torch.inference_mode(), with_loras(wan, [lora]):
            assert not torch.equal(call_wan(wan.transformer), stock)
        assert is_as_it_was(wan.transformer, before)
        assert torch.equal(call_wan(wan.transformer), stock)

    def test_two_loras_add_up(self, wan: Any, tmp_path: Path) -> None:
        one, two = tensors_for(wan.transformer, seed=1), tensors_for(wan.transformer, "attn2.to_v", seed=2)
        loras = [lora_at(save(tmp_path / "a.safetensors", one), 0.5), lora_at(save(tmp_path / "b.safetensors", two))]
        with with_loras(wan, loras):
            result = call_wan(wan.transformer)
        expected = call_wan(fused(fused(wan.transformer, one, 0.5), two, 1.0))
        assert torch.allclose(result, expected, atol=1e-3)

    def test_strength_zero_takes_no_part(self, wan: Any, tmp_path: Path) -> None:
        lora = lora_at(save(tmp_path / "style.safetensors", tensors_for(wan.transformer)), 0.0)
        stock = call_wan(wan.transformer)
        with with_loras(wan, [lora]) as loaded:
            assert torch.equal(call_wan(wan.transformer), stock)
        assert loaded.adapters == ()

    def test_names_of_other_trainers_and_their_alpha_are_understood(self, wan: Any, tmp_path: Path) -> None:
        down, up = torch.randn(RANK, 24), torch.randn(24, RANK)
        original = "diffusion_model.blocks.0.self_attn.q"
        foreign = {
            f"{original}.lora_down.weight": down,
            f"{original}.lora_up.weight": up,
            f"{original}.alpha": torch.tensor(1.5),
        }
        with with_loras(wan, [lora_at(save(tmp_path / "style.safetensors", foreign))]) as loaded:
            result = call_wan(wan.transformer)
        own = {"blocks.0.attn1.to_q.lora_A.weight": down, "blocks.0.attn1.to_q.lora_B.weight": up}
        assert torch.allclose(result, call_wan(fused(wan.transformer, own, 1.0, scale=0.5)), atol=1e-3)
        assert loaded.warnings == ()

    @pytest.mark.parametrize("prefix", ["", "base_model.model."])
    def test_names_without_the_networks_are_understood(self, wan: Any, tmp_path: Path, prefix: str) -> None:
        path = save(tmp_path / "style.safetensors", tensors_for(wan.transformer, prefix=prefix))
        with with_loras(wan, [lora_at(path)]):
            result = call_wan(wan.transformer)
        expected = call_wan(fused(wan.transformer, tensors_for(wan.transformer), 1.0))
        assert torch.allclose(result, expected, atol=1e-3)

    def test_a_scale_in_the_files_own_description_counts(self, wan: Any, tmp_path: Path) -> None:
        tensors = tensors_for(wan.transformer)
        described = {
            "transformer.r": RANK, "transformer.lora_alpha": 2 * RANK,
            "transformer.target_modules": ["blocks.0.attn1.to_q", "blocks.1.attn1.to_q"],
        }  # fmt: skip
        metadata = {"format": "pt", "lora_adapter_metadata": json.dumps(described)}
        with with_loras(wan, [lora_at(save(tmp_path / "style.safetensors", tensors, metadata))]):
            result = call_wan(wan.transformer)
        assert torch.allclose(result, call_wan(fused(wan.transformer, tensors, 1.0, scale=2.0)), atol=1e-3)

    def test_a_lora_that_fits_nothing_is_refused(self, wan: Any, tmp_path: Path, capfd: Any) -> None:
        before = everything(wan.transformer)
        for index, part in enumerate(("layers", "unet.blocks")):
            tensors = {
                key.replace("transformer.blocks" if "unet" in part else "blocks", part): value
                for key, value in tensors_for(wan.transformer).items()
            }
            lora = lora_at(save(tmp_path / f"{index}.safetensors", tensors))
            with pytest.raises(UnsupportedValue, match=rf"lora: the LoRA .*; got {index}\.safetensors; choose one"):
                load_and_unload(wan, [lora])
            assert is_as_it_was(wan.transformer, before)
        assert capfd.readouterr().err == ""

    def test_a_lora_for_a_larger_model_is_refused(self, wan: Any, tmp_path: Path) -> None:
        before = everything(wan.transformer)
        tensors = {
            key: value if "lora_A" in key else torch.cat([value, value])
            for key, value in tensors_for(wan.transformer).items()
        }
        good = lora_at(save(tmp_path / "good.safetensors", tensors_for(wan.transformer)))
        bad = lora_at(save(tmp_path / "bad.safetensors", tensors))
        with pytest.raises(UnsupportedValue, match=r"does not fit this model \(size mismatch.*got bad\.safetensors"):
            load_and_unload(wan, [good, bad])
        assert is_as_it_was(wan.transformer, before)

    def test_layers_that_fit_nowhere_are_told(self, wan: Any, tmp_path: Path) -> None:
        tensors = tensors_for(wan.transformer)
        more = {key.replace("blocks.0", "blocks.7"): value for key, value in tensors.items()}
        with with_loras(wan, [lora_at(save(tmp_path / "style.safetensors", tensors | more))]) as loaded:
            result = call_wan(wan.transformer)
        assert loaded.warnings == (
            "lora: 1 of the 3 layers of style.safetensors are not in this model and do nothing (blocks.7.attn1.to_q)",
        )
        assert torch.allclose(result, call_wan(fused(wan.transformer, tensors, 1.0)), atol=1e-3)

    def test_a_file_that_changed_since_is_refused(self, wan: Any, tmp_path: Path) -> None:
        lora = lora_at(save(tmp_path / "style.safetensors", tensors_for(wan.transformer)))
        save(lora.path, tensors_for(wan.transformer, seed=9))
        with pytest.raises(WeightsMismatch, match=r"style\.safetensors changed while the job waited"):
            load_and_unload(wan, [lora])

    def test_it_comes_off_after_a_failure_too(self, wan: Any, tmp_path: Path) -> None:
        before = everything(wan.transformer)
        lora = lora_at(save(tmp_path / "style.safetensors", tensors_for(wan.transformer)))
        with pytest.raises(KeyboardInterrupt), with_loras(wan, [lora]):
            raise KeyboardInterrupt
        assert is_as_it_was(wan.transformer, before)


class TestPairOfDenoisers:
    @pytest.mark.parametrize("which", list(Denoisers))
    def test_both_or_the_chosen_one_changes(self, pair: Any, tmp_path: Path, which: Denoisers) -> None:
        networks = (pair.transformer, pair.transformer_2)
        before, stock = [everything(one) for one in networks], [call_wan(one) for one in networks]
        lora = lora_at(save(tmp_path / "style.safetensors", tensors_for(pair.transformer)), denoisers=which)
        with with_loras(pair, [lora]):
            changed = [not torch.equal(call_wan(one), old) for one, old in zip(networks, stock, strict=True)]
        assert changed == [which is not Denoisers.LOW, which is not Denoisers.HIGH]
        assert all(is_as_it_was(one, old) for one, old in zip(networks, before, strict=True))

    def test_each_has_its_own_strength(self, pair: Any, tmp_path: Path) -> None:
        path = save(tmp_path / "style.safetensors", tensors_for(pair.transformer))
        high, low = (lora_at(path, value, denoisers=Denoisers(which)) for value, which in ((0.5, "high"), (2.0, "low")))
        with with_loras(pair, [high, low]):
            results = call_wan(pair.transformer), call_wan(pair.transformer_2)
        tensors = tensors_for(pair.transformer)
        assert torch.allclose(results[0], call_wan(fused(pair.transformer, tensors, 0.5)), atol=1e-3)
        assert torch.allclose(results[1], call_wan(fused(pair.transformer_2, tensors, 2.0)), atol=1e-3)

    def test_a_model_with_one_denoiser_has_no_high_and_low(self, wan: Any, tmp_path: Path) -> None:
        lora = lora_at(save(tmp_path / "style.safetensors", tensors_for(wan.transformer)), denoisers=Denoisers.LOW)
        with pytest.raises(UnsupportedValue, match="this model has one denoiser; got low:style"):
            load_and_unload(wan, [lora])


class TestStableVideoDiffusion:
    @pytest.mark.parametrize("prefix", ["unet.", "", "base_model.model."])
    def test_it_does_what_adding_it_to_the_weights_would(self, svd: Any, tmp_path: Path, prefix: str) -> None:
        before, stock = everything(svd.unet), call_svd(svd.unet)
        path = save(tmp_path / "style.safetensors", tensors_for(svd.unet, prefix=prefix))
        with with_loras(svd, [lora_at(path, 0.5)]) as loaded:
            result = call_svd(svd.unet)
        assert torch.allclose(result, call_svd(fused(svd.unet, tensors_for(svd.unet, prefix=""), 0.5)), atol=1e-3)
        assert not torch.allclose(result, stock, atol=1e-2)
        assert loaded.warnings == ()
        assert is_as_it_was(svd.unet, before)
        assert torch.equal(call_svd(svd.unet), stock)

    def test_two_of_other_ranks_and_alphas_add_up(self, svd: Any, tmp_path: Path) -> None:
        one = tensors_for(svd.unet, prefix="")
        two = tensors_for(svd.unet, "attn1.to_out.0", seed=4, prefix="")
        name = next(iter(two)).removesuffix(".lora_A.weight")
        two |= {key: value[:1] if "lora_A" in key else value[:, :1] for key, value in two.items() if name in key}
        paths = [
            save(tmp_path / "a.safetensors", one),
            save(tmp_path / "b.safetensors", two | {f"{name}.alpha": torch.tensor(0.5)}),
        ]
        with with_loras(svd, [lora_at(path) for path in paths]):
            result = call_svd(svd.unet)
        halved = two | {f"{name}.lora_B.weight": 0.5 * two[f"{name}.lora_B.weight"]}
        expected = call_svd(fused(fused(svd.unet, one, 1.0), halved, 1.0))
        assert torch.allclose(result, expected, atol=1e-3)

    def test_one_that_fits_nothing_or_in_part_is_told(self, svd: Any, tmp_path: Path) -> None:
        tensors = tensors_for(svd.unet, prefix="")
        strange = {f"elsewhere.{key}": value for key, value in tensors.items()}
        before = everything(svd.unet)
        with pytest.raises(UnsupportedValue, match=r"fits no layer of this model; got strange\.safetensors"):
            load_and_unload(svd, [lora_at(save(tmp_path / "strange.safetensors", strange))])
        assert is_as_it_was(svd.unet, before)
        with with_loras(svd, [lora_at(save(tmp_path / "part.safetensors", tensors | strange))]) as loaded:
            assert len(loaded.warnings) == 1
        assert "layers of part.safetensors are not in this model" in loaded.warnings[0]

    def test_a_whole_clip_is_made_with_it(self, svd: Any, tmp_path: Path) -> None:
        def clip() -> Any:
            image = PIL.Image.fromarray(np.full((32, 32, 3), 99, np.uint8))
            rng = torch.Generator().manual_seed(0)
            with torch.inference_mode():
                return svd(image, height=32, width=32, num_frames=2, num_inference_steps=2, generator=rng,
                           output_type="latent").frames  # fmt: skip

        stock = clip()
        with with_loras(svd, [lora_at(save(tmp_path / "style.safetensors", tensors_for(svd.unet, prefix="unet.")))]):
            assert not torch.equal(clip(), stock)
        assert torch.equal(clip(), stock)

    def test_the_exact_forward_sees_it(self, svd: Any, tmp_path: Path) -> None:
        exact = pytest.importorskip("pipelines.exact.unet")
        from pipelines.plan import Tiling

        with with_loras(svd, [lora_at(save(tmp_path / "style.safetensors", tensors_for(svd.unet, prefix="unet.")))]):
            stock = call_svd(svd.unet)
            with exact.installed(svd.unet, Tiling(frames=1, positions=16)):
                assert torch.allclose(call_svd(svd.unet), stock, atol=1e-3)
