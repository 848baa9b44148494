"""Weights are fetched whole, without pickles, and held to what was recorded or pinned."""

from __future__ import annotations

import hashlib
import importlib.resources
import json
import logging
import os
import re
import shutil
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from studio.catalog.schema import ModelSpec
from studio.config import Settings
from studio.errors import (
    Canceled,
    DiskFull,
    EnvironmentFault,
    MissingKey,
    MissingWeights,
    StoreFault,
    StudioError,
    Unreachable,
    WeightsMismatch,
)
from studio.hub import Hub, HubFile, choose_files, is_weights_file, pipeline_components
from studio.weights import PullProgress, WeightStore
from tests.studio.hub_server import COMMIT, HubServer

REPOSITORY = "acme/tiny-video"
TOKEN = "hf_notARealTokenButItMustNeverLeak"
UNET = "unet/diffusion_pytorch_model.safetensors"
CHUNK_BYTES = 10 * 1024 * 1024  # in which huggingface_hub writes what arrives
MANY = 6_000_000  # numbers, enough for several chunks


def tensors(seed: int, count: int = 60_000) -> bytes:
    return bytes(save({"weight": np.random.default_rng(seed).standard_normal(count).astype(np.float32)}))


def repository_files() -> dict[str, bytes]:
    index = {
        "_class_name": "TinyPipeline",
        "unet": ["diffusers", "UNet"],
        "vae": ["diffusers", "VAE"],
        "tokenizer": ["transformers", "Tokenizer"],
        "transformer_2": [None, None],
    }
    return {
        "model_index.json": json.dumps(index).encode(),
        "unet/config.json": b'{"layers": 1}',
        UNET: tensors(1),
        "unet/diffusion_pytorch_model.bin": b"a pickle",
        "unet/pipeline.py": b"raise SystemExit('must never be fetched')",
        "vae/config.json": b"{}",
        "vae/diffusion_pytorch_model.safetensors": tensors(2, 20_000),
        "vae/diffusion_pytorch_model.fp16.safetensors": tensors(3, 10_000),
        "tokenizer/vocab.txt": b"a\nb\n",
        "tokenizer/notes.txt": b"not a tokenizer file",
        "transformer_2/diffusion_pytorch_model.safetensors": tensors(4, 10),
        "everything_in_one.safetensors": tensors(5, 10),
        "README.md": b"# tiny",
    }


def spec(**weights: Any) -> ModelSpec:
    return ModelSpec.model_validate(
        {
            "id": "tiny",
            "name": "Tiny",
            "summary": "for tests",
            "family": "tiny",
            "where": "local",
            "generator": "pipelines.tiny:Tiny",
            "tasks": ["text-to-video"],
            "licence": {"id": "Apache-2.0"},
            "weights": {"source": "hub", "repository": REPOSITORY} | weights,
            "parameters": {
                "width": {"min": 64, "max": 64, "default": 64},
                "height": {"min": 64, "max": 64, "default": 64},
                "num_frames": {"min": 5, "max": 5, "default": 5},
                "frame_rate": {"min": 8, "max": 8, "default": 8},
            },
        }
    )


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with HubServer(repository=REPOSITORY, files=repository_files()) as server:
        yield server


