"""A home folder with `studio web` over it as people start it: a process, workers that it starts, real models."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from studio.app import Studio
from studio.config import Settings
from tests.fakes import ROW
from tests.webpage import SLOW_MODEL

ROOT = Path(__file__).resolve().parents[3]
COMMAND = (sys.executable, "-c", "from ui.cli import main; main()")


class House:
    """One home. environment: of its processes. rows: TOML of further models."""

    def __init__(self, folder: Path, *, rows: str = "", environment: dict[str, str] | None = None) -> None:
        self.home = folder / "home"
        (self.home / "catalog").mkdir(parents=True)
        slow = ROW.format(id=SLOW_MODEL, script="moving")
        slow = slow.replace('script = "moving"', 'script = "moving", seconds_per_step = 1.2')
        slow = slow.replace("max = 50, default = 3", "max = 50, default = 10")  # time enough to step in
        (self.home / "catalog" / "slow.toml").write_text(slow)
        if rows:
            (self.home / "catalog" / "more.toml").write_text(rows)
        own = {"STUDIO_HOME": str(self.home), "PYTHONPATH": str(ROOT), "OMP_WAIT_POLICY": "PASSIVE"}
        self.environment = {**os.environ, **own, **(environment or {})}

    @contextmanager
    def web(self, *arguments: str) -> Iterator[str]:
        """Run `studio web` for as long as the context lasts; yields its address."""
        with (self.home / "web.log").open("a") as log:
            process = subprocess.Popen(
                [*COMMAND, "web", "--port", "0", "--json", *arguments],
                env=self.environment,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        try:
            assert process.stdout is not None
            told = ""
            while not told.endswith("}\n"):
                line = process.stdout.readline()
                assert line, (self.home / "web.log").read_text()
                told += line
            yield json.loads(told)["url"]
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=90)
            assert "Traceback" not in (self.home / "web.log").read_text()

    def studio(self, *arguments: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run another command over the same home."""
        return subprocess.run(
            [*COMMAND, *arguments], env=self.environment, input=text, capture_output=True, text=True, timeout=120,
            check=False,
        )  # fmt: skip

    @contextmanager
    def opened(self) -> Iterator[Studio]:
        """Look into the same home from here."""
        studio = Studio(Settings(home=self.home))
        try:
            yield studio
        finally:
            studio.store.close()
