"""Embeddings on disk: the same bits again, nobody else's business, and never a reason for a run to fail."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipelines.embedding_cache import EmbeddingCache, embedding_key, fingerprint, key_of_request
from pipelines.placement import Placement
from studio.catalog.loader import load_catalog
from studio.request import GenerationRequest, ResolvedRequest
from studio.resolve import resolve

torch = pytest.importorskip("torch")

MODEL = "wan2.1-t2v-1.3b"
CPU = Placement(device=torch.device("cpu"), dtype=torch.float32)


def embeddings(seed: int = 0) -> dict[str, Any]:
    rng = torch.Generator().manual_seed(seed)
    return {
        "prompt_embeds": torch.randn(1, 7, 16, generator=rng).to(torch.bfloat16),
        "negative_prompt_embeds": None,
        "masks": [torch.ones(1, 7, dtype=torch.bool), torch.arange(3)],
        "strided": torch.randn(4, 6, generator=rng).T,
        "guidance": 5.0,
    }


def key(**changes: Any) -> str:
    facts = {
        "weights": "abc", "prompt": "a cat", "negative_prompt": "blurry", "max_sequence_length": 512,
        "is_guided": True, "placement": CPU,
    }  # fmt: skip
    return embedding_key(**(facts | changes))


def are_equal(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and one.stride() == other.stride() and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(are_equal(one[name], other[name]) for name in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(are_equal, one, other))
    return type(one) is type(other) and bool(one == other)


def age(path: Path, seconds: int) -> None:
    then = path.stat().st_mtime - seconds
    os.utime(path, (then, then))


def test_what_was_put_in_comes_back_bit_for_bit(tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path / "embeddings")
    assert cache.get(key(), CPU) is None
    cache.put(key(), embeddings(), CPU)
    found = EmbeddingCache(tmp_path / "embeddings").get(key(), CPU)
    assert found is not None
    assert are_equal(found, embeddings())


@pytest.mark.parametrize(
    "change",
    [
        {"weights": "abd"},
        {"prompt": "a cat "},
        {"negative_prompt": ""},
        {"max_sequence_length": 256},
        {"is_guided": False},
        {"placement": Placement(device=torch.device("cpu"), dtype=torch.bfloat16)},
        {"others": {"picture": "0123"}},
    ],
)
def test_whatever_decides_the_bits_is_part_of_the_key(change: dict[str, Any]) -> None:
    assert key() == key()
    assert key(**change) != key()


def test_a_negative_prompt_that_is_not_encoded_does_not_count() -> None:
    assert key(is_guided=False, negative_prompt="x") == key(is_guided=False, negative_prompt="y")


def test_another_version_of_a_library_is_another_key(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.metadata

    before = key()
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "9.9" if name == "transformers" else "1")
    assert key() != before


def test_prompts_of_any_kind_have_a_key() -> None:
    assert len({key(prompt=prompt) for prompt in ("", "\0", "\udcff", "日本", "a" * 10_000)}) == 5


def test_the_folder_and_its_files_are_for_the_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "home" / "embeddings"
    folder.mkdir(parents=True, mode=0o755)
    folder.chmod(0o755)
    EmbeddingCache(folder).put(key(), embeddings(), CPU)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    (file,) = folder.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert b"a cat" not in file.read_bytes()


@pytest.mark.parametrize("damage", [lambda content: b"", lambda content: content[:-3], lambda content: b"x" * 100])
def test_a_broken_file_is_none_and_goes_away(tmp_path: Path, damage: Any) -> None:
    cache = EmbeddingCache(tmp_path)
    cache.put(key(), embeddings(), CPU)
    (file,) = tmp_path.iterdir()
    file.write_bytes(damage(file.read_bytes()))
    assert cache.get(key(), CPU) is None
    assert list(tmp_path.iterdir()) == []
    cache.put(key(), embeddings(), CPU)
    assert cache.get(key(), CPU) is not None


def test_what_was_made_with_another_number_of_threads_is_none(tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path)
    cache.put("name", embeddings(), CPU)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(threads + 1)
        assert cache.get("name", CPU) is None
    finally:
        torch.set_num_threads(threads)


def test_those_not_asked_for_longest_go_first(tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path)
    cache.put("a", embeddings(), CPU)
    (file,) = tmp_path.iterdir()
    size = file.stat().st_size
    cache = EmbeddingCache(tmp_path, max_bytes=3 * size + size // 2)
    for seconds, name in ((400, "a"), (300, "b"), (200, "c")):
        cache.put(name, embeddings(), CPU)
        age(tmp_path / f"{name}.safetensors", seconds)
    assert cache.get("a", CPU) is not None
    cache.put("d", embeddings(), CPU)
    assert {path.stem for path in tmp_path.iterdir()} == {"a", "c", "d"}
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 3 * size


def test_what_is_larger_than_the_whole_room_is_not_kept(tmp_path: Path) -> None:
    EmbeddingCache(tmp_path, max_bytes=100).put(key(), embeddings(), CPU)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_goes_after_a_while(tmp_path: Path) -> None:
    for name, seconds in ((".old.part", 7200), (".new.part", 10)):
        (tmp_path / name).write_bytes(b"half")
        age(tmp_path / name, seconds)
    EmbeddingCache(tmp_path).put("a", embeddings(), CPU)
    assert {path.name for path in tmp_path.iterdir()} == {".new.part", "a.safetensors"}


def test_a_folder_that_cannot_be_written_fails_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    cache = EmbeddingCache(tmp_path / "file" / "embeddings")
    cache.put(key(), embeddings(), CPU)
    assert cache.get(key(), CPU) is None


def test_what_has_no_exact_form_is_not_kept(tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path)
    cache.put(key(), {"prompt_embeds": object()}, CPU)
    assert cache.get(key(), CPU) is None


def test_all_can_be_removed(tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path)
    cache.put(key(), embeddings(), CPU)
    (tmp_path / "note.txt").write_text("not ours")
    cache.clear()
    assert [path.name for path in tmp_path.iterdir()] == ["note.txt"]


def test_no_room_at_all_keeps_nothing_and_removes_what_was_kept(tmp_path: Path) -> None:
    EmbeddingCache(tmp_path).put("a", embeddings(), CPU)
    none = EmbeddingCache(tmp_path, max_bytes=0)
    assert none.get("a", CPU) is None
    none.put("b", embeddings(), CPU)
    assert list(tmp_path.iterdir()) == []


def test_no_room_at_all_fails_nothing_where_something_cannot_be_removed(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").mkdir()
    assert EmbeddingCache(tmp_path, max_bytes=0).get("a", CPU) is None


def test_weights_that_are_exchanged_have_another_fingerprint(tmp_path: Path) -> None:
    parts = ("text_encoder", "tokenizer")
    for part in (*parts, "transformer"):
        (tmp_path / part).mkdir()
        (tmp_path / part / "model.safetensors").write_bytes(b"12345")
    before = fingerprint(tmp_path, parts)
    (tmp_path / "transformer" / "model.safetensors").write_bytes(b"other")
    assert fingerprint(tmp_path, reversed(parts)) == before
    (tmp_path / "text_encoder" / "model.safetensors").write_bytes(b"1234")
    changed = fingerprint(tmp_path, parts)
    (tmp_path / "tokenizer" / "more.json").write_bytes(b"{}")
    assert len({before, changed, fingerprint(tmp_path, parts), fingerprint(tmp_path, ("text_encoder_2",))}) == 4


class TestKeysOfRequests:
    def request(self, **options: Any) -> ResolvedRequest:
        spec = load_catalog().get(MODEL)
        resolved = resolve(spec, GenerationRequest(model=MODEL, prompt="a cat", negative_prompt="blurry", seed=1))
        return replace(resolved, options={**resolved.options, **options})

    def key(self, resolved: ResolvedRequest, folder: Path) -> str:
        return key_of_request(resolved, folder, CPU, settings={})

    @pytest.mark.parametrize("option", ["speed", "attention", "scheduler", "compile", "decode_chunk_size"])
    def test_how_the_denoiser_and_the_decoder_run_has_no_part(self, tmp_path: Path, option: str) -> None:
        assert self.key(self.request(**{option: "other"}), tmp_path) == self.key(self.request(), tmp_path)

    @pytest.mark.parametrize("option", ["lora", "weights_format", "motion_score", "true_cfg_scale", "of_a_plug_in"])
    def test_whatever_a_text_encoder_might_hear_of_has(self, tmp_path: Path, option: str) -> None:
        assert self.key(self.request(**{option: "other"}), tmp_path) != self.key(self.request(), tmp_path)

    def test_a_negative_prompt_counts_where_an_option_guides_instead_of_the_guidance_scale(
        self, tmp_path: Path
    ) -> None:
        one = replace(self.request(true_cfg_scale=6.0), guidance_scale=1.0)
        assert self.key(replace(one, negative_prompt="sharp"), tmp_path) != self.key(one, tmp_path)
