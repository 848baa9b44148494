"""torch.compile: what is compiled, what is kept, and that a machine without a compiler makes its clips all the same."""

from __future__ import annotations

import functools
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.compiling import compiled
from pipelines.loras import with_loras
from pipelines.speed import SpeedProfile
from pipelines.step_cache import StepCache
from tests.pipelines.conftest import save_svd, save_wan
from tests.pipelines.test_loras import call_svd, call_wan, load, lora_at, save, tensors_for
from tests.pipelines.test_speed import sample_wan, with_profile

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")

pytestmark = pytest.mark.filterwarnings("ignore")

needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="there is no C++ compiler")


@pytest.fixture(scope="module")
def wan(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return load(save_wan(tmp_path_factory.mktemp("wan")))


@pytest.fixture(scope="module")
def svd(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return load(save_svd(tmp_path_factory.mktemp("svd")))


@pytest.fixture
def traced_only(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Let torch trace as it does, and run what it traced without a compiler. Returns the graphs."""
    graphs: list[Any] = []

    def keep(graph: Any, _inputs: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=keep))
    monkeypatch.setattr(shutil, "which", lambda _name: "/usr/bin/c++")
    torch._dynamo.reset()
    yield graphs
    torch._dynamo.reset()


def own_parts(network: Any) -> list[Any]:
    return [(name, sorted(vars(module))) for name, module in network.named_modules()]


def test_a_repeated_block_is_compiled_once_for_all_its_copies(wan: Any, tmp_path: Path, traced_only: list[Any]) -> None:
    stock, before = call_wan(wan.transformer), own_parts(wan.transformer)
    for _ in range(2):
        with compiled(wan, tmp_path) as state:
            assert torch.allclose(call_wan(wan.transformer), stock, atol=1e-5)
        assert own_parts(wan.transformer) == before
    assert len(wan.transformer.blocks) == 2
    assert len(traced_only) == 1
    assert state.warnings == ()
    assert torch.equal(call_wan(wan.transformer), stock)


@pytest.mark.slow
def test_a_network_without_named_blocks_is_compiled_whole(svd: Any, tmp_path: Path, traced_only: list[Any]) -> None:
    stock, before = call_svd(svd.unet), own_parts(svd.unet)
    with compiled(svd, tmp_path) as state:
        assert torch.allclose(call_svd(svd.unet), stock, atol=1e-5)
    assert len(traced_only) == 1
    assert state.warnings == ()
    assert own_parts(svd.unet) == before


def test_the_folder_is_private_and_the_environment_comes_back(
    wan: Any, tmp_path: Path, traced_only: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRITON_CACHE_DIR", "/elsewhere")
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    folder = tmp_path / "home" / "compiled"
    with compiled(wan, folder):
        assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(folder / "inductor")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert os.environ["TRITON_CACHE_DIR"] == "/elsewhere"
    assert "TORCHINDUCTOR_CACHE_DIR" not in os.environ


def test_loras_and_speed_profiles_work_with_it(wan: Any, tmp_path: Path, traced_only: list[Any]) -> None:
    profile = SpeedProfile(name="fast", cache=StepCache(kind="first-block", values={"threshold": 0.5}))
    lora = lora_at(save(tmp_path / "style.safetensors", tensors_for(wan.transformer)))
    before = own_parts(wan.transformer)
    with with_loras(wan, [lora]):
        expected = with_profile(sample_wan, wan, profile)
        with compiled(wan, tmp_path / "compiled") as state:
            assert torch.allclose(with_profile(sample_wan, wan, profile), expected, atol=1e-4)
    assert traced_only
    assert state.warnings == ()
    assert own_parts(wan.transformer) == before


def test_weights_that_come_and_go_as_a_whole_can_be_compiled(tmp_path: Path, traced_only: list[Any]) -> None:
    from accelerate.hooks import ModelHook, add_hook_to_module, remove_hook_from_module

    pipeline = load(save_wan(tmp_path / "wan"))
    network = pipeline.transformer
    network._repeated_blocks = []  # the whole of it
    stock = call_wan(network)
    moved: list[str] = []

    class Recording(ModelHook):  # type: ignore[misc]
        def pre_forward(self, module: Any, *arguments: Any, **named: Any) -> Any:
            moved.append(type(module).__name__)
            return arguments, named

    add_hook_to_module(network, Recording())
    with compiled(pipeline, tmp_path / "compiled"):
        assert torch.allclose(call_wan(network), stock, atol=1e-5)
    assert len(traced_only) == len(moved) == 1
    remove_hook_from_module(network)
    assert torch.equal(call_wan(network), stock)


def test_weights_that_are_streamed_are_not_compiled(tmp_path: Path, traced_only: list[Any]) -> None:
    from diffusers.hooks import apply_group_offloading

    pipeline = load(save_wan(tmp_path / "wan"))
    stock = call_wan(pipeline.transformer)
    apply_group_offloading(
        pipeline.transformer, onload_device=torch.device("cpu"), offload_type="block_level", num_blocks_per_group=1
    )
    with compiled(pipeline, tmp_path / "compiled") as state:
        assert torch.equal(call_wan(pipeline.transformer), stock)
    assert state.warnings == ("compile: the model runs uncompiled (its weights are streamed)",)
    assert traced_only == []


def test_without_a_compiler_the_clip_is_made_and_a_sentence_says_so(
    wan: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    stock = call_wan(wan.transformer)
    with compiled(wan, tmp_path) as state:
        assert torch.equal(call_wan(wan.transformer), stock)
    assert state.warnings == (
        "compile: the model runs uncompiled (there is no C++ compiler on this machine; install g++ or clang)",
    )


def test_an_error_of_the_compiler_is_a_warning(wan: Any, tmp_path: Path) -> None:
    import torch._inductor.config

    stock = call_wan(wan.transformer)
    torch._dynamo.reset()
    broken = torch._inductor.config.patch({"cpp.cxx": ("/nowhere/c++",), "force_disable_caches": True})
    with broken, compiled(wan, tmp_path) as state:
        assert torch.equal(call_wan(wan.transformer), stock)
        assert torch.equal(call_wan(wan.transformer), stock)
    torch._dynamo.reset()
    assert len(state.warnings) == 1
    assert state.warnings[0].startswith("compile: the model runs uncompiled (")


IN_ANOTHER_PROCESS = """
import sys
from pathlib import Path
import torch
from torch._dynamo.utils import counters
from tests.pipelines.test_loras import call_wan, load
from pipelines.compiling import compiled
pipeline = load(Path(sys.argv[1]))
stock = call_wan(pipeline.transformer)
with compiled(pipeline, Path(sys.argv[2])) as state:
    result = call_wan(pipeline.transformer)
assert state.warnings == () and torch.allclose(result, stock, atol=1e-5)
sys.stdout.write(f"{counters['inductor']['fxgraph_cache_hit']}")
"""


@pytest.mark.slow
@needs_compiler
def test_another_process_finds_what_was_compiled(tmp_path: Path) -> None:
    save_wan(tmp_path / "wan")
    command = [sys.executable, "-c", IN_ANOTHER_PROCESS, str(tmp_path / "wan"), str(tmp_path / "compiled")]
    hits = [subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(2)]
    assert hits == ["0", "1"]
