"""What a job reached is kept whole or not at all, and is used for nothing else than what it was made for."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from studio.errors import DiskFull, StoreFault
from studio.jobs.checkpoints import Checkpoints, checkpoint_key
from studio.request import Conditioning, ResolvedRequest, Role, Task

CONTENT = bytes(range(256)) * 40 + b"\n{}\n"
RESOLVED = ResolvedRequest(
    model="micro-wan", task=Task.IMAGE_TO_VIDEO, prompt="a red circle", negative_prompt="", seed=7, width=128,
    height=128, num_frames=17, frame_rate=Fraction(8), num_inference_steps=12, guidance_scale=3.0,
    conditionings=(Conditioning(role=Role.FIRST_FRAME, path=Path("/tmp/a.png"), sha256="ab" * 32),),
    generate_audio=False, options={"shade": 1},
)  # fmt: skip


@pytest.fixture
def checkpoints(tmp_path: Path) -> Checkpoints:
    return Checkpoints(tmp_path, "key")


@pytest.fixture
def small_files() -> Iterator[None]:
    """Let the system refuse files above 64 kB, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, ignored)


def key_of(request: dict[str, Any] | None = None, **facts: Any) -> str:
    return checkpoint_key(request or RESOLVED.as_json(), **{"weights_sha256": "cd" * 32, "device": "cpu", **facts})


@pytest.mark.parametrize("content", [b"", b"\n", CONTENT], ids=["nothing", "a line", "bytes"])
def test_what_is_kept_comes_back_also_in_another_process(tmp_path: Path, content: bytes) -> None:
    Checkpoints(tmp_path, "key").keep("latents", content)
    assert Checkpoints(tmp_path, "key").kept("latents") == content


def test_stages_do_not_mix_and_the_last_of_one_stage_counts(checkpoints: Checkpoints) -> None:
    checkpoints.keep("sampling", b"step 3")
    checkpoints.keep("latents", b"done")
    checkpoints.keep("sampling", b"step 6")
    assert checkpoints.kept("sampling") == b"step 6"
    assert checkpoints.kept("latents") == b"done"
    assert checkpoints.kept("embeddings") is None


def test_what_was_made_for_another_run_is_not_taken(tmp_path: Path, checkpoints: Checkpoints) -> None:
    checkpoints.keep("latents", CONTENT)
    assert Checkpoints(tmp_path, "another").kept("latents") is None
    assert checkpoints.kept("latents") == CONTENT


