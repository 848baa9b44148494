"""How much main memory there is and what weights will take of it, from headers alone, whatever state files are in."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import save_file

from pipelines import memory as module
from pipelines.memory import GIB, MOST_BYTES_PER_PIXEL, Budget, available_ram, require_ram_for_loading, surely_fits
from pipelines.placement import Placement, suppose_card
from studio.catalog.loader import load_catalog
from studio.config import Settings
from studio.errors import OutOfMemory
from studio.request import GenerationRequest, ResolvedRequest
from studio.resolve import resolve

CPU = Placement(device=torch.device("cpu"), dtype=torch.float32)
SPEC = load_catalog().get("micro-wan")


@pytest.fixture
def resolved() -> ResolvedRequest:
    return resolve(SPEC, GenerationRequest(model="micro-wan", prompt="a red circle", seed=1))


@pytest.fixture
def cgroup(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, dict[str, str]], int]:
    """Return a function: free bytes of the machine, files of the cgroup -> what this process may still take."""

    def find(free: int, files: dict[str, str]) -> int:
        stock = Path.read_text

        def read(path: Path, *given: object, **named: object) -> str:
            if path.parent != Path("/sys/fs/cgroup"):
                return stock(path, *given, **named)  # type: ignore[arg-type]
            if path.name not in files:
                raise FileNotFoundError(path)
            return files[path.name]

        monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"available": free}))
        monkeypatch.setattr(Path, "read_text", read)
        return available_ram()

    return find


def needed(folder: Path, placement: Placement, monkeypatch: pytest.MonkeyPatch) -> int:
    """Return the bytes of weights at which the folder just fits."""
    for free in range(2000):
        monkeypatch.setattr(module, "available_ram", lambda free=free: free)
        try:
            require_ram_for_loading(SPEC, folder, placement)
        except OutOfMemory:
            continue
        return free
    raise AssertionError("more than it has")


class TestContainers:
    @pytest.mark.parametrize(
        ("files", "expected"),
        [
            ({}, 8 * GIB),
            ({"memory.max": "max\n", "memory.current": f"{GIB}\n"}, 8 * GIB),
            ({"memory.max": f"{4 * GIB}\n", "memory.current": f"{GIB}\n"}, 3 * GIB),
            ({"memory.max": f"{64 * GIB}\n", "memory.current": f"{GIB}\n"}, 8 * GIB),
            ({"memory.max": f"{4 * GIB}\n", "memory.current": f"{5 * GIB}\n"}, 0),
            ({"memory.max": f"{4 * GIB}\n"}, 8 * GIB),
            ({"memory.max": "", "memory.current": "1"}, 8 * GIB),
        ],
        ids=["no cgroup", "no limit", "limit", "limit above what is free", "over it", "half of it", "garbage"],
    )
    def test_a_limit_counts_where_it_is_below_what_is_free(
        self, files: dict[str, str], expected: int, cgroup: Callable[[int, dict[str, str]], int]
    ) -> None:
        assert cgroup(8 * GIB, files) == expected

    def test_files_that_the_system_keeps_in_reserve_can_be_had(
        self, cgroup: Callable[[int, dict[str, str]], int]
    ) -> None:
        """Weights that were just downloaded or read stand in the cache, and are counted as used."""
        files = {
            "memory.max": f"{8 * GIB}\n",
            "memory.current": f"{7 * GIB}\n",
            "memory.stat": f"anon {GIB}\nfile {6 * GIB}\nactive_file {2 * GIB}\ninactive_file {4 * GIB}\n",
        }
        assert cgroup(64 * GIB, files) == 5 * GIB
        assert cgroup(64 * GIB, files | {"memory.stat": "anon what\n"}) == GIB

    def test_a_card_is_measured_only_where_there_is_one(self, settings: Settings) -> None:
        budget = Budget.measure(CPU, settings)
        assert budget.device_bytes is None
        assert budget.ram_bytes > 0


class TestWeights:
    def test_numbers_count_in_the_format_they_are_loaded_to(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "vae").mkdir()
        save_file({"a": torch.zeros(3, 5, dtype=torch.float16), "b": torch.zeros(())}, tmp_path / "one.safetensors")
        save_file({"c": torch.zeros(4)}, tmp_path / "vae" / "two.safetensors", metadata={"format": "pt"})
        assert needed(tmp_path, CPU, monkeypatch) == (15 + 1 + 4) * 4
        assert needed(tmp_path, suppose_card("bfloat16"), monkeypatch) == (15 + 1 + 4) * 2

    def test_of_two_variants_one_is_loaded(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        save_file({"a": torch.zeros(10)}, tmp_path / "model.safetensors")
        save_file({"a": torch.zeros(10, dtype=torch.float16)}, tmp_path / "model.fp16.safetensors")
        assert needed(tmp_path, CPU, monkeypatch) == 40
        (tmp_path / "model.safetensors").unlink()
        assert needed(tmp_path, CPU, monkeypatch) == 40

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"\x01",
            b"\xff" * 64,
            (10**6).to_bytes(8, "little") + b"{}",
            (7).to_bytes(8, "little") + b'{"half ',
            (2).to_bytes(8, "little") + b"[]",
            (2).to_bytes(8, "little") + b"\xff\xfe",
            *(
                len(text).to_bytes(8, "little") + text
                for text in (
                    json.dumps({"a": {}}).encode(),
                    json.dumps({"a": 3}).encode(),
                    json.dumps({"a": {"shape": 3}}).encode(),
                    json.dumps({"a": {"shape": ["x"]}}).encode(),
                    b'{"a": ' + b"[" * 100_000 + b"}",
                )
            ),
        ],
        ids=range(12),
    )
    def test_a_damaged_file_counts_nothing_and_loading_will_tell(
        self, content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        save_file({"a": torch.zeros(10)}, tmp_path / "whole.safetensors")
        (tmp_path / "broken.safetensors").write_bytes(content)
        assert needed(tmp_path, CPU, monkeypatch) == 40

    def test_what_is_no_weights_file_does_not_count(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "model.bin").write_bytes(b"x" * 1000)
        (tmp_path / "folder.safetensors").mkdir()
        assert needed(tmp_path, CPU, monkeypatch) == 0

    def test_the_refusal_says_what_is_free_and_what_is_needed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shape = [GIB, 3]
        header = json.dumps({"a": {"dtype": "F32", "shape": shape, "data_offsets": [0, 4 * math.prod(shape)]}}).encode()
        (tmp_path / "large.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
        monkeypatch.setattr(module, "available_ram", lambda: 2 * GIB)
        with pytest.raises(OutOfMemory) as refusal:
            require_ram_for_loading(SPEC, tmp_path, CPU)
        assert refusal.value.got == "2.0 GiB of RAM free"
        assert refusal.value.allowed == "12.0 GiB or more"
        assert SPEC.id in refusal.value.sentence()


def test_only_a_clip_that_takes_less_than_half_needs_no_look_ahead(resolved: ResolvedRequest) -> None:
    clip = replace(resolved, width=10, height=20, num_frames=3)
    most = 10 * 20 * 3 * MOST_BYTES_PER_PIXEL
    assert surely_fits(clip, Budget(device_bytes=None, ram_bytes=2 * most + 2))
    assert not surely_fits(clip, Budget(device_bytes=None, ram_bytes=2 * most))
    assert not surely_fits(replace(clip, num_frames=4), Budget(device_bytes=None, ram_bytes=2 * most + 2))
    assert not surely_fits(clip, Budget(device_bytes=None, ram_bytes=0))
