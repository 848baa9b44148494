"""Rows from OpenRouter's list of models: what they say, what is not believed, and that the catalog never breaks."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from datetime import date
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from providers.openrouter_models import MAX_ENTRIES, listing_of, row_of
from studio.app import Studio
from studio.catalog.loader import load_catalog
from studio.catalog.schema import ModelSpec
from studio.config import Settings
from studio.discovery import Refreshed, toml_of
from studio.errors import EnvironmentFault, KeyRefused, ProtocolError, UnsupportedValue
from studio.request import GenerationRequest, ResolvedRequest, Task
from studio.resolve import resolve
from studio.spending.pricing import price_of
from tests.providers.conformance.openrouter import OpenRouterContract, listed
from tests.providers.conformance.server import ConformanceServer
from ui.cli.entry import run

TODAY = date(2026, 11, 23)
ROW = "openrouter-google-veo-3.1"


def spec_from(tmp_path: Path, **changes: Any) -> ModelSpec:
    """Return the row that an entry leads to, through the file that it is written into."""
    row = row_of(listed(**changes), "openrouter-any", TODAY)
    (tmp_path / "rows.toml").write_text(toml_of(row), encoding="utf-8")
    return load_catalog((tmp_path,)).get(row["id"])


def resolved(spec: ModelSpec, **wish: Any) -> ResolvedRequest:
    return resolve(spec, GenerationRequest(model=spec.id, prompt="a fox", **wish))


# -- what a row says ------------------------------------------------------------------------------------------------


def test_an_entry_becomes_a_row_with_all_that_it_says(tmp_path: Path) -> None:
    spec = spec_from(tmp_path)
    assert spec.remote is not None
    assert (spec.id, spec.remote.model, spec.remote.audio, spec.checked_on) == (
        ROW,
        "google/veo-3.1",
        "optional",
        TODAY,
    )
    assert spec.remote.base_url == load_catalog().get("openrouter-any").remote.base_url  # type: ignore[union-attr]
    assert [(form.width, form.height) for form in spec.parameters.formats] == [
        (1280, 720),
        (720, 1280),
        (1920, 1080),
        (1080, 1920),
    ]
    assert spec.tasks == (
        Task.TEXT_TO_VIDEO,
        Task.IMAGE_TO_VIDEO,
        Task.FIRST_LAST_FRAME_TO_VIDEO,
        Task.REFERENCE_TO_VIDEO,
    )
    assert resolved(spec).options["model"] == "google/veo-3.1"


def test_a_row_of_the_list_orders_no_other_model(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedValue):
        resolved(spec_from(tmp_path), options={"model": "google/another"})


@pytest.mark.parametrize(
    ("listed_seconds", "allowed"),
    [([4, 6, 8], {4, 6, 8}), ([8, 5, 5], {5, 8}), ([4, 6, 12], {4, 6, 12}), ([7], {7}), ([3, 4, 5, 6], {3, 4, 5, 6})],
    ids=["steps", "unordered", "gaps", "one", "range"],
)
def test_exactly_the_listed_seconds_can_be_asked_for(
    tmp_path: Path, listed_seconds: list[int], allowed: set[int]
) -> None:
    spec = spec_from(tmp_path, supported_durations=listed_seconds)
    found = set()
    for seconds in range(1, 15):
        try:
            assert resolved(spec, duration_seconds=seconds).num_frames == seconds * 24
            found.add(seconds)
        except UnsupportedValue:
            pass
    assert found == allowed


def test_prices_hold_for_the_clips_that_they_are_said_of(tmp_path: Path) -> None:
    spec = spec_from(
        tmp_path,
        pricing_skus={
            "duration_seconds_with_audio": "0.40",
            "duration_seconds_without_audio": "0.20",
            "duration_seconds_with_audio_1080p": "0.60",
            "minimum_cents_per_generation": "250",
        },
    )
    cases = [({}, 2.5), ({"generate_audio": True}, 3.2), ({"generate_audio": True, "width": 1920, "height": 1080}, 4.8)]
    for wish, amount in cases:
        cost = price_of(spec, resolved(spec, duration_seconds=8, **wish))
        assert cost is not None
        assert (cost.amount, cost.currency) == (amount, "USD")


@pytest.mark.parametrize(
    ("skus", "amount"),
    [
        ({"cents_per_second_output": "12"}, 0.6 * 0.8),
        ({"cents_per_video_output_second_720p": "3", "cents_per_video_output_second_1080p": "14"}, 0.12),
        ({"per-video-second": "0.5"}, 2.0),
        ({"text_to_video_duration_seconds_720p": 0.1}, 0.4),
        ({"video_tokens": "0.0000012"}, None),
        ({}, None),
        (None, None),
    ],
    ids=["cents", "tiers", "documentation", "task", "tokens", "empty", "null"],
)
def test_prices_come_under_many_names(tmp_path: Path, skus: Any, amount: float | None) -> None:
    spec = spec_from(tmp_path, pricing_skus=skus, supported_durations=[4])
    cost = price_of(spec, resolved(spec))
    assert (None if cost is None else cost.amount) == (None if amount is None else pytest.approx(amount))


def test_a_clip_whose_pictures_cost_extra_has_no_known_price(tmp_path: Path) -> None:
    spec = spec_from(tmp_path, pricing_skus={"duration_seconds": "0.1", "cents_per_image_input": "1"})
    assert spec.remote is not None
    assert spec.remote.prices is not None
    assert [rule.tasks for rule in spec.remote.prices.rules] == [(Task.TEXT_TO_VIDEO,)]


def test_without_resolutions_the_sizes_are_sent_as_they_are_listed(tmp_path: Path) -> None:
    spec = spec_from(tmp_path, supported_resolutions=None, supported_aspect_ratios=None, supported_sizes=["864x496"])
    assert [form.sent_as for form in spec.parameters.formats] == ["864x496"]


def test_what_the_list_leaves_open_stays_as_the_general_row_has_it(tmp_path: Path) -> None:
    nothing = dict.fromkeys(
        ("supported_resolutions", "supported_aspect_ratios", "supported_sizes", "supported_durations", "generate_audio")
    )
    spec, base = spec_from(tmp_path, **nothing, supported_frame_images=None, seed=None), load_catalog()
    general = base.get("openrouter-any").parameters
    assert (spec.parameters.formats, spec.parameters.durations) == (general.formats, general.durations)
    assert (spec.parameters.seed, spec.parameters.audio) == (False, False)


# -- what is not believed -------------------------------------------------------------------------------------------

HOSTILE: dict[str, Any] = {
    "no object": "google/veo",
    "null": None,
    "id with quotes": listed(id='a/b"\nextends = "svd'),
    "id with newlines": listed(id="a/b\n[[models]]"),
    "id with dots": listed(id="../../etc/passwd"),
    "id that is endless": listed(id="a/" + "b" * 5000),
    "id that is a number": listed(id=7),
    "field missing": {key: value for key, value in listed().items() if key != "supported_durations"},
    "name missing": {key: value for key, value in listed().items() if key != "name"},
    "durations enormous": listed(supported_durations=list(range(1, 100_000))),
    "durations absurd": listed(supported_durations=[5, 10**12]),
    "durations negative": listed(supported_durations=[-5, 5]),
    "durations true": listed(supported_durations=[True]),
    "durations text": listed(supported_durations="5"),
    "ratios absurd": listed(supported_aspect_ratios=["16:0"]),
    "ratio injection": listed(supported_aspect_ratios=['1:1", x = "']),
    "sizes absurd": listed(supported_sizes=["99999x99999"]),
    "resolutions unknown": listed(supported_resolutions=["best"], supported_sizes=None),
    "price negative": listed(pricing_skus={"duration_seconds": "-1"}),
    "price infinite": listed(pricing_skus={"duration_seconds": "inf"}),
    "price no number": listed(pricing_skus={"duration_seconds": "cheap"}),
    "price absurd": listed(pricing_skus={"duration_seconds": 10**400}),
    "prices a list": listed(pricing_skus=[1]),
    "audio a text": listed(generate_audio="yes"),
    "an upscaler": listed(upscale_factor={"min": 1, "max": 4}),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_broken_entry_is_left_out_and_named_and_the_others_stay(kind: str) -> None:
    listing = listing_of({"data": [HOSTILE[kind], listed(id="good/model")]}, "openrouter-any", TODAY)
    assert [row["id"] for row in listing.rows] == ["openrouter-good-model"]
    (left_out,) = listing.left_out
    assert left_out.name
    assert left_out.reason
    assert len(left_out.name) <= 60
    assert "\n" not in left_out.name


def test_a_name_full_of_tricks_is_only_a_name(tmp_path: Path) -> None:
    name = 'Veo "]\n[[models]]\nid = "x\x7f\x1b[31m\u202e\ud800 \U0001f98a'
    spec = spec_from(tmp_path, name=name)
    assert spec.id == ROW
    assert spec.name == 'Veo "] [[models]] id = "x [31m \U0001f98a (OpenRouter)'


@pytest.mark.parametrize(
    "data",
    [{}, {"data": {}}, {"data": None}, {"data": [listed()] * (MAX_ENTRIES + 1)}],
    ids=["none", "object", "null", "endless"],
)
def test_a_list_that_is_none_is_refused(data: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError):
        listing_of(data, "openrouter-any", TODAY)


# -- the file -------------------------------------------------------------------------------------------------------


@pytest.fixture
def contract(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenRouterContract]:
    """OpenRouter's side, which the studio of these tests asks."""
    contract = OpenRouterContract()
    with ConformanceServer([contract]) as server:
        for variable, value in server.environment(contract).items():
            monkeypatch.setenv(variable, value)
        yield contract


