"""The Library in a browser: a long grid, hover play, search, many at once, the bin and back, the panel of one clip."""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, Route, expect

from studio.export.derivation import Wish
from studio.library.asset import Asset
from studio.library.query import LibraryQuery
from studio.request import Conditioning, GenerationRequest, Role
from tests.studio.library.shelf_of_rows import fill, row
from tests.webpage import ServedPage

HOSTILE = '<img src=x onerror="window.hacked=1"> {braces} a moving square'
MANY = 5000


@pytest.fixture(scope="module")
def clips(site: ServedPage) -> list[Asset]:
    """Three clips; the first has a hostile prompt."""
    prompts = (HOSTILE, "a second square", "a third square")
    requests = [GenerationRequest(model="scripted-moving", seed=n, prompt=words) for n, words in enumerate(prompts, 1)]
    return [site.studio.generate(request).asset for request in requests]


@pytest.fixture(scope="module")
def many(site: ServedPage) -> list[str]:
    """So many rows that nobody could have all of them in a document; all but real files."""
    ids: list[str] = []
    for start in range(0, MANY, 1000):
        ids += fill(site.studio.store, [row(number, model="many", prompt=f"number {number}", mime_type="audio/wav",
                                            num_frames=0) for number in range(start, start + 1000)])  # fmt: skip
    return ids


@pytest.fixture
def library(page: Page, clips: list[Asset], many: list[str]) -> Page:
    """The page with the Library shown."""
    page.get_by_role("tab", name="Library").click()
    expect(cells(page).first).to_have_attribute("data-asset", re.compile(".+"))
    return page


def cells(page: Page) -> Locator:
    return page.get_by_role("gridcell")


def cell(page: Page, asset: Asset) -> Locator:
    return page.locator(f".library-cell[data-asset='{asset.id}']")


def count(page: Page) -> Locator:
    return page.locator(".library-count")


def search(page: Page, words: str, found: str) -> None:
    page.get_by_role("searchbox", name="Search").fill(words)
    expect(count(page)).to_have_text(found)


def test_only_what_is_seen_is_in_the_document_and_keys_reach_everything(library: Page, many: list[str]) -> None:
    grid = library.get_by_role("grid")
    assert cells(library).count() < 120
    expect(count(library)).to_have_text(f"{MANY + 3} clips")
    grid.focus()
    for key, asset_id in (("End", many[0]), ("ArrowLeft", many[1]), ("Home", None)):
        library.keyboard.press(key)
        active = library.locator(f"#{grid.get_attribute('aria-activedescendant')}")
        expect(active).to_have_attribute("data-asset", asset_id or re.compile(".+"))
        expect(active).to_be_in_viewport()
        expect(active).to_have_attribute("aria-selected", "true")
    assert cells(library).count() < 120
    library.keyboard.press("Control+a")
    expect(count(library)).to_have_text(f"{MANY + 3} clips, {MANY + 3} selected")
    library.keyboard.press("Escape")
    expect(count(library)).to_have_text(f"{MANY + 3} clips")


def test_nothing_jumps_while_pictures_come_and_the_grid_keeps_up(library: Page) -> None:
    before = cells(library).first.bounding_box()
    expect(library.locator(".library-picture:visible").first).to_be_visible()
    assert cells(library).first.bounding_box() == before
    slowest = library.evaluate("""async () => {
      const grid = document.querySelector('.library-scroll'), times = [];
      for (let step = 0, last = performance.now(); step < 90; step += 1) {
        grid.scrollTop += 300;
        await new Promise((done) => requestAnimationFrame(done));
        times.push(performance.now() - last);
        last = performance.now();
      }
      return times.sort((one, other) => one - other)[Math.floor(times.length * 0.9)];
    }""")
    assert slowest < 250  # milliseconds a frame, on a machine that does other things meanwhile
    expect(library.locator(".library-cell.is-waiting")).to_have_count(0)


def test_a_clip_plays_its_sealed_bytes_while_it_is_pointed_at(library: Page, clips: list[Asset]) -> None:
    asset = clips[0]
    cell(library, asset).hover()
    video = cell(library, asset).locator("video")
    expect(video).to_have_attribute("src", f"/studio/media/{asset.id}")
    library.wait_for_function("document.querySelector('.library-cell video').currentTime > 0")
    digest = library.evaluate(
        """async (address) => {
      const content = await (await fetch(address)).arrayBuffer();
      const digest = await crypto.subtle.digest('SHA-256', content);
      return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('');
    }""",
        f"/studio/media/{asset.id}",
    )
    assert digest == asset.sha256 == hashlib.sha256(asset.path.read_bytes()).hexdigest()
    library.locator("h1").hover()
    expect(library.locator(".library-cell video")).to_have_count(0)


