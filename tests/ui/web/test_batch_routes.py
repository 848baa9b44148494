"""Batches over HTTP: checked, handed in, looked after; each visitor's own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import httpx
import PIL.Image
import pytest

from studio.app import Studio
from tests.ui.web.accounts import Browsers, browsers
from tests.webpage import ServedPage

MODEL = "scripted-moving"
YAML = f"defaults: {{model: {MODEL}}}\njobs:\n  - prompt: a fox\n    seed: 1..3\n  - prompt: an owl\n"
CSV = f"model,prompt,seed\n{MODEL},a fox,1\n{MODEL},an owl,x\n"


@pytest.fixture(scope="module")
def people(page_home: Studio) -> Iterator[Browsers]:
    with browsers(page_home) as found:
        yield found


def picture() -> bytes:
    stream = BytesIO()
    PIL.Image.linear_gradient("L").convert("RGB").resize((160, 128)).save(stream, "PNG")
    return stream.getvalue()


def send(
    client: httpx.Client,
    path: str,
    text: str,
    *,
    name: str = "autumn.yaml",
    files: dict[str, bytes] | None = None,
    **more: str,
) -> httpx.Response:
    """Send a batch as the page does."""
    files = files or {}
    parts: list[tuple[str, Any]] = [("batch", (name, text.encode()))]
    parts += [("files", (file, content)) for file, content in files.items()]
    return client.post(path, data={"names": json.dumps({"batch": name, "files": list(files)}), **more}, files=parts)


def check(client: httpx.Client, text: str, **more: Any) -> dict[str, Any]:
    answer = send(client, "/studio/batches/check", text, **more)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def submit(client: httpx.Client, text: str, **more: Any) -> dict[str, Any]:
    answer = send(client, "/studio/batches", text, **more)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def refused(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    error: dict[str, Any] = answer.json()["error"]
    return error


def test_a_sound_file_is_told_whole_and_nothing_waits_after_it(idle_site: ServedPage) -> None:
    told = check(idle_site.client, YAML)
    assert told["is_sound"]
    assert told["totals"] == {"clips": 4, "seconds": 4.0, "costs": [], "unknown_costs": 0}
    assert [entry["seed"] for entry in told["entries"]] == ["1", "2", "3", None]
    assert told["known"] is None
    assert idle_site.client.get("/studio/jobs").json()["jobs"] == []


def test_a_wrong_cell_is_told_with_its_row(idle_site: ServedPage) -> None:
    told = check(idle_site.client, CSV, name="autumn.csv")
    assert not told["is_sound"]
    assert (told["faults"][0]["where"], told["faults"][0]["field"]) == ("row 3", "seed")
    error = refused(send(idle_site.client, "/studio/batches", CSV, name="autumn.csv"), 422)
    assert "row 3" in error["message"]


@pytest.mark.parametrize("ending", ["jsonl", "csv", "yaml"])
def test_every_template_is_a_sound_batch(idle_site: ServedPage, ending: str) -> None:
    answer = idle_site.client.get(f"/studio/batches/template/{ending}")
    assert "attachment" in answer.headers["content-disposition"]
    told = check(idle_site.client, answer.text, name=f"batch.{ending}")
    assert told["totals"]["clips"] == 4
    assert [fault for fault in told["faults"] if fault["field"] != "model"] == []


def test_there_is_no_template_of_other_formats(idle_site: ServedPage) -> None:
    refused(idle_site.client.get("/studio/batches/template/exe"), 404)


def test_a_batch_is_handed_in_once_and_again_only_if_asked(idle_site: ServedPage) -> None:
    first = submit(idle_site.client, YAML)
    second = submit(idle_site.client, YAML)
    third = submit(idle_site.client, YAML, again="1")
    assert [item["fresh"] for item in (first, second, third)] == [4, 0, 4]
    assert first["id"] == second["id"] != third["id"]
    known = check(idle_site.client, YAML)["known"]
    assert (known["id"], known["jobs"], known["missing"]) == (third["id"], 4, 0)


def test_how_far_a_batch_is_stands_in_the_list(idle_site: ServedPage) -> None:
    told = submit(idle_site.client, YAML, name="list.yaml")
    listed = idle_site.client.get("/studio/batches").json()["batches"][0]
    assert (listed["id"], listed["name"], listed["total"], listed["done"]) == (told["id"], "list.yaml", 4, 0)
    assert idle_site.client.post(f"/studio/batches/{told['id']}/cancel").json() == {"done": 4, "failed": []}
    listed = idle_site.client.get("/studio/batches").json()["batches"][0]
    assert listed["counts"]["canceled"] == 4
    assert listed["is_over"]


def test_the_jobs_of_a_batch_are_told_in_the_order_of_its_file(idle_site: ServedPage) -> None:
    told = submit(idle_site.client, YAML, name="order.yaml")
    shown = idle_site.client.get(f"/studio/batches/{told['id']}").json()
    assert [job["entry"] for job in shown["jobs"]] == [1, 2, 3, 4]
    assert {(job["status"], job["asset_id"]) for job in shown["jobs"]} == {("queued", None)}


def test_a_batch_that_there_is_not_is_not_found(idle_site: ServedPage) -> None:
    for name in ("nothing", "2026", "%00", "a%20b"):
        refused(idle_site.client.post(f"/studio/batches/{name}/cancel"), 404)
        refused(idle_site.client.get(f"/studio/batches/{name}"), 404)


def test_a_picture_comes_along_and_is_kept_for_the_job(idle_site: ServedPage) -> None:
    job = json.dumps({"model": MODEL, "prompt": "x", "image": "my fox.png"})
    assert check(idle_site.client, job, name="a.jsonl")["missing"] == ["my fox.png"]
    files = {"my fox.png": picture()}
    assert check(idle_site.client, job, name="a.jsonl", files=files)["is_sound"]
    told = submit(idle_site.client, job, name="a.jsonl", files=files)
    request = idle_site.client.get(f"/studio/jobs/{told['jobs'][0]['id']}").json()["request"]
    assert request["conditionings"][0]["role"] == "first-frame"
    assert "path" not in request["conditionings"][0]


def test_a_file_of_the_server_is_not_read_and_its_folders_are_not_told(idle_site: ServedPage) -> None:
    home = str(idle_site.studio.settings.home)
    for named in ("/etc/passwd", f"{home}/library.db", "../../library.db"):
        told = check(idle_site.client, json.dumps({"model": MODEL, "image": named}), name="a.jsonl")
        assert not told["is_sound"]
        assert home not in json.dumps(told)


def test_what_is_no_picture_is_told_without_where_it_lies(idle_site: ServedPage) -> None:
    job = json.dumps({"model": MODEL, "image": "fox.png"})
    told = check(idle_site.client, job, name="a.jsonl", files={"fox.png": b"not a picture"})
    assert told["fault_count"] == 1
    assert str(idle_site.studio.settings.home) not in json.dumps(told)


@pytest.mark.parametrize(
    ("name", "shown"),
    [("../../../etc/cron.d/x.yaml", "x.yaml"), ("C:\\evil\\x.yaml", "x.yaml"), ("<img src=x>.yaml", "<img src=x>.yaml"),
     ("a" * 300 + ".yaml", "a" * 120), ("\u202eлисица.yaml", "лисица.yaml")],
)  # fmt: skip
def test_a_hostile_name_names_nothing_but_itself(idle_site: ServedPage, name: str, shown: str) -> None:
    parts = [("batch", ("x.yaml", YAML.encode()))]
    data = {"names": json.dumps({"batch": name, "files": []})}
    answer = idle_site.client.post("/studio/batches/check", data=data, files=parts)
    assert answer.status_code == 200, answer.text
    assert answer.json()["name"] == shown


@pytest.mark.parametrize(
    "names",
    ["[]", "no json", '{"batch": 1}', '{"batch": "x", "files": ["a.png"]}', '{"batch": "x", "files": [1]}', "[" * 5000],
)
def test_names_that_do_not_fit_are_refused(idle_site: ServedPage, names: str) -> None:
    parts = [("batch", ("x.yaml", YAML.encode()))]
    answer = idle_site.client.post("/studio/batches/check", data={"names": names}, files=parts)
    assert refused(answer, 422)["field"] == "names"


def test_two_files_of_one_name_are_refused(idle_site: ServedPage) -> None:
    parts = [("batch", ("x.yaml", YAML.encode())), ("files", ("a.png", b"1")), ("files", ("b.png", b"2"))]
    data = {"names": json.dumps({"batch": "x.yaml", "files": ["one/a.png", "two/a.png"]})}
    answer = idle_site.client.post("/studio/batches/check", data=data, files=parts)
    assert refused(answer, 422)["field"] == "files"


def test_a_form_without_a_batch_is_refused(idle_site: ServedPage) -> None:
    answer = idle_site.client.post("/studio/batches/check", files=[("files", ("a.png", b"1"))])
    assert refused(answer, 422)["field"] == "batch"
    refused(idle_site.client.post("/studio/batches", json={"batch": "x"}), 415)


def test_no_upload_is_left_behind(idle_site: ServedPage) -> None:
    check(idle_site.client, YAML)
    submit(idle_site.client, YAML)
    left = [path for path in (idle_site.studio.settings.home / "uploads").glob("*/*") if path.is_dir()]
    assert left == []


def test_a_viewer_hands_nothing_in(people: Browsers) -> None:
    refused(send(people.vera, "/studio/batches/check", YAML), 403)
    refused(send(people.vera, "/studio/batches", YAML), 403)


def test_a_batch_is_its_senders_alone(people: Browsers) -> None:
    told = submit(people.alice, YAML, name="hers.yaml")
    for what in ("cancel", "pause", "resume", "retry"):
        for client in (people.bob, people.vera):
            refused(client.post(f"/studio/batches/{told['id']}/{what}"), 403)
    listed = people.bob.get("/studio/batches").json()["batches"][0]
    assert (listed["owner"], listed["is_mine"]) == ("alice", False)
    assert people.boss.post(f"/studio/batches/{told['id']}/pause").json()["done"] == 4
    assert people.alice.post(f"/studio/batches/{told['id']}/cancel").json()["done"] == 4


def test_the_same_file_of_two_people_is_two_batches(people: Browsers) -> None:
    text = YAML.replace("a fox", "two foxes")
    hers, his = submit(people.alice, text), submit(people.bob, text)
    assert hers["id"] != his["id"]
    assert check(people.bob, text)["known"]["id"] == his["id"]
    owners = {job["owner"] for job in people.boss.get("/studio/jobs").json()["jobs"] if job["batch_id"] == his["id"]}
    assert owners == {"bob"}