@pytest.fixture
def environment(hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_TOKEN", TOKEN)


@pytest.fixture
def store(environment: None, tmp_path: Path) -> WeightStore:
    return WeightStore(Settings(home=tmp_path / "home"))


def record_path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "weights" / "tiny.json"


def test_weights_that_were_never_pulled_are_missing_and_the_error_says_how_to_get_them(store: WeightStore) -> None:
    assert not store.is_present(spec())
    with pytest.raises(MissingWeights, match="studio models pull tiny"):
        store.locate(spec())


def test_a_pull_fetches_the_pipelines_own_files_and_records_them(
    store: WeightStore, hub: HubServer, tmp_path: Path
) -> None:
    steps: list[PullProgress] = []
    folder = store.pull(spec(), steps.append)

    fetched = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert fetched == {
        "model_index.json",
        "unet/config.json",
        UNET,
        "vae/config.json",
        "vae/diffusion_pytorch_model.safetensors",
        "tokenizer/vocab.txt",
    }
    assert (folder / UNET).read_bytes() == hub.files[UNET]
    assert folder == store.locate(spec()) == tmp_path / "hf/hub/models--acme--tiny-video/snapshots" / COMMIT

    record = json.loads(record_path(tmp_path).read_text())
    assert record["commit"] == COMMIT
    assert {path: file["sha256"] for path, file in record["files"].items()} == {
        path: hashlib.sha256(hub.files[path]).hexdigest() for path in fetched
    }
    assert steps[-1].done_bytes == steps[-1].total_bytes
    assert [step.done_bytes for step in steps if step.stage == "downloading"] == sorted(
        step.done_bytes for step in steps if step.stage == "downloading"
    )


def test_pickles_code_and_stray_files_are_never_asked_for(store: WeightStore, hub: HubServer) -> None:
    store.pull(spec())
    asked = " ".join(path for _, path, _ in hub.served)
    for name in (".bin", ".py", ".md", "notes.txt", "everything_in_one", "transformer_2", "fp16"):
        assert name not in asked


def test_a_second_pull_verifies_what_is_here_and_needs_no_network(store: WeightStore, hub: HubServer) -> None:
    folder = store.pull(spec())
    before = len(hub.served)
    hub.answer_status = 503
    assert store.pull(spec()) == folder
    assert len(hub.served) == before


def test_a_transfer_that_breaks_off_goes_on_where_it_stopped(store: WeightStore, hub: HubServer) -> None:
    hub.files[UNET] = tensors(1, MANY)
    hub.break_after = 15_000_000
    folder = store.pull(spec())
    assert (folder / UNET).read_bytes() == hub.files[UNET]
    assert [span for path, span in hub.downloads() if path == UNET] == [None, f"bytes={CHUNK_BYTES}-"]


def test_a_canceled_pull_goes_on_where_it_stopped(store: WeightStore, hub: HubServer, tmp_path: Path) -> None:
    hub.files[UNET] = tensors(1, MANY)
    steps: list[PullProgress] = []

    def canceled() -> bool:
        return any(step.file == UNET and step.done_bytes > 5_000_000 for step in steps)

    with pytest.raises(Canceled):
        store.pull(spec(), steps.append, canceled)
    assert not store.is_present(spec())
    assert not record_path(tmp_path).exists()

    folder = store.pull(spec())
    assert (folder / UNET).read_bytes() == hub.files[UNET]
    assert [span for path, span in hub.downloads() if path == UNET] == [None, f"bytes={CHUNK_BYTES}-"]


def test_the_token_is_shown_to_the_hub_alone_and_not_to_where_it_redirects(store: WeightStore, hub: HubServer) -> None:
    with HubServer(repository=REPOSITORY, files=hub.files) as storage:
        hub.storage = storage
        folder = store.pull(spec())
    assert (folder / UNET).read_bytes() == hub.files[UNET]
    assert UNET in {path for path, _ in storage.downloads()}
    assert hub.tokens == {TOKEN}
    assert storage.tokens == set()


def test_only_missing_files_are_fetched_again(store: WeightStore, hub: HubServer) -> None:
    folder = store.pull(spec())
    (folder / UNET).resolve().unlink()
    hub.served.clear()
    assert not store.is_present(spec())
    store.pull(spec())
    assert {path for path, _ in hub.downloads()} == {UNET}


def test_a_file_that_the_hub_changed_since_is_refused_by_name(store: WeightStore, hub: HubServer) -> None:
    folder = store.pull(spec())
    shutil.rmtree(folder.parent.parent)
    hub.files[UNET] = tensors(99)
    with pytest.raises(WeightsMismatch, match=re.escape(UNET)):
        store.pull(spec())
    assert not store.is_present(spec())


def test_bytes_that_were_refused_are_not_kept(store: WeightStore, hub: HubServer, tmp_path: Path) -> None:
    hub.declared_sha256[UNET] = "0" * 64
    with pytest.raises(WeightsMismatch):
        store.pull(spec())
    bad = hub.files[UNET]
    assert not [path for path in (tmp_path / "hf").rglob("*") if path.is_file() and path.read_bytes() == bad]

    del hub.declared_sha256[UNET]
    store.pull(spec())


def test_bytes_that_are_not_what_the_hub_itself_declares_are_refused(store: WeightStore, hub: HubServer) -> None:
    hub.declared_sha256[UNET] = "0" * 64
    with pytest.raises(WeightsMismatch, match=re.escape(UNET)):
        store.pull(spec())


def test_a_file_that_changed_on_disk_is_refused_by_name(store: WeightStore) -> None:
    folder = store.pull(spec())
    blob = (folder / UNET).resolve()
    content = bytearray(blob.read_bytes())
    content[-1] ^= 1
    blob.write_bytes(content)
    store.locate(spec())  # the size is right, and that is all a cheap look can see
    with pytest.raises(WeightsMismatch, match=re.escape(UNET)):
        store.pull(spec())

    blob.write_bytes(content[:-1])
    with pytest.raises(WeightsMismatch, match=re.escape(UNET)):
        store.locate(spec())


def test_later_commits_of_the_repository_do_not_matter_once_one_is_recorded(store: WeightStore, hub: HubServer) -> None:
    folder = store.pull(spec())
    hub.commit = "f" * 40
    assert store.pull(spec()) == folder
    (folder / UNET).resolve().unlink()
    with pytest.raises(WeightsMismatch, match="commit"):  # this hub no longer has the recorded one
        store.pull(spec())


def test_a_commit_pinned_in_the_row_wins_over_the_record(store: WeightStore, hub: HubServer) -> None:
    store.pull(spec())
    hub.commit = pinned = "a" * 40
    hub.files[UNET] = tensors(7)
    assert not store.is_present(spec(revision=pinned))
    folder = store.pull(spec(revision=pinned))
    assert folder.name == pinned
    assert store.locate(spec(revision=pinned)) == folder

    with pytest.raises(WeightsMismatch, match="commit"):
        store.pull(spec(revision="b" * 40))


def test_a_digest_pinned_in_the_row_is_enforced_on_the_first_download(store: WeightStore) -> None:
    with pytest.raises(WeightsMismatch, match=re.escape(UNET)):
        store.pull(spec(sha256={UNET: "1" * 64}))


def test_a_variant_is_taken_where_a_component_has_it(store: WeightStore) -> None:
    folder = store.pull(spec(variant="fp16"))
    assert (folder / "vae/diffusion_pytorch_model.fp16.safetensors").exists()
    assert not (folder / "vae/diffusion_pytorch_model.safetensors").exists()
    assert (folder / UNET).exists()


def test_offline_mode_asks_nothing_and_says_what_to_do(
    store: WeightStore, hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    offline = WeightStore(Settings(home=tmp_path / "home"))
    with pytest.raises(Unreachable, match="unset HF_HUB_OFFLINE"):
        offline.pull(spec())
    assert hub.served == []

    folder = store.pull(spec())
    assert offline.pull(spec()) == folder  # complete weights need no hub


def test_something_else_than_a_hub_is_told_as_such(store: WeightStore, hub: HubServer) -> None:
    hub.answer_status = 200  # and an empty object, whatever was asked
    with pytest.raises(Unreachable, match="HF_ENDPOINT"):
        store.pull(spec())


def test_a_broken_pipeline_index_is_told_as_such(store: WeightStore, hub: HubServer) -> None:
    hub.files["model_index.json"] = b"<html>"
    with pytest.raises(MissingWeights, match=r"model_index\.json"):
        store.pull(spec())


def test_a_hub_that_does_not_answer_is_unreachable(environment: None, tmp_path: Path) -> None:
    nobody = Hub(endpoint="http://127.0.0.1:9", cache=tmp_path / "cache")
    with pytest.raises(Unreachable, match="does not answer"):
        WeightStore(Settings(home=tmp_path / "home"), nobody).pull(spec())


@pytest.mark.parametrize(
    ("status", "code", "expected", "words"),
    [
        (401, "RepoNotFound", MissingKey, f"/{REPOSITORY}"),
        (403, "GatedRepo", MissingKey, "HF_TOKEN"),
        (404, "RepoNotFound", MissingWeights, "no such repository"),
        (404, "RevisionNotFound", MissingWeights, "no such repository"),
        (503, "", Unreachable, "HTTP 503"),
    ],
)
def test_each_refusal_of_the_hub_becomes_the_right_error_without_the_token(
    store: WeightStore,
    hub: HubServer,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    status: int,
    code: str,
    expected: type[StudioError],
    words: str,
) -> None:
    caplog.set_level(logging.DEBUG)
    hub.answer_status, hub.error_code = status, code
    with pytest.raises(expected, match=re.escape(words)) as caught:
        store.pull(spec())
    told = "".join(traceback.format_exception(caught.value)) + caplog.text + "".join(capsys.readouterr())
    assert hub.tokens == {TOKEN}  # it was sent
    assert TOKEN not in told + json.dumps(caught.value.as_json())


def test_a_pull_leaves_the_token_out_of_logs_output_and_files(
    store: WeightStore, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    store.pull(spec())
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")
    assert TOKEN not in caplog.text
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()]


def test_a_full_disk_is_told_before_the_download_with_the_figure(
    store: WeightStore, hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=7))
    with pytest.raises(DiskFull, match="7 are free"):
        store.pull(spec())
    assert {path for path, _ in hub.downloads()} == {"model_index.json"}


def test_a_cache_that_cannot_be_written_is_told_as_such(environment: None, hub: HubServer, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    blocked = Hub(endpoint=hub.endpoint, cache=tmp_path / "file" / "cache")
    with pytest.raises(EnvironmentFault, match="HF_HUB_CACHE"):
        WeightStore(Settings(home=tmp_path / "home"), blocked).pull(spec())


def test_a_home_that_cannot_be_written_is_told_as_such(store: WeightStore, tmp_path: Path) -> None:
    (tmp_path / "home").write_text("not a folder")
    with pytest.raises(StoreFault, match="STUDIO_HOME"):
        store.pull(spec())


def test_two_pulls_of_one_model_do_not_run_at_once(store: WeightStore, tmp_path: Path) -> None:
    other = WeightStore(Settings(home=tmp_path / "home"))

    def pull_too(_: PullProgress) -> None:
        with pytest.raises(EnvironmentFault, match="another process"):
            other.pull(spec())

    store.pull(spec(), pull_too)


def test_a_repository_of_pickles_alone_is_refused(store: WeightStore, hub: HubServer) -> None:
    hub.files = {path: content for path, content in hub.files.items() if not path.endswith(".safetensors")}
    with pytest.raises(MissingWeights, match="no safetensors"):
        store.pull(spec())


def test_a_commit_that_is_none_is_refused(store: WeightStore, hub: HubServer) -> None:
    hub.commit = "../../../elsewhere"
    with pytest.raises(Unreachable, match="does not answer"):
        store.pull(spec())


def test_a_path_that_leaves_the_repository_is_refused(store: WeightStore, hub: HubServer) -> None:
    hub.files["unet/../../../../evil.safetensors"] = tensors(6, 10)
    with pytest.raises(WeightsMismatch, match="outside the repository"):
        store.pull(spec())


def test_the_digest_depends_on_every_byte_and_is_not_computed_twice(
    store: WeightStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = store.pull(spec())
    digest = store.digest(spec())
    lines = (
        f"{path.relative_to(folder).as_posix()}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n"
        for path in sorted(folder.rglob("*"), key=lambda path: path.relative_to(folder).as_posix())
        if path.is_file()
    )
    assert digest == hashlib.sha256("".join(lines).encode()).hexdigest()

    monkeypatch.setattr("studio.weights.hash_file", lambda *_: pytest.fail("hashed again"))
    assert WeightStore(Settings(home=tmp_path / "home")).digest(spec()) == digest
    monkeypatch.undo()


def test_embedded_weights_are_found_in_the_package_and_digested(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "weights" / "tiny-embedded"
    (folder / "unet").mkdir(parents=True)
    (folder / "unet/model.safetensors").write_bytes(tensors(1))
    (folder / "README.md").write_text("not part of the weights")
    monkeypatch.setattr(importlib.resources, "files", lambda _: tmp_path / "weights")
    store = WeightStore(Settings(home=tmp_path / "home"))
    embedded = spec(source="embedded", repository="tiny-embedded")
    assert not store.is_present(embedded)

    (folder / "model_index.json").write_text("{}")
    assert store.locate(embedded) == store.pull(embedded) == folder
    first = store.digest(embedded)
    (folder / "README.md").write_text("changed")
    assert store.digest(embedded) == first
    time.sleep(0.01)
    (folder / "model_index.json").write_text('{"a": 1}')
    assert store.digest(embedded) != first


def test_the_hubs_place_follows_huggingface_hubs_own_variables() -> None:
    place = Hub.from_environment({"HF_HOME": "/a", "HF_ENDPOINT": "https://mirror.example/"})
    assert (place.cache, place.endpoint, place.offline) == (Path("/a/hub"), "https://mirror.example", False)
    assert Hub.from_environment({"HF_HOME": "/a", "HF_HUB_CACHE": "/b"}).cache == Path("/b")
    assert Hub.from_environment({}).cache == Path.home() / ".cache/huggingface/hub"
    assert Hub.from_environment({"HF_HUB_OFFLINE": "true"}).offline


def test_sharded_and_plain_files_are_told_from_variants() -> None:
    names = [
        "transformer/config.json",
        "transformer/diffusion_pytorch_model-00001-of-00002.safetensors",
        "transformer/diffusion_pytorch_model-00002-of-00002.safetensors",
        "transformer/diffusion_pytorch_model.safetensors.index.json",
        "transformer/diffusion_pytorch_model.fp16-00001-of-00001.safetensors",
        "transformer/diffusion_pytorch_model.safetensors.index.fp16.json",
        "transformer/diffusion_pytorch_model.non_ema.safetensors",
    ]
    offered = {name: HubFile(size_bytes=1) for name in names}
    weights = spec().weights
    assert weights is not None
    assert choose_files(offered, frozenset({"transformer"}), weights) == tuple(sorted(names[:4]))
    half = weights.model_copy(update={"variant": "fp16"})
    assert set(choose_files(offered, frozenset({"transformer"}), half)) == {names[0], names[4], names[5]}


def test_a_component_in_other_precisions_only_is_refused_rather_than_left_out() -> None:
    offered = {"vae/model.fp16.safetensors": HubFile(size_bytes=1), "unet/model.safetensors": HubFile(size_bytes=1)}
    weights = spec().weights
    assert weights is not None
    with pytest.raises(MissingWeights, match=r"model\.fp16\.safetensors"):
        choose_files(offered, frozenset({"unet", "vae"}), weights)


def test_a_row_may_name_its_files_but_never_a_pickle() -> None:
    offered = {name: HubFile(size_bytes=1) for name in ("a.safetensors", "a.pt", "b.safetensors", "sub/c.json")}
    weights = spec(allow=["a.*", "sub/*"]).weights
    assert weights is not None
    assert choose_files(offered, frozenset(), weights) == ("a.safetensors", "sub/c.json")


def test_components_left_empty_in_the_index_do_not_count() -> None:
    index = {"_class_name": "X", "unet": ["diffusers", "U"], "transformer_2": [None, None], "boundary_ratio": 0.9}
    assert pipeline_components(index) == {"unet"}


@pytest.mark.parametrize(
    "name", ["a.bin", "a.pt", "a.ckpt", "a.pkl", "a.py", "a.safetensors.bin", "words.txt", "a.model"]
)
def test_what_could_run_code_is_no_weights_file(name: str) -> None:
    assert not is_weights_file(name)


def test_asking_the_hub_switches_telemetry_off(store: WeightStore) -> None:
    store.pull(spec())
    assert os.environ["HF_HUB_DISABLE_TELEMETRY"] == "1"