@pytest.fixture
def folder(settings: Settings) -> Path:
    settings.create_home()
    return settings.home / "catalog"


def refresh(settings: Settings) -> Refreshed:
    return Studio(settings).refresh_models("openrouter")


def test_refreshed_rows_are_in_the_catalog_and_can_be_asked(settings: Settings, contract: OpenRouterContract) -> None:
    contract.models = {"data": [listed(), listed(id="a/b:free", name="B"), HOSTILE["price negative"]]}
    found = refresh(settings)
    assert found.models == (ROW, "openrouter-a-b-free")
    assert [item.reason for item in found.left_out] == ["a price is absurd"]
    studio = Studio(settings)
    assert studio.registry.catalog.faults == ()
    entry = next(entry for entry in studio.models() if entry.spec.id == ROW)
    assert entry.readiness.ready
    request = GenerationRequest(model=ROW, prompt="a fox", duration_seconds=8, frame_rate=Fraction(24))
    cost = studio.estimate(request)[1].cost
    assert cost is not None
    assert cost.amount == pytest.approx(1.6)


def test_two_models_with_one_name_of_ours_are_told_apart(settings: Settings, contract: OpenRouterContract) -> None:
    contract.models = {"data": [listed(id="a/b-c"), listed(id="a/b:c")]}
    found = refresh(settings)
    assert found.models == ("openrouter-a-b-c",)
    assert [item.reason for item in found.left_out] == ["another row has this id"]


