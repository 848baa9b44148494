"""Any file over HTTP: verified at once, checked in the background, gone afterwards, and seen by its owner alone."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import imageio_ffmpeg
import pytest

from studio.library.asset import Asset
from studio.people.account import Role
from studio.request import GenerationRequest
from tests.webpage import ServedPage, serving_page


@pytest.fixture(scope="module")
def asset(idle_site: ServedPage) -> Asset:
    return idle_site.studio.generate(GenerationRequest(model="scripted-moving", seed=5, prompt="A fox")).asset


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video whose checks take a while."""
    path = tmp_path_factory.mktemp("long") / "long.mp4"
    source = "testsrc=size=640x360:rate=25:duration=40"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-v", "error", "-f", "lavfi", "-i", source]
    subprocess.run([*command, "-preset", "ultrafast", "-pix_fmt", "yuv420p", str(path)], check=True, timeout=120)
    return path


def send(client: httpx.Client, content: bytes, name: str = "clip.mp4", **files: bytes) -> httpx.Response:
    given = {"file": ("clip.mp4", content)} | {key: (key, value) for key, value in files.items()}
    return client.post("/studio/inspect", data={"name": name}, files=given)


def wait(client: httpx.Client, told: dict[str, Any], until: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    deadline = time.monotonic() + 90
    while not until(told):
        assert time.monotonic() < deadline, told["state"]
        time.sleep(0.1)
        told = client.get(f"/studio/inspect/{told['id']}").json()
    return told


def is_over(told: dict[str, Any]) -> bool:
    return not told["is_open"]


def uploads(site: ServedPage) -> list[Path]:
    return [path for path in (site.studio.settings.home / "uploads").glob("*/*/*") if path.is_dir()]


def test_a_sealed_file_is_verified_then_checked_and_then_gone(idle_site: ServedPage, asset: Asset) -> None:
    answer = send(idle_site.client, asset.path.read_bytes(), name="mine.mp4")
    assert answer.status_code == 202, answer.text
    told = wait(idle_site.client, answer.json(), is_over)
    assert (told["state"], told["name"]) == ("done", "mine.mp4")
    assert told["verification"]["word"] == "intact"
    assert told["verification"]["library"]["asset"] == asset.id
    assert told["consistency"]["counts"]["passed"] > 0
    assert told["percent"] == 100
    assert uploads(idle_site) == []


def test_a_changed_byte_makes_it_altered(idle_site: ServedPage, asset: Asset) -> None:
    content = bytearray(asset.path.read_bytes())
    content[len(content) // 2] ^= 1
    told = wait(idle_site.client, send(idle_site.client, bytes(content)).json(), lambda told: told["verification"])
    assert told["verification"]["word"] == "altered"
    wait(idle_site.client, told, is_over)


def test_the_recipe_of_an_inspected_file_is_kept_for_the_form(idle_site: ServedPage, asset: Asset) -> None:
    told = wait(idle_site.client, send(idle_site.client, asset.path.read_bytes()).json(), is_over)
    kept = idle_site.client.post(f"/studio/inspect/{told['id']}/recipe").json()
    assert kept["model"] == "scripted-moving"
    assert kept["id"]


def test_an_empty_file_is_refused_in_words(idle_site: ServedPage) -> None:
    answer = send(idle_site.client, b"")
    assert answer.status_code == 422
    assert answer.json()["error"]["message"] == "the file is empty"
    assert idle_site.client.post("/studio/inspect", files={"sidecar": ("a.c2pa", b"x")}).status_code == 422
    assert uploads(idle_site) == []


@pytest.mark.parametrize("content", [b"only words " * 99, b"\x00" * 5000, b"\x00\x00\x00\x18ftypmp42" + b"\xff" * 3000])
def test_what_makes_no_sense_is_unknown_and_not_an_error(idle_site: ServedPage, content: bytes) -> None:
    told = wait(idle_site.client, send(idle_site.client, content).json(), is_over)
    assert (told["state"], told["error"]) == ("done", None)
    assert told["verification"]["word"] in ("unknown", "altered")
    assert told["verification"]["problem"]
    assert told["consistency"] is None


def test_a_name_is_one_line_and_never_a_path(idle_site: ServedPage) -> None:
    name = "../../<img src=x onerror=alert(1)>\u202egpj.mp4\n"
    told = wait(idle_site.client, send(idle_site.client, b"words" * 99, name=name).json(), is_over)
    assert told["name"] == "../../<img src=x onerror=alert(1)> gpj.mp4"
    assert str(idle_site.studio.settings.home) not in str(told)


def test_checks_are_told_as_they_go_and_can_be_stopped(idle_site: ServedPage, long_clip: Path) -> None:
    told = send(idle_site.client, long_clip.read_bytes()).json()
    told = wait(idle_site.client, told, lambda told: told["state"] == "checking" and told["done"] > 0)
    assert told["verification"]["word"] == "unknown"
    assert 0 <= told["percent"] < 100
    idle_site.client.post(f"/studio/inspect/{told['id']}/cancel")
    told = wait(idle_site.client, told, is_over)
    assert (told["state"], told["consistency"]) == ("canceled", None)
    assert told["verification"] is not None
    assert uploads(idle_site) == []


def test_an_inspection_that_is_removed_is_forgotten_at_once(idle_site: ServedPage, long_clip: Path) -> None:
    told = send(idle_site.client, long_clip.read_bytes()).json()
    assert idle_site.client.delete(f"/studio/inspect/{told['id']}").json()["removed"] is True
    assert idle_site.client.get(f"/studio/inspect/{told['id']}").status_code == 404
    assert uploads(idle_site) == []


def test_too_many_at_once_are_refused_before_they_are_read(idle_site: ServedPage, long_clip: Path) -> None:
    content = long_clip.read_bytes()
    answers = [send(idle_site.client, content) for _ in range(5)]
    opened = [answer.json()["id"] for answer in answers if answer.status_code == 202]
    for inspection_id in opened:
        idle_site.client.delete(f"/studio/inspect/{inspection_id}")
    assert answers[-1].status_code == 503
    assert answers[-1].headers["retry-after"]
    assert len(opened) == 4


def test_a_file_of_the_library_is_inspected_without_an_upload(idle_site: ServedPage, asset: Asset) -> None:
    told = idle_site.client.get(f"/studio/inspect/asset/{asset.id}").json()
    assert told["verification"]["word"] == "intact"
    assert told["consistency"]["checks"]
    assert idle_site.client.get("/studio/inspect/asset/nothing").status_code == 404


def test_nobody_sees_what_somebody_else_inspects(idle_site: ServedPage, asset: Asset) -> None:
    studio, password = idle_site.studio, "correct horse battery staple"
    for name in ("ines", "otto"):
        studio.people.add(name, password, Role.CREATOR)
    with serving_page(studio, needs_login=True) as served:
        origin = {"origin": served.url, "sec-fetch-site": "same-origin"}

        def browser(name: str) -> httpx.Client:
            cookie = f"studio-visit={studio.people.login(name, password)}"
            return httpx.Client(base_url=served.url, headers=origin | {"cookie": cookie}, timeout=60, trust_env=False)

        with browser("ines") as ines, browser("otto") as otto:
            told = send(ines, asset.path.read_bytes()).json()
            path = f"/studio/inspect/{told['id']}"
            assert otto.get(path).status_code == 404
            assert otto.post(f"{path}/cancel").status_code == 404
            assert otto.delete(path).status_code == 404
            assert wait(ines, told, is_over)["state"] == "done"
