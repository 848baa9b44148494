"""A sealed clip and what can be done to it with real tools."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import imageio_ffmpeg
import pytest

from studio.app import Studio
from studio.request import GenerationRequest
from tests.studio.provenance.conftest import identity, signed_file, stranger, unsigned

__all__ = ["identity", "signed_file", "stranger", "unsigned"]

Ffmpeg = Callable[..., Path]


@pytest.fixture
def sealed(studio: Studio, tmp_path: Path) -> Path:
    """A clip that left the studio: 160x128, 25 frames, in the library and as a copy."""
    request = GenerationRequest(model="scripted-moving", seed=1, num_frames=25)
    return studio.generate(request, output=tmp_path / "clip.mp4").asset.path


@pytest.fixture
def ffmpeg(tmp_path: Path) -> Ffmpeg:
    """A function that runs ffmpeg on a file and returns what it wrote: ``ffmpeg(source, name, *arguments)``."""

    def run(source: Path, name: str, *arguments: str) -> Path:
        target = tmp_path / name
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-v", "error", "-i", str(source), *arguments, str(target)]
        subprocess.run(command, check=True, timeout=120)
        return target

    return run