@pytest.mark.parametrize(
    "models",
    [{"data": []}, {"data": [HOSTILE["id with dots"]]}, {}, []],
    ids=["no entries", "none that will do", "no list", "no object"],
)
def test_a_list_of_nothing_leaves_the_rows_of_the_last_time(
    settings: Settings, contract: OpenRouterContract, models: Any
) -> None:
    path = refresh(settings).path
    before = path.read_bytes()
    contract.models = models
    with pytest.raises(ProtocolError):
        refresh(settings)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_refused_key_leaves_the_rows_of_the_last_time(
    settings: Settings, contract: OpenRouterContract, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = refresh(settings).path.read_bytes()
    monkeypatch.setenv("OPENROUTER_API_KEY", "sk-or-v1-another-0123456789abcdef")
    with pytest.raises(KeyRefused):
        refresh(settings)
    assert (settings.home / "catalog" / "openrouter.toml").read_bytes() == before


def test_a_row_that_another_file_extends_is_kept_when_it_is_gone(
    settings: Settings, contract: OpenRouterContract, folder: Path
) -> None:
    refresh(settings)
    (folder / "mine.toml").write_text(f'[[models]]\nid = "my-veo"\nextends = "{ROW}"\nname = "Mine"\n')
    contract.models = {"data": [listed(id="new/model")]}
    found = refresh(settings)
    assert (found.models, found.kept) == (("openrouter-new-model", ROW), (ROW,))
    catalog = Studio(settings).registry.catalog
    assert catalog.faults == ()
    assert catalog.get("my-veo").name == "Mine"


def test_rows_that_would_break_the_users_own_are_not_written(
    settings: Settings, contract: OpenRouterContract, folder: Path
) -> None:
    before = refresh(settings).path.read_bytes()
    row = f'[[models]]\nid = "my-veo"\nextends = "{ROW}"\nparameters = {{ durations = {{ default = 8 }} }}\n'
    (folder / "mine.toml").write_text(row)
    contract.models = {"data": [listed(supported_durations=[3, 4, 5])]}
    with pytest.raises(EnvironmentFault, match="do not go together with your own"):
        refresh(settings)
    assert (folder / "openrouter.toml").read_bytes() == before
    assert Studio(settings).registry.catalog.faults == ()


def test_an_id_of_the_users_own_is_not_taken(settings: Settings, contract: OpenRouterContract, folder: Path) -> None:
    folder.mkdir()
    (folder / "mine.toml").write_text(f'[[models]]\nid = "{ROW}"\nextends = "openrouter-any"\n')
    contract.models = {"data": [listed(), listed(id="new/model")]}
    assert refresh(settings).models == ("openrouter-new-model",)
    assert Studio(settings).registry.catalog.faults == ()


def test_a_file_written_by_hand_is_not_written_over(
    settings: Settings, contract: OpenRouterContract, folder: Path
) -> None:
    folder.mkdir()
    (folder / "openrouter.toml").write_text('[[models]]\nid = "mine"\nextends = "openrouter-any"\n')
    with pytest.raises(EnvironmentFault, match="not written by a refresh"):
        refresh(settings)
    assert "mine" in (folder / "openrouter.toml").read_text()


def test_a_file_that_got_broken_is_mended_by_the_next_refresh(settings: Settings, contract: OpenRouterContract) -> None:
    path = refresh(settings).path
    path.write_text(path.read_text()[:-40])
    assert Studio(settings).registry.catalog.faults
    refresh(settings)
    assert Studio(settings).registry.catalog.faults == ()
    assert len(tomllib.loads(path.read_text())["models"]) == 1


def test_without_a_key_the_list_is_asked_for_all_the_same(
    settings: Settings, contract: OpenRouterContract, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENROUTER_API_KEY")
    monkeypatch.setattr(contract, "authorize", lambda request: None, raising=False)
    assert refresh(settings).models == (ROW,)


def test_a_provider_without_a_list_is_named(settings: Settings) -> None:
    with pytest.raises(UnsupportedValue) as caught:
        Studio(settings).refresh_models("replicate")
    assert caught.value.allowed == "openrouter"


def test_the_command_tells_what_came_and_what_was_left_out(
    settings: Settings, contract: OpenRouterContract, capsys: pytest.CaptureFixture[str]
) -> None:
    contract.models = {"data": [listed(), HOSTILE["an upscaler"], HOSTILE["id with quotes"]]}
    assert run(("models", "refresh", "openrouter", "--json")) == 0
    captured = capsys.readouterr()
    said = json.loads(captured.out)
    assert said["models"] == [ROW]
    assert {item["reason"] for item in said["left_out"]} == {"it enlarges videos and makes none", "its id is none"}
    assert "was left out" in captured.err
    assert run(("models", "--help")) == 0
    assert "refresh" in capsys.readouterr().out
