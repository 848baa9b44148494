"""Builds the wheel, installs it into a clean environment, and uses it from another folder (run by ``make wheel``)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("studio", "pipelines", "providers", "ui", "weights")
MAX_WHEEL_BYTES = 30 * 2**20


def main() -> None:
    """Raise SystemExit with a sentence when the wheel is not what it should be."""
    with tempfile.TemporaryDirectory() as folder:
        room = Path(folder)
        wheel = build(room / "dist")
        inspect(wheel)
        python = install(wheel, room / "venv")
        use(python, room)
    sys.stdout.write("clean install: passed\n")


def build(destination: Path) -> Path:
    """Return the wheel, built from the source distribution, as an index would get it."""
    command = [sys.executable, "-m", "build", "--outdir", destination, ROOT]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    (wheel,) = destination.glob("*.whl")
    return wheel


def inspect(wheel: Path) -> None:
    """Refuse a wheel that lacks weights or brings what does not belong."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    tops = {name.partition("/")[0] for name in names if ".dist-info" not in name}
    require(tops == set(PACKAGES), f"the wheel holds {sorted(tops)}")
    for model in ("micro-wan", "micro-svd"):
        weights = f"weights/{model}/vae/diffusion_pytorch_model.safetensors"
        require(weights in names, f"the wheel lacks {weights}")
    for item in ("c2pa.pem", "tsa.pem", "README.md"):
        path = f"studio/provenance/trust_lists/{item}"
        require(path in names, f"the wheel lacks {path}")
    for path in (
        "ui/web/static/studio.js",
        "ui/web/entrance/login.html",
        "ui/web/words/en/shell.toml",
        "studio/comparing/page",
    ):
        require(any(name.startswith(path) for name in names), f"the wheel lacks {path}")
    require(wheel.stat().st_size < MAX_WHEEL_BYTES, f"the wheel has {wheel.stat().st_size} bytes")


def install(wheel: Path, folder: Path) -> Path:
    """Return the interpreter of a new environment with the wheel in it.

    What the wheel needs is taken from the environment that runs this script: only our own packages are in question.
    """
    venv.EnvBuilder(with_pip=True).create(folder)
    python = folder / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-deps", wheel], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    ours = Path(next(path for path in sys.path if path.endswith("site-packages")))
    foreign = [entry for entry in ours.iterdir() if not is_ours(entry.name)]
    for entry in foreign:
        if not (site / entry.name).exists():
            (site / entry.name).symlink_to(entry)
    return python


def is_ours(name: str) -> bool:
    """Say whether an entry of site-packages belongs to the editable install of this tree."""
    return "local_video_studio" in name or name.partition(".")[0] in PACKAGES


def use(python: Path, room: Path) -> None:
    """Make and verify a clip from another folder, with nothing of the source tree in sight."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"STUDIO_HOME": str(room / "home")}
    elsewhere = room / "elsewhere"
    elsewhere.mkdir()

    def studio(*arguments: str) -> dict[str, object]:
        command = [python.with_name("studio"), *arguments, "--json"]
        process = subprocess.run(command, cwd=elsewhere, env=environment, capture_output=True, text=True, timeout=300)
        require(process.returncode == 0, f"{arguments} exited with {process.returncode}: {process.stderr}")
        found: dict[str, object] = json.loads(process.stdout)
        return found

    names = ", ".join(PACKAGES)
    code = f"import json, {names}; print(json.dumps([module.__file__ for module in ({names})]))"
    command = [python, "-c", code]
    output = subprocess.run(command, cwd=elsewhere, env=environment, capture_output=True, text=True, check=True)
    origins = json.loads(output.stdout)
    require(all(str(room) in origin for origin in origins), f"packages come from {origins}")
    prompt = "a red circle moving right on a gray background"
    studio("generate", "--model", "micro-wan", "--prompt", prompt, "--steps", "2", "--output", "clip.mp4")
    studio("verify", "clip.mp4")
    studio("doctor")


def require(condition: bool, complaint: str) -> None:
    """End the script with a complaint unless the condition holds."""
    if not condition:
        sys.exit(f"clean install: {complaint}")


if __name__ == "__main__":
    main()
