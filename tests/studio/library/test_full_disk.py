"""A full disk is called one: nobody is told to throw a healthy library away."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from studio.config import Settings
from studio.library.store import Store

PROGRAM = """
import resource, signal, sys
from studio.config import Settings
from studio.errors import StudioError
from studio.library.store import Store

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024))
try:
    Store(Settings()).assets()
except StudioError as error:
    print(type(error).__name__, error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits of file sizes are POSIX")
def test_a_disk_without_room_is_said_to_be_full(settings: Settings) -> None:
    with Store(settings):
        pass
    environment = os.environ | {"STUDIO_HOME": str(settings.home)}
    root = Path(__file__).parents[3]
    told = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, cwd=root, capture_output=True, text=True,
                          timeout=60)  # fmt: skip
    assert told.stdout.startswith("DiskFull"), told.stdout + told.stderr
    assert "free some space" in told.stdout
