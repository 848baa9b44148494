"""Settings come from the environment, and what is wrong with them is one sentence."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from studio.config import PromptPolicy, Settings
from studio.errors import EnvironmentFault


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("STUDIO_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("STUDIO_PROMPT_POLICY", "none")
    settings = Settings.read()
    assert settings.home == tmp_path / "home"
    assert settings.prompt_policy is PromptPolicy.NONE


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("STUDIO_HOME", ""),
        ("STUDIO_THREADS", "many"),
        ("STUDIO_THREADS", "-1"),
        ("STUDIO_EMBEDDINGS_LIMIT", "-1"),
        ("STUDIO_EMBEDDINGS_LIMIT", "0.5"),
        ("STUDIO_PROMPT_POLICY", "Hash"),
        ("STUDIO_TRAINING_USE", "perhaps"),
    ],
)
def test_a_wrong_value_is_named_with_its_variable(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(EnvironmentFault, match=name) as caught:
        Settings.read()
    assert "\n" not in caught.value.sentence()


@pytest.mark.parametrize(("value", "limit"), [(None, 1024), ("0", 0), ("64", 64)])
def test_kept_embeddings_are_limited(monkeypatch: pytest.MonkeyPatch, value: str | None, limit: int) -> None:
    monkeypatch.delenv("STUDIO_EMBEDDINGS_LIMIT", raising=False)
    if value is not None:
        monkeypatch.setenv("STUDIO_EMBEDDINGS_LIMIT", value)
    assert Settings.read().embeddings_limit == limit


def test_a_home_is_absolute_and_knows_the_tilde(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Settings(home=Path("here")).home == tmp_path / "here"
    assert Settings(home=Path("~/there")).home == tmp_path / "there"


def test_a_folder_that_was_there_before_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    Settings(home=tmp_path).create_home()
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755
    assert stat.S_IMODE((tmp_path / "identity").stat().st_mode) == 0o700
