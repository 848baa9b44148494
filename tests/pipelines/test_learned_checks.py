"""Learned checks give the figures that their authors' definitions give, and never a verdict.

The networks are transformers' own classes at a small size with random weights. They are pulled over HTTP from a hub on
loopback, by the catalog's own rows; after that the hub is off.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from pipelines.consistency.likeness import Likeness
from pipelines.consistency.pictures import CLIP, DINO, Preparation
from pipelines.consistency.subject import SubjectConsistency, stretched_positions
from studio.app import Studio
from studio.catalog.loader import load_catalog
from studio.catalog.metrics import MetricSpec, load_metrics
from studio.config import Settings
from studio.consistency.check import Check, ClipContext
from studio.consistency.learned import MetricWeights, find_learned_checks, identity_not_assessed, with_weights
from studio.consistency.report import CheckResult
from studio.consistency.runner import run_checks
from studio.errors import MissingWeights, WeightsMismatch
from tests.studio.hub_server import COMMIT, HubServer

RATE = Fraction(8)
WIDE = (108, 192)
LETTERS = "abcdefghijklmnopqrstuvwxyz"


# -- small networks, laid out as the hub has the large ones -----------------------------------------------------------


def save_dino(folder: Path) -> None:
    from transformers import ViTConfig, ViTModel

    torch.manual_seed(1)
    config = ViTConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, image_size=224,
                       patch_size=32, initializer_range=0.3)  # fmt: skip
    ViTModel(config, add_pooling_layer=False).save_pretrained(folder)


def vision_fields() -> dict[str, Any]:
    return {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64,
            "image_size": 224, "patch_size": 32, "projection_dim": 24}  # fmt: skip


def save_clip(folder: Path) -> None:
    from transformers import CLIPConfig, CLIPModel

    torch.manual_seed(2)
    words = {letter: place for place, letter in enumerate([*LETTERS, *(f"{letter}</w>" for letter in LETTERS)])}
    vocabulary = words | {"<|startoftext|>": len(words), "<|endoftext|>": len(words) + 1}
    text = {"vocab_size": len(vocabulary), "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
            "intermediate_size": 64, "max_position_embeddings": 16, "projection_dim": 24,
            "bos_token_id": len(words), "eos_token_id": len(words) + 1}  # fmt: skip
    CLIPModel(CLIPConfig(text_config=text, vision_config=vision_fields(), projection_dim=24)).save_pretrained(folder)
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "CLIPTokenizer"}))


def save_aesthetic(folder: Path) -> None:
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    torch.manual_seed(3)
    CLIPVisionModelWithProjection(CLIPVisionConfig(**vision_fields())).save_pretrained(folder)
    tensors = load_file(folder / "model.safetensors")
    head = {"predictor.weight": torch.randn(1, 24), "predictor.bias": torch.tensor([5.0])}
    save_file(tensors | head, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "aesthetics_predictor", "architectures": ["AestheticsPredictorV1"]}
    (folder / "config.json").write_text(json.dumps(config))


SAVERS = {"dino-vitb16": save_dino, "clip-vit-b32": save_clip, "laion-aesthetic-v1": save_aesthetic}


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def pull(row: MetricSpec, files: dict[str, bytes], home: Path, patch: pytest.MonkeyPatch) -> MetricWeights:
    """Pull a row's weights from a hub on loopback that has these files and a pickle besides."""
    files = files | {"pytorch_model.bin": b"a pickle", "tf_model.h5": b"another format"}
    with HubServer(row.weights.repository, files, commit=row.weights.revision or COMMIT) as hub:
        for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
            patch.delenv(name, raising=False)
        patch.setenv("HF_ENDPOINT", hub.endpoint)
        patch.setenv("HF_HOME", str(home.parent / "hf"))
        settings = Settings(home=home, device="cpu")
        Studio(settings).pull(row.id, lambda _progress: None)
    return MetricWeights(spec=row, settings=settings)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    for name, save in SAVERS.items():
        (root / name).mkdir()
        save(root / name)
    return root