@pytest.mark.parametrize("position", [0, 5, 30, 100, 200, 400, -1])
def test_one_flipped_bit_anywhere_is_noticed_and_the_file_goes(
    tmp_path: Path, checkpoints: Checkpoints, position: int, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoints.keep("latents", CONTENT)
    file = tmp_path / "latents.checkpoint"
    damaged = bytearray(file.read_bytes())
    damaged[position] ^= 1
    file.write_bytes(damaged)
    assert checkpoints.kept("latents") is None
    if not _is_within(file, b'"key": "', position, damaged):
        assert not file.exists()
        assert "damaged" in caplog.text


def _is_within(file: Path, before: bytes, position: int, stored: bytes) -> bool:
    """A flipped bit of the key itself looks like another key."""
    start = stored.find(before) + len(before)
    return file.exists() and start <= position < stored.find(b'"', start)


@pytest.mark.parametrize("stored", [b"", b"{}", b"[1]\nabc", b"\xff\xfe\n", b"null\n", CONTENT])
def test_a_file_that_is_something_else_is_deleted(tmp_path: Path, checkpoints: Checkpoints, stored: bytes) -> None:
    (tmp_path / "latents.checkpoint").write_bytes(stored)
    assert checkpoints.kept("latents") is None
    assert list(tmp_path.iterdir()) == []


def test_a_file_cut_short_at_any_place_is_never_taken(tmp_path: Path, checkpoints: Checkpoints) -> None:
    checkpoints.keep("latents", b"0123456789")
    whole = (tmp_path / "latents.checkpoint").read_bytes()
    for length in range(len(whole)):
        (tmp_path / "latents.checkpoint").write_bytes(whole[:length])
        assert checkpoints.kept("latents") is None


@pytest.mark.parametrize("stage", ["", "a/b", "..", "A", "a b", "ü", "a" * 41, "a\n"])
def test_a_name_that_is_no_stage_is_refused(checkpoints: Checkpoints, stage: str) -> None:
    with pytest.raises(ValueError, match="a stage is named"):
        checkpoints.keep(stage, b"")
    with pytest.raises(ValueError, match="a stage is named"):
        checkpoints.kept(stage)


def test_a_full_disk_is_named_and_leaves_what_was_there(
    tmp_path: Path, checkpoints: Checkpoints, small_files: None
) -> None:
    checkpoints.keep("sampling", b"step 3")
    with pytest.raises(DiskFull, match="the stage sampling of a job cannot be kept"):
        checkpoints.keep("sampling", bytes(100_000))
    assert checkpoints.kept("sampling") == b"step 3"
    assert [file.name for file in tmp_path.iterdir()] == ["sampling.checkpoint"]


def test_a_folder_that_is_gone_is_not_made_again(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "gone", "key")
    with pytest.raises(StoreFault, match=os.strerror(errno.ENOENT)):
        checkpoints.keep("latents", CONTENT)
    assert checkpoints.kept("latents") is None
    assert checkpoints.size_bytes() == 0
    checkpoints.clear()
    assert not (tmp_path / "gone").exists()


def test_clearing_leaves_everything_else(tmp_path: Path, checkpoints: Checkpoints) -> None:
    (tmp_path / "raw.json").write_text("{}")
    for stage in ("embeddings", "sampling", "latents"):
        checkpoints.keep(stage, CONTENT)
    assert checkpoints.size_bytes() > 3 * len(CONTENT)
    checkpoints.clear()
    assert checkpoints.size_bytes() == 0
    assert [file.name for file in tmp_path.iterdir()] == ["raw.json"]


def test_what_a_process_left_that_was_killed_while_it_wrote_is_cleared_away(
    tmp_path: Path, checkpoints: Checkpoints
) -> None:
    code = """if True:
        import os, signal, sys
        from pathlib import Path
        from studio.jobs.checkpoints import Checkpoints
        os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        Checkpoints(Path(sys.argv[1]), "key").keep("sampling", b"half")
    """
    assert subprocess.run([sys.executable, "-c", code, tmp_path], timeout=60).returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    assert left.name.endswith(".part")
    assert checkpoints.kept("sampling") is None
    checkpoints.keep("sampling", b"whole")
    assert [file.name for file in tmp_path.iterdir()] == ["sampling.checkpoint"]


def test_the_key_stays_when_only_paths_and_warnings_change() -> None:
    request = RESOLVED.as_json()
    request["conditionings"][0]["path"] = "/elsewhere/input.png"
    assert key_of({**request, "warnings": ["something"]}) == key_of()
    assert key_of(device="cuda:0") == key_of(device="cuda:1")


@pytest.mark.parametrize("name", sorted(set(RESOLVED.as_json()) - {"warnings", "conditionings"}))
def test_every_other_field_of_the_request_counts(name: str) -> None:
    assert key_of({**RESOLVED.as_json(), name: "changed"}) != key_of()


def test_the_picture_the_weights_the_device_and_the_models_settings_count() -> None:
    request = RESOLVED.as_json()
    request["conditionings"][0]["sha256"] = "ef" * 32
    others = [
        key_of(),
        key_of(request),
        key_of({**RESOLVED.as_json(), "conditionings": []}),
        key_of(weights_sha256=None),
        key_of(device="cuda"),
        key_of(settings={"flow_shift": 5.0}),
    ]
    assert len(set(others)) == len(others)


def test_another_version_of_what_computes_makes_another_key(monkeypatch: pytest.MonkeyPatch) -> None:
    before = key_of()
    monkeypatch.setattr("studio.jobs.checkpoints.version", lambda library: f"{library} of tomorrow")
    assert key_of() != before


def test_making_a_key_loads_no_model_library() -> None:
    code = """if True:
        import sys
        from studio.jobs.checkpoints import checkpoint_key
        checkpoint_key({"seed": 1}, weights_sha256=None, device="cpu")
        assert not {"torch", "diffusers", "transformers"} & set(sys.modules)
    """
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
