"""The only fakes of the suite: generators that follow a script, served through the catalog like any other."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from studio.catalog.schema import ModelSpec
from studio.config import Settings
from studio.errors import GenerationFailed
from studio.generator import Cost, Estimate, RunContext
from studio.media import EncodedClip, FrameClip, Preview
from studio.request import GenerationRequest, ResolvedRequest
from studio.resolve import resolve

ROW = """
[[models]]
id = "{id}"
name = "Scripted {id}"
summary = "Follows a script, for tests"
family = "scripted"
where = "remote"
generator = "tests.fakes:ScriptedGenerator"
tasks = ["text-to-video", "image-to-video"]
licence = {{ id = "Apache-2.0" }}
settings = {{ script = "{script}" }}

[models.parameters]
width = {{ min = 64, max = 256, default = 160, step = 16 }}
height = {{ min = 64, max = 256, default = 128, step = 16 }}
num_frames = {{ min = 5, max = 33, default = 9, step = 4, offset = 1 }}
frame_rate = {{ min = 1, max = 60, default = 8 }}
num_inference_steps = {{ min = 1, max = 50, default = 3 }}
guidance_scale = {{ min = 1, max = 10, default = 4 }}
prompt = "optional"
negative_prompt = true
options.shade = {{ type = "integer", default = 10, min = 0, max = 50, help = "brightness added" }}
options.mode = {{ type = "choice", default = "soft", choices = ["soft", "hard"], help = "nothing" }}
options.loop = {{ type = "boolean", default = false, help = "nothing" }}
"""

SCRIPTS = ("moving", "frozen", "black", "unlucky", "raises", "crashes", "interrupted")


def write_scripted_rows(folder: Path) -> Path:
    """Write a catalog folder with one row for each script, and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = "".join(ROW.format(id=f"scripted-{script}", script=script) for script in SCRIPTS)
    (folder / "scripted.toml").write_text(rows)
    return folder


def write_scripted_row(folder: Path, model: str, settings: str) -> None:
    """Add one row to a catalog folder. settings: of the moving script, such as ``price = 1.0``."""
    row = ROW.format(id=model, script="moving").replace('script = "moving"', f'script = "moving", {settings}')
    (folder / f"{model}.toml").write_text(row)


class ScriptedGenerator:
    """Makes a clip by drawing it, or fails in the way its row's script says."""

    def __init__(self, spec: ModelSpec, settings: Settings) -> None:
        self.spec = spec
        self.sessions = 0
        self.is_open = False
        self.calls = 0

    def resolve(self, request: GenerationRequest) -> ResolvedRequest:
        return resolve(self.spec, request)

    def estimate(self, resolved: ResolvedRequest) -> Estimate:
        return Estimate(
            seconds=1.0,
            vram_bytes=0,
            ram_bytes=10**6,
            disk_bytes=10**5,
            cost=self._cost(),
            basis="a script",
        )

    def _cost(self) -> Cost | None:
        """Return what the row's settings say: nothing where they are silent, None for a price that nobody knows."""
        price = self.spec.settings.get("price", 0.0)
        return None if price == "unknown" else Cost(amount=float(price), currency="USD")

    @contextmanager
    def session(self) -> Iterator[None]:
        self.sessions += 1
        self.is_open = True
        try:
            yield
        finally:
            self.is_open = False

    def generate(self, resolved: ResolvedRequest, run: RunContext) -> FrameClip:
        self.calls += 1
        script = self.spec.settings["script"]
        total = resolved.num_inference_steps or 1
        for done in range(1, total + 1):
            run.raise_if_canceled()
            time.sleep(self.spec.settings.get("seconds_per_step", 0))
            run.progress(done, total, Preview(image=np.zeros((8, 8, 3), np.uint8)))
        if script == "raises":
            raise GenerationFailed("the script says so")
        if script == "crashes":
            raise ZeroDivisionError("a bug")
        if script == "interrupted":
            raise KeyboardInterrupt
        return FrameClip(frames=draw(resolved, script), frame_rate=resolved.frame_rate)


def draw(resolved: ResolvedRequest, script: str) -> np.ndarray:
    """Return (T, H, W, 3) uint8 frames of a bright square on a textured ground, decided by the seed.

    unlucky: with an even seed a frame in the middle is black, with one that 4 divides the end stands still as well.
    """
    rng = np.random.default_rng(resolved.seed)
    shape = (resolved.height, resolved.width, 3)
    if script == "black":
        return np.zeros((resolved.num_frames, *shape), np.uint8)
    coarse = rng.integers(60, 120, (8, 8, 3), dtype=np.uint8) + np.uint8(resolved.options["shade"])
    ground = cv2.resize(coarse, shape[1::-1], interpolation=cv2.INTER_CUBIC)
    frames = np.repeat(ground[None], resolved.num_frames, axis=0)
    colour = rng.integers(180, 250, 3, dtype=np.uint8)
    for index, frame in enumerate(frames if script in ("moving", "unlucky") else ()):
        frame[16:40, 2 * index : 2 * index + 24] = colour
    if script == "unlucky" and resolved.seed % 2 == 0:
        frames[3] = 0
    if script == "unlucky" and resolved.seed % 4 == 0:
        frames[5:] = frames[5]
    return frames


class DeliveringGenerator(ScriptedGenerator):
    """Stands for a provider: its clip is the file that the row's settings name, byte for byte."""

    def generate(self, resolved: ResolvedRequest, run: RunContext) -> EncodedClip:  # type: ignore[override]
        run.save_operation({"provider": "acme", "state": "submitted", "handle": {"id": "job-42"}})
        run.note("acme made it a little different")
        path = run.workdir / "raw.mp4"
        shutil.copyfile(self.spec.settings["file"], path)
        return EncodedClip(path=path, mime_type="video/mp4")


def write_delivering_row(folder: Path, file: Path) -> None:
    """Add the row ``delivering``, whose clip is this file."""
    row = ROW.format(id="delivering", script="moving").replace('script = "moving"', f'file = "{file}"')
    (folder / "delivering.toml").write_text(row.replace("ScriptedGenerator", "DeliveringGenerator") + _REMOTE)


_REMOTE = """
[models.remote]
provider = "acme"
provider_name = "Acme"
base_url = "https://acme.example"
base_url_variable = "ACME_URL"
attribution = "Powered by Acme"
"""