@pytest.fixture(scope="module")
def pulled(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, MetricWeights]]:
    """All rows' weights, by the row's id, on a machine that is offline from now on."""
    home = tmp_path_factory.mktemp("machine") / "home"
    with pytest.MonkeyPatch.context() as patch:
        yield {row.id: pull(row, files_of(models / row.id), home, patch) for row in load_metrics()}


@pytest.fixture(autouse=True)
def offline(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if "pulled" in request.fixturenames:
        home = next(iter(request.getfixturevalue("pulled").values())).settings.home
        monkeypatch.setenv("HF_HOME", str(home.parent / "hf"))
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    else:
        monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")


def ready(pulled: dict[str, MetricWeights], check_id: str) -> type[Check]:
    settings = next(iter(pulled.values())).settings
    return next(check for check in find_learned_checks(settings).ready if check.id == check_id)


def pictures(*seeds: int, size: tuple[int, int] = WIDE) -> list[np.ndarray]:
    """Return one smooth coloured picture per seed."""
    found = []
    for seed in seeds:
        coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
        found.append(cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_LINEAR))
    return found


def judged(check: type[Check], frames: Sequence[np.ndarray], prompt: str | None = None,
           rate: Fraction = RATE) -> CheckResult:  # fmt: skip
    return run_checks(frames, ClipContext(frame_rate=rate, prompt=prompt), [check]).checks[0]


# -- the definitions, written down once more ----------------------------------------------------------------------


def prepared(image: np.ndarray, *, is_dino: bool) -> torch.Tensor:
    """Return (1, 3, h, w): OpenCV's resize, which samples where VBench's does, then cut and normalise."""
    height, width = image.shape[:2]
    scale = 224 / min(height, width)
    size = (int(width * scale + 1e-9), int(height * scale + 1e-9))
    kind = cv2.INTER_LINEAR if is_dino else cv2.INTER_CUBIC
    pixels = cv2.resize(image.astype(np.float32), size, interpolation=kind)
    if not is_dino:
        top, left = round((size[1] - 224) / 2), round((size[0] - 224) / 2)
        pixels = pixels[top : top + 224, left : left + 224]
    mean, deviation = (
        ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
        if is_dino
        else ([0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711])
    )
    normal = (pixels / 255 - np.array(mean)) / np.array(deviation)
    return torch.from_numpy(normal.astype(np.float32)).permute(2, 0, 1)[None]


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


def vbench_mean(features: Sequence[np.ndarray]) -> float:
    """Frame by frame, as in the paper."""
    total = 0.0
    for place in range(1, len(features)):
        before = max(0.0, cosine(features[place], features[place - 1]))
        first = max(0.0, cosine(features[place], features[0]))
        total += (before + first) / 2
    return total / (len(features) - 1)


