"""A sealed clip plays in a real browser: Debian's Chromium, driven by playwright."""

from __future__ import annotations

import functools
import shutil
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from studio.app import Studio
from studio.request import GenerationRequest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PLAY = """() => new Promise((resolve, reject) => {
    const video = document.getElementById('v');
    video.onerror = () => reject(video.error.message);
    video.onended = () => resolve([
        video.videoWidth, video.videoHeight, video.duration, video.getVideoPlaybackQuality().totalVideoFrames,
    ]);
    video.play();
})"""

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: apt-get install chromium")


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """Serve the test's folder on loopback."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(QuietHandler, directory=str(tmp_path)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_it_plays_to_the_end_with_its_own_size_and_length(studio: Studio, tmp_path: Path, address: str) -> None:
    from playwright.sync_api import sync_playwright

    asset = studio.generate(GenerationRequest(model="scripted-moving", seed=1), output=tmp_path / "clip.mp4").asset
    (tmp_path / "index.html").write_text("<video id=v src=clip.mp4 muted></video>")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page()
        page.goto(f"{address}/index.html")
        facts = page.evaluate(PLAY)
        browser.close()
    width, height, duration, frames = facts
    assert (width, height) == (asset.width, asset.height)
    assert duration == pytest.approx(float(asset.num_frames / asset.frame_rate), abs=0.15)
    assert frames >= asset.num_frames - 1
