"""What the doctor says about local models."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import subprocess
import sys

import pytest
import torch

from pipelines.doctor import checks
from studio.config import Settings
from studio.doctor import DoctorCheck


def findings(settings: Settings) -> dict[str, DoctorCheck]:
    return {check.id: check for check in checks(settings)}


def pretend_missing(monkeypatch: pytest.MonkeyPatch, *missing: str) -> None:
    find_spec, version = importlib.util.find_spec, importlib.metadata.version

    def found(name: str, *rest: str | None) -> object:
        return None if name in missing else find_spec(name, *rest)

    def versioned(name: str) -> str:
        if name in missing:
            raise importlib.metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr("importlib.util.find_spec", found)
    monkeypatch.setattr("pipelines.doctor.version", versioned)


def test_there_is_a_line_for_each_thing_that_local_models_stand_on(settings: Settings) -> None:
    found = findings(settings)
    assert list(found) == [
        "torch",
        "device",
        "diffusers",
        "transformers",
        "accelerate",
        "xformers",
        "attention",
        "triton",
        "channels-last",
        "peft",
        "torchao",
    ]
    assert torch.__version__ in found["torch"].detail
    assert all(check.fix for check in found.values() if check.ok is False)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU has other kernels")
def test_attention_says_what_auto_comes_to_and_what_there_is(settings: Settings) -> None:
    attention = findings(settings)["attention"]
    assert attention.ok
    assert "here flash within a frame and flash along the frames" in attention.detail
    assert "there are auto, sdpa, sdpa-flash, sdpa-math;" in attention.detail
    assert "sdpa-cudnn" in attention.detail.partition("not here:")[2]


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU can use Triton")
def test_on_a_cpu_triton_is_not_needed(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    assert findings(settings)["triton"].ok is None
    pretend_missing(monkeypatch, "triton")
    monkeypatch.setattr("pipelines.kernels.programs.has_triton", lambda: False)
    triton = findings(settings)["triton"]
    assert (triton.ok, triton.fix) == (None, "")
    assert "not needed on cpu" in triton.detail


@pytest.mark.parametrize(("name", "loss"), [("peft", "LoRAs"), ("torchao", "eight bits")])
def test_an_optional_library_that_is_missing_is_named_with_what_is_lost_and_the_command(
    name: str, loss: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend_missing(monkeypatch, name)
    check = findings(settings)[name]
    assert check.ok is None
    assert loss in check.detail
    assert check.fix == f"`pip install {name}`"


def test_the_doctor_imports_no_library_that_talks_when_imported(settings: Settings) -> None:
    program = (
        "import sys; from pipelines.doctor import checks; from studio.config import Settings; list(checks(Settings()));"
        "sys.exit(', '.join({'diffusers', 'transformers', 'torchao', 'peft'} & set(sys.modules)) or 0)"
    )
    run = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
