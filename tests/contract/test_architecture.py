"""The rules that hold the house up, checked on the code itself."""

from __future__ import annotations

import ast
import json
import re
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("studio", "pipelines", "providers", "ui")
DRAWERS = {"utils", "util", "helpers", "helper", "common", "manager", "managers", "misc", "base"}


def modules() -> Iterator[Path]:
    for package in PACKAGES:
        yield from (ROOT / package).rglob("*.py")


def imported_by(*arguments: str) -> set[str]:
    code = (
        f"import json, sys; from ui.cli.entry import run; run({list(arguments)!r}); "
        "sys.stderr.write(chr(10) + json.dumps(sorted(sys.modules)))"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert process.returncode == 0, process.stderr
    return set(json.loads(process.stderr.splitlines()[-1]))


@pytest.mark.parametrize("arguments", [["--help"], ["generate", "--help"], ["models", "--json"], ["library", "list"]])
def test_looking_around_loads_no_model_library_and_no_web_framework(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUDIO_HOME", str(tmp_path))
    loaded = imported_by(*arguments)
    assert not loaded & {"torch", "gradio", "diffusers", "transformers", "fastapi"}


def test_help_starts_within_half_a_second_of_cpu_time() -> None:
    code = "import sys; sys.argv = ['studio', '--help']; from ui.cli import main; main()"
    best = min(_cpu_seconds([sys.executable, "-c", code]) for _ in range(3))
    assert best < 0.5


def _cpu_seconds(command: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, stdout=subprocess.DEVNULL, cwd=ROOT, check=True, timeout=60)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def test_no_code_asks_which_model_it_serves() -> None:
    """A model is a row. What differs between models is in the row, not in branches on its id."""
    pattern = re.compile(r"""(model|model_id|spec\.id|\.id)\s*(==|!=|\bin\b)\s*[("'\[]""")
    offenders = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in modules()
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if pattern.search(line.split("#")[0])
    ]
    assert offenders == []


def test_no_file_is_a_drawer() -> None:
    assert [path for path in modules() if path.stem in DRAWERS] == []


def test_files_and_functions_stay_small() -> None:
    long_files = {path.name: n for path in modules() if (n := len(path.read_text().splitlines())) > 400}
    assert long_files == {}
    long_functions = []
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and (node.end_lineno or 0) - node.lineno > 70:
                long_functions.append(f"{path.name}:{node.name}")
    assert long_functions == []


def test_every_module_says_what_it_is_for() -> None:
    assert [str(path) for path in modules() if not ast.get_docstring(ast.parse(path.read_text()))] == []


def test_weights_are_never_pickles() -> None:
    suffixes = {".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle"}
    assert [path for path in (ROOT / "weights").rglob("*") if path.suffix in suffixes] == []
    calls = [path for path in modules() if re.search(r"torch\.load|pickle\.load|allow_pickle=True", path.read_text())]
    assert calls == []


def test_the_import_contracts_hold() -> None:
    process = subprocess.run(
        [str(Path(sys.executable).parent / "lint-imports")], capture_output=True, text=True, cwd=ROOT, timeout=120
    )
    assert process.returncode == 0, process.stdout