def test_what_somebody_typed_is_shown_as_text(library: Page, site: ServedPage, clips: list[Asset]) -> None:
    site.studio.curation.tag([clips[0].id], add=["<b>bold</b>"])
    site.studio.curation.caption(clips[1].id, HOSTILE.upper())
    site.studio.curation.collections.create("<i>sea</i>")
    library.reload()
    expect(cell(library, clips[0])).to_contain_text(HOSTILE)
    expect(cell(library, clips[1])).to_contain_text(HOSTILE.upper())
    cell(library, clips[0]).click()
    panel = library.get_by_role("region", name="The clip that is shown")
    expect(panel).to_contain_text(HOSTILE)
    expect(panel).to_contain_text("<b>bold</b>")
    expect(library.get_by_label("Tag", exact=True)).to_contain_text("<b>bold</b> (1)")
    expect(library.get_by_label("Collection", exact=True)).to_contain_text("<i>sea</i> (0)")
    assert library.evaluate("window.hacked") is None
    site.studio.curation.caption(clips[1].id, "")


def test_words_and_filters_narrow_what_is_seen_and_survive_a_refresh(library: Page, clips: list[Asset]) -> None:
    search(library, "square second", "1 clip")
    expect(cells(library)).to_have_count(1)
    library.reload()
    expect(count(library)).to_have_text("1 clip")
    search(library, "nothing like it", "No clips")
    expect(library.get_by_text("Nothing fits.")).to_be_visible()
    library.locator(".library-empty").get_by_role("button", name="Clear filters").click()
    library.get_by_label("Kind", exact=True).select_option("video")
    expect(count(library)).to_have_text("3 clips")
    library.get_by_label("Order", exact=True).select_option("oldest")
    expect(cells(library).first).to_have_attribute("data-asset", clips[0].id)
    library.get_by_label("To", exact=True).fill("2026-01-01")
    expect(count(library)).to_have_text("No clips")
    library.get_by_role("button", name="Clear filters").first.click()
    library.locator("h1").click()
    library.keyboard.press("/")
    expect(library.get_by_role("searchbox", name="Search")).to_be_focused()


def test_many_are_chosen_tagged_collected_and_saved_as_one_zip(
    library: Page, site: ServedPage, clips: list[Asset], tmp_path: Path
) -> None:
    search(library, "square", "3 clips")
    cell(library, clips[2]).click()
    cell(library, clips[0]).click(modifiers=["Shift"])
    expect(count(library)).to_have_text("3 clips, 3 selected")
    cell(library, clips[1]).click(modifiers=["ControlOrMeta"])
    expect(count(library)).to_have_text("3 clips, 2 selected")
    library.get_by_role("button", name="Tag", exact=True).click()
    dialog = library.get_by_role("dialog", name="Tags of 2 selected")
    dialog.get_by_label("Add tags").fill("Dusk, x" + "y" * 60)
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_role("alert")).to_contain_text("too long")
    dialog.get_by_label("Add tags").fill("Dusk,  Wide  Shot")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_have_count(0)
    assert [item.tags for item in site.studio.curation.items([clips[1].id])] == [()]
    assert {"dusk", "wide shot"} <= set(site.studio.curation.items([clips[0].id])[0].tags)
    library.get_by_label("Tag", exact=True).select_option("dusk")
    expect(count(library)).to_have_text("2 clips")
    library.get_by_role("button", name="Select all").click()
    library.get_by_role("button", name="Add to collection").click()
    dialog = library.get_by_role("dialog", name="Add 2 to a collection")
    dialog.get_by_label("Collection", exact=True).select_option("")
    dialog.get_by_label("Name of the new collection").fill("Evening")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_have_count(0)
    evening = site.studio.curation.collections.find("Evening")
    assert set(site.studio.curation.ids(LibraryQuery(collection_id=evening.id))) == {clips[0].id, clips[2].id}
    library.get_by_role("button", name="Select all").click()
    with library.expect_download() as download:
        library.get_by_role("button", name="Export ZIP").click()
    download.value.save_as(tmp_path / "clips.zip")
    with zipfile.ZipFile(tmp_path / "clips.zip") as archive:
        told = {item["id"]: item for item in json.loads(archive.read("manifest.json"))["assets"]}
        assert set(told) == {clips[0].id, clips[2].id}
        for asset in (clips[0], clips[2]):
            assert archive.read(told[asset.id]["file"]) == asset.path.read_bytes()