def cubic_sample(grid: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Sample (side, side, d) by cubic convolution with a = -0.75 at DINO's positions: a grid of (n + 0.1) cells."""
    side = grid.shape[0]

    def weights(count: int) -> np.ndarray:
        matrix = np.zeros((count, side))
        for place in range(count):
            source = (place + 0.5) * side / (count + 0.1) - 0.5
            for tap in range(int(np.floor(source)) - 1, int(np.floor(source)) + 3):
                away = abs(source - tap)
                near = 1.25 * away**3 - 2.25 * away**2 + 1
                far = -0.75 * (away**3 - 5 * away**2 + 8 * away - 4)
                matrix[place, min(max(tap, 0), side - 1)] += near if away <= 1 else far if away < 2 else 0.0
        return matrix

    return np.einsum("ra,cb,abd->rcd", weights(rows), weights(columns), grid)


def dino_feature(folder: Path, image: np.ndarray) -> np.ndarray:
    """Walk through the network by hand, with positions of our own."""
    from transformers import ViTModel

    network = ViTModel.from_pretrained(folder, add_pooling_layer=False).eval()
    pixels = prepared(image, is_dino=True)
    known = network.embeddings.position_embeddings.detach().numpy()[0]
    rows, columns = pixels.shape[2] // 32, pixels.shape[3] // 32
    grid = known[1:].reshape(7, 7, -1)
    stretched = grid if (rows, columns) == (7, 7) else cubic_sample(grid, rows, columns)
    places = np.concatenate([known[:1], stretched.reshape(rows * columns, -1)]).astype(np.float32)
    with torch.no_grad():
        patches = network.embeddings.patch_embeddings(pixels)
        hidden = torch.cat([network.embeddings.cls_token, patches], dim=1) + torch.from_numpy(places)
        for layer in network.layers:
            hidden = layer(hidden, None)
        return network.layernorm(hidden)[0, 0].numpy()


def clip_feature(folder: Path, image: np.ndarray) -> np.ndarray:
    from transformers import CLIPModel

    network = CLIPModel.from_pretrained(folder).eval()
    with torch.no_grad():
        pooled = network.vision_model(pixel_values=prepared(image, is_dino=False)).pooler_output
        return network.visual_projection(pooled)[0].numpy()


# -- figures --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("check_id", ["subject_consistency", "background_consistency"])
def test_a_clip_of_one_picture_is_wholly_consistent(pulled: dict[str, MetricWeights], check_id: str) -> None:
    result = judged(ready(pulled, check_id), pictures(1) * 5)
    assert result.value == pytest.approx(1.0, abs=1e-6)
    assert result.series[0] is None
    assert result.series[1:] == pytest.approx([1.0] * 4, abs=1e-6)
    assert result.worst_frames == ()


@pytest.mark.parametrize("size", [WIDE, (192, 108), (100, 100), (480, 270)])
def test_subject_consistency_is_vbenchs_for_frames_of_any_shape(
    pulled: dict[str, MetricWeights], models: Path, size: tuple[int, int]
) -> None:
    one, other = pictures(1, 2, size=size)
    result = judged(ready(pulled, "subject_consistency"), [one, other] * 3)
    features = [dino_feature(models / "dino-vitb16", image) for image in (one, other)] * 3
    assert result.value == pytest.approx(vbench_mean(features), abs=2e-5)
    assert result.value < 0.99


def test_background_consistency_is_vbenchs(pulled: dict[str, MetricWeights], models: Path) -> None:
    frames = pictures(1, 2, 3, 1, 4)
    result = judged(ready(pulled, "background_consistency"), frames)
    features = [clip_feature(models / "clip-vit-b32", image) for image in frames]
    assert result.value == pytest.approx(vbench_mean(features), abs=2e-5)
    assert result.value < 0.9999


def test_likeness_counts_opposite_features_as_nothing_alike() -> None:
    features = [np.array(row, np.float32) for row in ([1, 0], [-1, 0], [3, 4], [0, 2])]
    figures = Likeness().rate(torch.from_numpy(np.stack(features)))
    assert figures == [None, 0.0, pytest.approx(0.3), pytest.approx(0.4)]
    assert np.mean(figures[1:]) == pytest.approx(vbench_mean(features))


def test_the_size_of_batches_changes_nothing(pulled: dict[str, MetricWeights]) -> None:
    kind, frames = ready(pulled, "subject_consistency"), pictures(1, 2, 3, 4, 5, 6, 7)
    values = [judged(type("Batched", (kind,), {"batch_size": size}), frames).series for size in (1, 3, 7, 50)]
    for series in values[1:]:
        assert series[1:] == pytest.approx(values[0][1:], abs=1e-5)


def test_prompt_adherence_is_clips_own_cosine(pulled: dict[str, MetricWeights], models: Path) -> None:
    from transformers import AutoTokenizer, CLIPModel

    frames = pictures(1, 2, 3)
    result = judged(ready(pulled, "prompt_adherence"), frames, prompt="a red fox")
    network = CLIPModel.from_pretrained(models / "clip-vit-b32").eval()
    tokens = AutoTokenizer.from_pretrained(models / "clip-vit-b32")("a red fox", return_tensors="pt")
    with torch.no_grad():
        output = network(**tokens, pixel_values=torch.cat([prepared(image, is_dino=False) for image in frames]))
        expected = (output.logits_per_image / network.logit_scale.exp())[:, 0]
    assert result.series == pytest.approx(expected.tolist(), abs=2e-5)
    assert result.value == pytest.approx(float(expected.mean()), abs=2e-5)
    assert result.value != pytest.approx(
        judged(ready(pulled, "prompt_adherence"), frames, prompt="sea").value, abs=1e-4
    )


def test_without_a_prompt_nothing_is_said_about_adherence(pulled: dict[str, MetricWeights]) -> None:
    result = judged(ready(pulled, "prompt_adherence"), pictures(1, 2))
    assert (result.value, result.score, result.passed) == (None, None, None)
    assert result.reason == "the prompt of this clip is not known"


def test_a_prompt_longer_than_clip_reads_is_cut_and_the_report_says_so(pulled: dict[str, MetricWeights]) -> None:
    check = ready(pulled, "prompt_adherence")
    long = judged(check, pictures(1, 2), prompt="abcdefghijklmnopqrst")
    assert "the last 6 tokens of the prompt were not read" in long.reason
    assert "tokens" not in judged(check, pictures(1, 2), prompt="abcdefghijklmn").reason


def test_aesthetic_quality_is_the_linear_rating_over_ten(pulled: dict[str, MetricWeights], models: Path) -> None:
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    folder, frames = models / "laion-aesthetic-v1", pictures(1, 2, 3)
    result = judged(ready(pulled, "aesthetic_quality"), frames)
    network = CLIPVisionModelWithProjection.from_pretrained(folder, config=CLIPVisionConfig(**vision_fields())).eval()
    head = load_file(folder / "model.safetensors")
    ratings = []
    for image in frames:
        with torch.no_grad():
            feature = network(pixel_values=prepared(image, is_dino=False)).image_embeds[0]
        feature = feature / feature.norm()
        ratings.append(float(head["predictor.weight"][0] @ feature + head["predictor.bias"][0]) / 10)
    assert result.value == pytest.approx(np.mean(ratings), abs=2e-5)


@pytest.mark.parametrize(("preparation", "is_dino"), [(DINO, True), (CLIP, False)])
@pytest.mark.parametrize("size", [(90, 161), (224, 224), (240, 320), (321, 241), (64, 64)])
def test_frames_are_prepared_as_vbench_prepares_them(
    preparation: Preparation, is_dino: bool, size: tuple[int, int]
) -> None:
    image = np.random.default_rng(5).integers(0, 256, (*size, 3), dtype=np.uint8)
    image.flags.writeable = False
    np.testing.assert_allclose(preparation.apply(image), prepared(image, is_dino=is_dino)[0], atol=2e-4)


def test_positions_of_a_square_picture_are_those_that_were_trained(models: Path) -> None:
    from transformers import ViTModel

    embeddings = ViTModel.from_pretrained(models / "dino-vitb16", add_pooling_layer=False).embeddings
    assert torch.equal(stretched_positions(embeddings, None, 224, 224), embeddings.position_embeddings)
    ours = stretched_positions(embeddings, None, 224, 398)
    theirs = embeddings.interpolate_pos_encoding(torch.zeros(1, 1 + 7 * 12, 32), 224, 398)
    assert ours.shape == theirs.shape == (1, 1 + 7 * 12, 32)
    assert not torch.allclose(ours, theirs, atol=1e-3)


# -- what a report says -----------------------------------------------------------------------------------------


def test_a_figure_without_a_calibrated_threshold_neither_passes_nor_fails(pulled: dict[str, MetricWeights]) -> None:
    report = run_checks(pictures(1, 2, 3), RATE, [ready(pulled, "subject_consistency")])
    (result,) = report.checks
    assert report.passed is None
    assert (result.passed, result.threshold) == (None, None)
    assert result.reason == "no calibrated threshold: compare with published figures"
    assert result.score == result.value


def test_the_frame_that_differs_is_named(pulled: dict[str, MetricWeights]) -> None:
    common, odd = pictures(1, 2)
    result = judged(ready(pulled, "subject_consistency"), [common] * 6 + [odd] + [common] * 6)
    assert result.worst_frames[0] == 6
    assert set(result.worst_frames) == {6, 7}


@pytest.mark.parametrize("check_id", ["subject_consistency", "background_consistency"])
def test_one_frame_says_nothing_about_consistency(pulled: dict[str, MetricWeights], check_id: str) -> None:
    result = judged(ready(pulled, check_id), pictures(1))
    assert (result.value, result.passed, result.reason) == (None, None, "fewer than 2 frames")


def test_a_picture_like_a_strip_is_left_alone(pulled: dict[str, MetricWeights]) -> None:
    result = judged(ready(pulled, "subject_consistency"), pictures(1, 2, size=(16, 1024)))
    assert result.value is None
    assert "8 times as long as it is wide" in result.reason


def test_after_sixteen_seconds_two_frames_a_second_are_rated_and_the_report_says_so(
    pulled: dict[str, MetricWeights],
) -> None:
    frames = pictures(1, 2, size=(32, 32)) * 40
    kind = ready(pulled, "prompt_adherence")
    short = judged(kind, frames[:64], prompt="fox", rate=Fraction(4))
    assert None not in short.series
    assert "frames a second" not in short.reason
    long = judged(kind, frames, prompt="fox", rate=Fraction(4))
    assert len(long.series) == 80
    assert [index for index, figure in enumerate(long.series) if figure is not None] == [*range(64), *range(65, 80, 2)]
    assert "after the first 16 s only 2 frames a second were rated" in long.reason


# -- weights ----------------------------------------------------------------------------------------------------


def test_a_pull_brings_safetensors_and_no_pickle(pulled: dict[str, MetricWeights]) -> None:
    for row, weights in pulled.items():
        names = {path.name for path in weights.folder().iterdir()}
        assert {"config.json", "model.safetensors"} <= names, row
        assert not names & {"pytorch_model.bin", "tf_model.h5"}


def test_weights_that_changed_after_the_pull_give_a_sentence_and_no_figure(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = load_metrics().metrics[0]
    weights = pull(row, files_of(models / row.id), tmp_path / "home", monkeypatch)
    file = weights.folder() / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.resolve().write_bytes(content)
    result = judged(with_weights(SubjectConsistency, weights), pictures(1, 2, 3))
    assert (result.value, result.passed) == (None, None)
    assert "not those of the first download" in result.reason
    assert "studio models pull dino-vitb16" in result.reason

    file.resolve().write_bytes(content[:-10])
    found = find_learned_checks(weights.settings)
    entry = next(item for item in found.not_assessed if item.id == "subject_consistency")
    assert "not those of the first download" in entry.reason
    assert entry.extra == "studio models pull dino-vitb16"
    assert "subject_consistency" not in {check.id for check in found.ready}


@pytest.mark.parametrize("damage", ["a tensor is missing", "another shape", "no safetensors at all", "not finite"])
def test_a_repository_with_unfit_weights_gives_a_sentence_and_no_figure(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    folder = tmp_path / "unfit"
    shutil.copytree(models / "dino-vitb16", folder)
    tensors = load_file(folder / "model.safetensors")
    if damage == "a tensor is missing":
        tensors.pop("layernorm.weight")
    elif damage == "another shape":
        tensors["layernorm.weight"] = torch.ones(7)
    elif damage == "not finite":
        tensors["layernorm.weight"] = torch.full((32,), torch.nan)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    files = files_of(folder) | ({"model.safetensors": b"\x08garbage"} if damage == "no safetensors at all" else {})
    weights = pull(load_metrics().metrics[0], files, tmp_path / "home", monkeypatch)
    result = judged(with_weights(SubjectConsistency, weights), pictures(1, 2))
    assert (result.value, result.passed) == (None, None)
    assert "dino-vitb16" in result.reason
    assert "the check itself failed" not in result.reason
    unfit = "no fitting tensor for layernorm.weight"
    expected = {"a tensor is missing": unfit, "another shape": unfit, "not finite": "figures that are not finite",
                "no safetensors at all": "cannot be loaded"}  # fmt: skip
    assert expected[damage] in result.reason


def test_weights_that_were_never_pulled_leave_their_checks_unassessed_and_name_the_command(settings: Settings) -> None:
    found = find_learned_checks(settings)
    assert found.ready == ()
    extras = {entry.id: entry.extra for entry in found.not_assessed}
    assert extras == {
        "subject_consistency": "studio models pull dino-vitb16",
        "background_consistency": "studio models pull clip-vit-b32",
        "prompt_adherence": "studio models pull clip-vit-b32",
        "aesthetic_quality": "studio models pull laion-aesthetic-v1",
        "imaging_quality": "",
        "dynamic_degree": "",
    }
    assert all(entry.title and entry.reason for entry in found.not_assessed)
    with pytest.raises(MissingWeights, match="studio models pull dino-vitb16"):
        MetricWeights(spec=load_metrics().metrics[0], settings=settings).folder()


def test_a_class_that_is_not_installed_leaves_its_check_unassessed(pulled: dict[str, MetricWeights]) -> None:
    metrics = load_metrics()
    gone = metrics.metrics[0].model_copy(update={"checks": {"subject_consistency": "pipelines.gone:Gone"}})
    settings = next(iter(pulled.values())).settings
    found = find_learned_checks(settings, replace(metrics, metrics=(gone,)))
    assert found.ready == ()
    assert found.not_assessed[0].title == "Subject consistency"
    assert "not installed" in found.not_assessed[0].reason


def test_all_that_were_pulled_are_ready(pulled: dict[str, MetricWeights]) -> None:
    found = find_learned_checks(next(iter(pulled.values())).settings)
    assert {check.id for check in found.ready} == {id_ for row in load_metrics() for id_ in row.checks}
    assert {entry.id for entry in found.not_assessed} == {"imaging_quality", "dynamic_degree"}


def test_a_commit_other_than_the_rows_is_refused(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = load_metrics().metrics[0]
    with HubServer(row.weights.repository, files_of(models / row.id), commit=COMMIT) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        with pytest.raises(WeightsMismatch, match="another commit"):
            Studio(Settings(home=tmp_path / "home")).pull(row.id, lambda _progress: None)


# -- identity ---------------------------------------------------------------------------------------------------


def test_identity_is_never_passed_but_named_as_not_assessed(settings: Settings) -> None:
    (entry,) = identity_not_assessed(settings, ran=["black", "freeze"])
    assert entry.id == "identity"
    assert entry.extra == "studio models pull dino-vitb16"


def test_identity_names_the_deep_profile_where_the_weights_are_here(pulled: dict[str, MetricWeights]) -> None:
    (entry,) = identity_not_assessed(next(iter(pulled.values())).settings, ran=["black"])
    assert "deep" in entry.extra


def test_identity_stays_unassessed_after_subject_consistency_and_ends_with_a_check_of_that_name(
    settings: Settings,
) -> None:
    (entry,) = identity_not_assessed(settings, ran=["subject_consistency"])
    assert "whether a face stays the same person was not" in entry.reason
    assert entry.extra == ""
    assert identity_not_assessed(settings, ran=["identity"]) == ()


# -- the rows ---------------------------------------------------------------------------------------------------


def test_rows_name_checks_by_the_ids_these_have_and_take_no_models_name() -> None:
    from importlib import import_module

    models = {spec.id for spec in load_catalog()}
    for row in load_metrics():
        assert row.id not in models
        assert row.weights.revision is None or len(row.weights.revision) == 40
        for check_id, name in row.checks.items():
            module, _, attribute = name.partition(":")
            kind = getattr(import_module(module), attribute)
            assert kind.id == check_id
            assert kind.direction == "lower_is_worse"


def test_learned_checks_are_found_without_loading_torch() -> None:
    code = (
        "import sys; from studio.config import Settings; from studio.consistency.learned import find_learned_checks; "
        "assert find_learned_checks(Settings()).not_assessed; assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert process.returncode == 0, process.stderr
