"""What a batch is put through: workers killed at random moments, a full disk, a locked database, a clock set back."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from studio.app import Studio
from studio.config import Settings
from studio.errors import StudioError

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-c", "from ui.cli import main; main()"]
# Every reading of the wall clock is moved by the seconds that stand in a file; monotonic clocks go on as they do.
_CLOCK = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
static long offset(void) {
    const char *name = getenv("TORTURE_CLOCK");
    long seconds = 0;
    FILE *file = name ? fopen(name, "r") : NULL;
    if (file) { if (fscanf(file, "%ld", &seconds) != 1) seconds = 0; fclose(file); }
    return seconds;
}
int clock_gettime(clockid_t id, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(id, now);
    if (result == 0 && id == CLOCK_REALTIME) now->tv_sec += offset();
    return result;
}
int gettimeofday(struct timeval *now, void *zone) {
    static int (*real)(struct timeval *, void *);
    if (!real) real = dlsym(RTLD_NEXT, "gettimeofday");
    int result = real(now, zone);
    if (result == 0) now->tv_sec += offset();
    return result;
}
time_t time(time_t *out) {
    struct timeval now;
    gettimeofday(&now, NULL);
    if (out) *out = now.tv_sec;
    return now.tv_sec;
}
"""


@contextmanager
def small_disk(folder: Path, mebibytes: int) -> Iterator[Path | None]:
    """Mount a disk of its own on a folder; None where this user may not."""
    folder.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m,mode=700", "tmpfs", str(folder)]
    try:
        done = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except OSError:
        done = False
    if not done:
        yield None
        return
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=False)


def build_clock(folder: Path) -> Path | None:
    """Build the library that moves the wall clock; None where there is no compiler."""
    source, library = folder / "clock.c", folder / "clock.so"
    source.write_text(_CLOCK)
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or sys.platform != "linux":
        return None
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    return library


@dataclass
class Victim:
    """A batch in a home of its own, run by real processes."""

    home: Path
    file: Path
    workers: int = 2
    clock: Path | None = None
    environment: dict[str, str] = field(default_factory=dict)
    parent: subprocess.Popen[bytes] | None = None

    @property
    def clock_file(self) -> Path:
        return self.file.with_name("clock-offset")

    @property
    def settings(self) -> Settings:
        return Settings(home=self.home)

    def start(self, *arguments: str) -> None:
        """Start `studio batch run` as a person would, in a session of its own."""
        with open(self.file.with_suffix(".log"), "ab") as log:
            self.parent = subprocess.Popen(
                self._command(*arguments), cwd=self.file.parent, env=self._environment(), stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=log, start_new_session=True,
            )  # fmt: skip

    def kill(self) -> None:
        """Kill the batch itself, if it is still there."""
        assert self.parent is not None
        self.parent.kill()
        self.parent.wait()

    def finish(self, timeout: float) -> dict[str, Any]:
        """Run it to its end with ``--resume`` and return what it says."""
        done = subprocess.run(
            self._command("--resume", "--json"), cwd=self.file.parent, env=self._environment(), timeout=timeout,
            stdin=subprocess.DEVNULL, capture_output=True, check=False,
        )  # fmt: skip
        log = done.stderr.decode(errors="replace")
        assert "Traceback" not in log, log[-4000:]
        assert done.returncode == 0, log[-4000:] + done.stdout.decode(errors="replace")[-2000:]
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def pids(self) -> list[int]:
        """Return the processes that work for it."""
        with suppress(StudioError):
            studio = Studio(self.settings)
            try:
                return [worker.pid for worker in studio.desk.workers() if worker.is_alive]
            finally:
                studio.store.close()
        return []

    def _command(self, *arguments: str) -> list[str]:
        return [*COMMAND, "batch", "run", str(self.file), "--workers", str(self.workers), *arguments]

    def _environment(self) -> dict[str, str]:
        environment = {**os.environ, **self.environment, "STUDIO_HOME": str(self.home), "PYTHONPATH": str(ROOT)}
        if self.clock is not None:
            environment |= {"LD_PRELOAD": str(self.clock), "TORTURE_CLOCK": str(self.clock_file)}
        return environment


@dataclass
class Tormentor:
    """Kills what works for a batch, at moments that a seed decides. kills: so many in all."""

    victim: Victim
    kills: int
    rng: random.Random
    longest_pause: float
    killed: int = 0
    restarts: int = 0
    remarks: list[str] = field(default_factory=list)

    def run(self, deadline: float) -> None:
        """Kill until it is enough or the batch has come to its end."""
        victim = self.victim
        while self.killed < self.kills and time.monotonic() < deadline:
            time.sleep(self.rng.uniform(0.0, self.longest_pause))
            assert victim.parent is not None
            if victim.parent.poll() is not None:
                if victim.parent.returncode == 0:
                    return  # it was faster than the tormentor
                self.restarts += 1
                victim.start("--resume")
                continue
            if self.rng.random() < 0.06:
                os.kill(victim.parent.pid, signal.SIGKILL)
                self.remarks.append("parent")
                victim.parent.wait()
                continue
            pids = victim.pids()
            if pids:
                with suppress(ProcessLookupError):
                    os.kill(self.rng.choice(pids), signal.SIGKILL)
                    self.killed += 1


def lock_database(path: Path, seconds: float) -> threading.Thread:
    """Keep everybody else from writing for a while."""

    def hold() -> None:
        connection = sqlite3.connect(path, timeout=60, isolation_level=None)
        connection.execute("BEGIN IMMEDIATE")
        time.sleep(seconds)
        connection.execute("ROLLBACK")
        connection.close()

    thread = threading.Thread(target=hold)
    thread.start()
    return thread


def fill_disk(folder: Path, seconds: float) -> threading.Thread:
    """Fill a disk to the last byte for a while."""

    def fill() -> None:
        ballast = folder / "ballast"
        until = time.monotonic() + seconds
        with open(ballast, "ab", buffering=0) as stream:
            while time.monotonic() < until:
                try:
                    stream.write(bytes(2**16))
                except OSError:
                    time.sleep(0.05)
        ballast.unlink()

    thread = threading.Thread(target=fill)
    thread.start()
    return thread