def test_what_is_deleted_comes_back_by_undo_and_by_the_bin(library: Page, site: ServedPage, clips: list[Asset]) -> None:
    doomed = site.studio.generate(GenerationRequest(model="scripted-moving", seed=9, prompt="doomed")).asset
    search(library, "doomed", "1 clip")
    cell(library, doomed).click()
    library.get_by_role("grid").focus()
    library.keyboard.press("Delete")
    expect(count(library)).to_have_text("No clips")
    library.get_by_role("button", name="Undo").click()
    expect(count(library)).to_have_text("1 clip")
    cell(library, doomed).click()
    library.locator(".library-bar").get_by_role("button", name="Delete").click()
    expect(count(library)).to_have_text("No clips")
    library.get_by_role("button", name=re.compile("^Bin")).click()
    cell(library, doomed).click()
    library.get_by_role("button", name="Restore").click()
    expect(library.get_by_text("The bin is empty.")).to_be_hidden()
    expect(count(library)).to_have_text("No clips")
    assert doomed.path.is_file()
    site.studio.curation.bin([doomed.id])
    expect(count(library)).to_have_text("1 clip")  # another window did that
    library.get_by_role("button", name="Empty the bin").click()
    library.get_by_role("dialog").get_by_role("button", name="Delete for good").click()
    expect(count(library)).to_have_text("No clips")
    assert not doomed.path.exists()


def test_a_change_while_the_list_is_read_is_shown_at_the_next_look(
    library: Page, site: ServedPage, clips: list[Asset]
) -> None:
    """The list is read, then somebody bins and another restores, then the counts are read: they are what they were."""
    curation, clip = site.studio.curation, clips[2]
    search(library, "third square", "1 clip")
    cell(library, clip).click()
    meanwhile = iter([curation.restore])

    def answer_late(route: Route) -> None:
        told = route.fetch()
        for change in meanwhile:
            change([clip.id])
        route.fulfill(response=told)

    library.route("**/studio/library?*", answer_late)
    library.get_by_role("grid").focus()
    with library.expect_response(lambda answer: "/studio/library?" in answer.url):
        library.keyboard.press("Delete")
    assert next(meanwhile, None) is None
    library.wait_for_timeout(500)  # until what was read too early is drawn
    expect(count(library)).to_have_text("1 clip")


def test_one_clip_is_rated_captioned_tagged_and_its_family_is_walked(
    library: Page, site: ServedPage, clips: list[Asset], tmp_path: Path
) -> None:
    studio, asset = site.studio, clips[1]
    picture = studio.export(asset.id, tmp_path / "last.png", Wish(frame=-1)).asset
    start = Conditioning(role=Role.FIRST_FRAME, path=tmp_path / "last.png")
    child = studio.generate(GenerationRequest(model="scripted-moving", seed=8, conditionings=(start,))).asset
    search(library, "second square", "2 clips")
    cell(library, asset).click()
    panel = library.get_by_role("region", name="The clip that is shown")
    expect(panel.locator("video")).to_have_attribute("src", f"/studio/media/{asset.id}")
    panel.get_by_role("button", name="4 of 5 stars").click()
    expect(cell(library, asset)).to_contain_text("★★★★")
    panel.get_by_label("Caption").fill("The second one")
    panel.get_by_role("button", name="Save caption").click()
    expect(cell(library, asset)).to_contain_text("The second one")
    panel.get_by_label("Add a tag").fill("Blue")
    library.keyboard.press("Enter")
    expect(panel.get_by_role("button", name="Take off blue")).to_be_visible()
    item = studio.curation.items([asset.id])[0]
    assert (item.rating, item.caption, item.tags) == (4, "The second one", ("blue",))
    panel.get_by_role("button", name=re.compile("as first frame")).click()
    expect(panel.locator(".clip")).to_have_attribute("data-asset", child.id)
    expect(panel.locator(".library-tree [aria-current=true]")).to_contain_text("as first frame")
    panel.get_by_role("button", name=re.compile("picture of one frame")).click()
    expect(panel.locator(".clip")).to_have_attribute("data-asset", picture.id)
    panel.get_by_role("button", name="Close the panel").click()
    expect(panel).to_have_count(0)
    studio.curation.bin([picture.id, child.id])


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious_with_the_panel_and_a_dialog_open(
    library: Page, clips: list[Asset], theme: str
) -> None:
    library.evaluate(f"localStorage.setItem('studio-theme', '{theme}')")
    library.reload()
    cell(library, clips[0]).click()
    expect(library.locator(".library-tree, .library-lineage p")).to_be_visible()
    assert serious(library) == []
    library.get_by_role("button", name="Add to collection").click()
    expect(library.get_by_role("dialog")).to_be_visible()
    assert serious(library) == []


def serious(page: Page) -> list[str]:
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    return [
        f"{item['id']}: {[node['html'][:200] for node in item['nodes'][:3]]}"
        for item in found
        if item["impact"] in ("serious", "critical")
    ]
