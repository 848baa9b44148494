"""Draw the pictures of docs/web/: python -m benchmarks.web_page.pictures. Each tab, light and dark, of a small studio.

All of it is real: clips of the models that ship, sealed; a comparison with votes; a queue that is paused.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import Page, ViewportSize, sync_playwright

from benchmarks.web_page.__main__ import serving
from benchmarks.web_page.visits import FLAGS, chromium
from studio.app import Studio
from studio.comparing.wish import CompareWish, Variant
from studio.config import Settings
from studio.request import GenerationRequest

FOLDER = Path(__file__).parents[2] / "docs" / "web"
PROMPTS = (
    "a large yellow star moving right on a navy background",
    "a green triangle growing on a brown background",
    "a small red square moving up on a navy background",
    "a blue circle moving left on a black background",
    "a large white square moving down on a brown background",
    "an orange square shrinking on a black background",
)
PLACES = ("queue", "library", "inspect", "settings")
_VIEWPORT: ViewportSize = {"width": 1440, "height": 900}


def main() -> None:
    """Make the studio, open each tab, keep its picture."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="pictures-") as folder:
        home = Path(folder) / "home"
        comparison = _furnish(home)
        with serving(home, "--no-workers") as (url, _pid), sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
            pages = {theme: browser.new_page(viewport=_VIEWPORT) for theme in ("light", "dark")}
            for theme, page in pages.items():
                page.goto(url)
                page.evaluate(f"localStorage.setItem('studio-theme', '{theme}')")
                _draw(page, url, theme, ["create"], home)
            _fill_queue(home)
            for theme, page in pages.items():
                _draw(page, url, theme, [f"compare/{comparison}", *PLACES], home)
            browser.close()


def _furnish(home: Path) -> str:
    """Fill a home. Returns the id of its comparison."""
    studio = Studio(Settings(home=home))
    for number, prompt in enumerate(PROMPTS):
        asset = studio.generate(GenerationRequest(model="micro-wan", prompt=prompt, seed=number)).asset
        studio.curation.rate([asset.id], 3 + number % 3)
        studio.curation.tag([asset.id], add=["shapes", "demo"][: 1 + number % 2])
    base = GenerationRequest(model="micro-wan", prompt=PROMPTS[0], seed=7)
    variants = [Variant(model="micro-wan", changes={"num_inference_steps": steps}) for steps in (4, 12, 30)]
    begun = studio.comparisons.start(
        CompareWish(base=base, variants=variants, title="How many steps?", tags=("steps",))
    )
    studio.comparisons.make(begun.id)
    rng = random.Random(5)  # noqa: S311
    for _ in range(36):
        left, right = rng.sample((1, 2, 3), 2)
        better = "left" if left + rng.gauss(0, 1.2) > right + rng.gauss(0, 1.2) else "right"
        studio.comparisons.vote(begun.id, left, right, better, ["steadiness"], was_blind=True)
    studio.store.close()
    return begun.id


def _fill_queue(home: Path) -> None:
    studio = Studio(Settings(home=home))
    studio.desk.pause_queue()
    for number, prompt in enumerate(PROMPTS[:3]):
        studio.desk.submit(GenerationRequest(model="micro-wan", prompt=prompt, seed=100 + number))
    studio.store.close()


def _draw(page: Page, url: str, theme: str, places: Sequence[str], home: Path) -> None:
    for place in places:
        page.goto(f"{url}/#{place}")
        page.reload()
        page.wait_for_selector(".widget-header .brand")
        page.wait_for_timeout(2500)
        if place == "inspect":
            clip = next(path for path in (home / "library").rglob("*.mp4"))
            page.locator("#widget-inspect input[type=file]").first.set_input_files(clip)
            page.wait_for_timeout(9000)
        page.evaluate("document.activeElement?.blur()")
        page.screenshot(path=FOLDER / f"{place.partition('/')[0]}-{theme}.png")


if __name__ == "__main__":
    main()
