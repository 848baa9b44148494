"""A job runs with the very LoRA files that it was sent with, or not at all."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.embedding_cache import key_of_request
from pipelines.lora_files import MAX_CHARACTERS, digest_of, parse_loras, pinned
from pipelines.placement import Placement
from studio.app import Studio
from studio.catalog.loader import load_catalog
from studio.errors import UnsupportedValue, WeightsMismatch
from studio.generator import Generator
from studio.jobs.checkpoints import checkpoint_key
from studio.jobs.job import JobWish
from studio.request import GenerationRequest, ResolvedRequest
from tests.pipelines.conftest import RecordingRun, save_wan

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.filterwarnings("ignore")

MODEL = "wan2.1-t2v-1.3b"
CPU = Placement(device=torch.device("cpu"), dtype=torch.float32)


def write_lora(path: Path, value: float = 0.0) -> Path:
    """Write the smallest file that passes for a LoRA."""
    header = json.dumps({"a.lora_A.weight": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(header)) + header + struct.pack("<f", value))
    return path


class TestDigests:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        return write_lora(tmp_path / "loras" / "style.safetensors").parent

    @pytest.mark.parametrize("strength", ["", ":0.8", " : -1e-05 "])
    def test_a_file_with_this_digest_is_taken(self, folder: Path, strength: str) -> None:
        digest = digest_of(folder / "style.safetensors")
        for text in (digest, digest.upper()):
            (lora,) = parse_loras(f"low:style.safetensors{strength}@{text}", folder)
            assert (lora.sha256, lora.denoisers) == (digest, "low")
            assert lora.strength == float(strength.strip(" :") or 1)

    def test_a_file_with_another_one_is_refused_with_both_and_what_to_do(self, folder: Path) -> None:
        digest, wanted = digest_of(folder / "style.safetensors"), "0" * 64
        with pytest.raises(WeightsMismatch) as caught:
            parse_loras(f"style.safetensors:0.8@{wanted}", folder)
        sentence = caught.value.sentence()
        assert "style.safetensors is not the file that was asked for" in sentence
        assert digest in sentence
        assert wanted in sentence
        assert "put that file back" in sentence
        assert str(folder) not in sentence

    def test_that_it_is_another_file_is_told_before_that_it_is_no_lora(self, folder: Path) -> None:
        text = pinned(parse_loras("style.safetensors", folder), folder)
        (folder / "style.safetensors").write_bytes(b"junk")
        with pytest.raises(WeightsMismatch):
            parse_loras(text, folder)

    @pytest.mark.parametrize("digest", ["", "abc", "g" * 64, "0" * 63, "0" * 65, "٠" * 64])
    def test_what_is_no_digest_is_refused(self, folder: Path, digest: str) -> None:
        with pytest.raises(UnsupportedValue, match=r"style.safetensors has no such digest; .*64 hex digits"):
            parse_loras(f"style.safetensors@{digest}", folder)

    def test_an_at_may_stand_in_a_name(self, folder: Path) -> None:
        write_lora(folder / "v2@home" / "style@v2.safetensors")
        (lora,) = parse_loras("v2@home/style@v2.safetensors:0.5", folder)
        assert (lora.name, lora.strength) == ("style@v2.safetensors", 0.5)
        assert parse_loras(pinned([lora], folder), folder) == (lora,)


class TestPinned:
    def test_files_of_the_folder_are_named_without_it_and_others_with_their_whole_path(self, tmp_path: Path) -> None:
        folder = tmp_path / "loras"
        inside, deeper = write_lora(folder / "in.safetensors"), write_lora(folder / "more" / "in.safetensors", 1)
        outside = write_lora(tmp_path / "out.safetensors", 2)
        text = f"high:{inside}:0.1, more/in.safetensors, {outside}:-2"
        one, two, three = (digest_of(path) for path in (inside, deeper, outside))
        assert pinned(parse_loras(text, folder), folder) == (
            f"high:in.safetensors:0.1@{one}, more/in.safetensors:1@{two}, {outside}:-2@{three}"
        )

    @pytest.mark.parametrize(
        "name", ["a.safetensors", "high:a.safetensors", " a.safetensors", "~a.safetensors", "a:1.safetensors"]
    )
    @pytest.mark.parametrize("strength", [1.0, 0.1 + 0.2, -10.0, 1e-07, -0.0])
    def test_what_is_read_back_is_what_was_written(self, tmp_path: Path, name: str, strength: float) -> None:
        path = write_lora(tmp_path / name)
        (lora,) = parse_loras(f"{path}:{strength!r}", tmp_path)
        text = pinned([lora], tmp_path)
        assert str(tmp_path) not in text
        (again,) = parse_loras(text, tmp_path)
        assert again == lora
        assert repr(again.strength) == repr(strength)
        assert pinned([again], tmp_path) == text

    def test_nothing_stays_nothing(self, tmp_path: Path) -> None:
        assert pinned(parse_loras(" , ", tmp_path), tmp_path) == ""

    def test_a_folder_with_a_comma_is_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write_lora(tmp_path / "one, two" / "style.safetensors")
        monkeypatch.setenv("HOME", str(tmp_path / "one, two"))
        with pytest.raises(UnsupportedValue, match="comma"):
            pinned(parse_loras("~/style.safetensors", tmp_path), tmp_path)

    def test_what_would_be_too_long_for_the_option_is_refused_at_once(self, tmp_path: Path) -> None:
        assert load_catalog().get(MODEL).parameters.options["lora"].max_characters == MAX_CHARACTERS
        names = [write_lora(tmp_path / f"{number}.safetensors", number).name for number in range(60)]
        loras = parse_loras(", ".join(names), tmp_path)
        with pytest.raises(UnsupportedValue, match=f"too many LoRAs.*up to {MAX_CHARACTERS}"):
            pinned(loras, tmp_path)
        assert len(pinned(loras[:40], tmp_path)) <= MAX_CHARACTERS


class TestPlaces:
    def refusal(self, name: str, folder: Path) -> str:
        with pytest.raises(UnsupportedValue) as caught:
            parse_loras(name, folder)
        return caught.value.sentence()

    @pytest.mark.parametrize("name", ["../x.safetensors", "more/../../x.safetensors", "./../x.safetensors"])
    def test_relative_names_do_not_leave_the_folder(self, tmp_path: Path, name: str) -> None:
        write_lora(tmp_path / "x.safetensors")
        (tmp_path / "loras" / "more").mkdir(parents=True)
        assert "outside of the folder for LoRAs" in self.refusal(name, tmp_path / "loras")

    def test_nor_do_they_through_a_link(self, tmp_path: Path) -> None:
        write_lora(tmp_path / "elsewhere" / "x.safetensors")
        (tmp_path / "loras").mkdir()
        (tmp_path / "loras" / "link").symlink_to(tmp_path / "elsewhere")
        assert "outside of the folder for LoRAs" in self.refusal("link/x.safetensors", tmp_path / "loras")

    def test_a_link_that_the_owner_put_into_the_folder_is_a_file_of_it(self, tmp_path: Path) -> None:
        path = write_lora(tmp_path / "elsewhere" / "x.safetensors")
        (tmp_path / "loras").mkdir()
        (tmp_path / "loras" / "style.safetensors").symlink_to(path)
        (lora,) = parse_loras("style.safetensors", tmp_path / "loras")
        assert pinned([lora], tmp_path / "loras").startswith("style.safetensors:1@")

    def test_the_folder_itself_may_be_a_link(self, tmp_path: Path) -> None:
        write_lora(tmp_path / "real" / "more" / "x.safetensors")
        (tmp_path / "loras").symlink_to(tmp_path / "real")
        assert len(parse_loras("more/x.safetensors", tmp_path / "loras")) == 1

    def test_what_is_no_file_is_refused_and_not_waited_for(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe.safetensors")
        (tmp_path / "folder.safetensors").mkdir()
        (tmp_path / "device.safetensors").symlink_to("/dev/zero")
        for name in ("pipe", "folder", "device"):
            assert "no file that could be read" in self.refusal(f"{name}.safetensors", tmp_path)

    def test_a_pipe_that_takes_the_place_of_a_file_is_not_waited_for(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe.safetensors")
        with pytest.raises(UnsupportedValue, match="no file that could be read"):
            digest_of(tmp_path / "pipe.safetensors")

    @pytest.mark.parametrize(
        "name", ["~nobody-of-this-name/x.safetensors", "a" * 300 + ".safetensors", "/dev/null/x.safetensors"]
    )
    def test_names_that_lead_nowhere_are_one_sentence(self, tmp_path: Path, name: str) -> None:
        assert "\n" not in self.refusal(name, tmp_path)

    def test_links_in_a_circle_are_one_sentence(self, tmp_path: Path) -> None:
        (tmp_path / "a").symlink_to(tmp_path / "b")
        (tmp_path / "b").symlink_to(tmp_path / "a")
        assert "\n" not in self.refusal("a/x.safetensors", tmp_path)

    def test_a_large_file_is_not_held_in_memory(self, tmp_path: Path) -> None:
        import tracemalloc

        path = tmp_path / "large.safetensors"
        with path.open("wb") as file:
            file.truncate(2**26)
        tracemalloc.start()
        digest_of(path)
        assert tracemalloc.get_traced_memory()[1] < 2**21
        tracemalloc.stop()


class TestJobs:
    @pytest.fixture
    def style(self, studio: Studio) -> Path:
        """A LoRA in the studio's folder that fits the tiny model."""
        return self.save(studio.settings.home / "loras" / "style.safetensors", seed=0)

    def save(self, path: Path, *, seed: int) -> Path:
        from safetensors.torch import save_file

        rng = torch.Generator().manual_seed(seed)
        path.parent.mkdir(parents=True, exist_ok=True)
        name = "transformer.blocks.0.attn1.to_q"
        save_file({f"{name}.lora_A.weight": torch.randn(2, 24, generator=rng),
                   f"{name}.lora_B.weight": torch.randn(24, 2, generator=rng)}, path)  # fmt: skip
        return path

    @pytest.fixture
    def generator(self, tmp_path: Path, generator_of: Callable[..., Generator]) -> Any:
        return generator_of(MODEL, save_wan(tmp_path / "wan"), settings={"max_sequence_length": 8})

    def wish(self, lora: str, **more: Any) -> GenerationRequest:
        options = {"lora": lora, **more}
        return GenerationRequest(model=MODEL, prompt="a red circle", seed=5, num_inference_steps=2, options=options)

    def test_resolving_names_the_bytes_and_is_done_once(self, generator: Any, style: Path) -> None:
        digest = digest_of(style)
        for text in ("style.safetensors:0.80", f" {style}:0.8 ,"):
            resolved = generator.resolve(self.wish(text))
            assert resolved.options["lora"] == f"style.safetensors:0.8@{digest}"
        assert generator.resolve(self.wish(**resolved.options)) == resolved
        assert ResolvedRequest.from_json(json.loads(json.dumps(resolved.as_json()))) == resolved

    def test_no_lora_stays_none(self, generator: Any) -> None:
        assert generator.resolve(self.wish("")).options["lora"] == ""

    def test_the_signed_file_is_told_names_and_digests_and_no_path(self, generator: Any, tmp_path: Path) -> None:
        elsewhere = self.save(tmp_path / "private" / "mine.safetensors", seed=1)
        resolved = generator.resolve(self.wish(f"{elsewhere}:0.5"))
        assert str(elsewhere) in resolved.options["lora"]
        declared = generator.declare(resolved)
        assert "lora" not in declared.options
        assert str(tmp_path) not in repr(declared)
        (adapter,) = declared.adapters
        assert (adapter.name, adapter.sha256, adapter.scale) == ("mine.safetensors", digest_of(elsewhere), 0.5)

    def test_other_bytes_are_other_keys(self, generator: Any, style: Path, tmp_path: Path) -> None:
        keys = []
        for seed in (0, 1, 0):
            self.save(style, seed=seed)
            resolved = generator.resolve(self.wish("style.safetensors"))
            embeddings = key_of_request(resolved, tmp_path / "wan", CPU, settings={})
            keys.append((embeddings, checkpoint_key(resolved.as_json(), weights_sha256=None, device="cpu")))
        assert keys[0] == keys[2]
        assert not {*keys[0]} & {*keys[1]}

    def test_a_file_that_was_replaced_is_refused_when_the_job_runs(
        self, generator: Any, style: Path, run: RecordingRun
    ) -> None:
        resolved = generator.resolve(self.wish("style.safetensors:0.5"))
        before = style.read_bytes()
        self.save(style, seed=1)
        with generator.session():
            with pytest.raises(WeightsMismatch, match=r"style\.safetensors is not the file that was asked for"):
                generator.generate(resolved, run)
            with pytest.raises(WeightsMismatch):
                generator.declare(resolved)
            style.write_bytes(before)
            assert generator.generate(resolved, run).frames.shape == (5, 32, 32, 3)

    def test_a_waiting_job_keeps_its_digest_through_a_change(
        self, studio: Studio, generator: Any, style: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(type(studio.registry), "generator", lambda _self, _model: generator)
        job = studio.desk.submit(self.wish("style.safetensors"), JobWish())
        changed = studio.desk.change(job.id, {"prompt": "a circle"})
        assert changed.request["options"]["lora"] == f"style.safetensors:1@{digest_of(style)}"
        self.save(style, seed=1)
        with pytest.raises(WeightsMismatch):
            studio.desk.change(job.id, {"prompt": "a red circle moving"})
        changed = studio.desk.change(job.id, {"options": {"lora": "style.safetensors"}})
        assert changed.request["options"]["lora"] == f"style.safetensors:1@{digest_of(style)}"
