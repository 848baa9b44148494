"""Making clips over HTTP, in the shape that other engines speak."""

from __future__ import annotations

import base64
import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from studio.jobs.states import JobState
from tests.ui.api.conftest import MODEL, Served, events_of, refusal, until


def test_a_clip_is_made_told_of_and_served_byte_for_byte(served: Served, worker: None, tmp_path: Path) -> None:
    video = served.create(prompt="a square", seconds="4", size="160x128")
    assert video["object"] == "video"
    assert (video["size"], video["seconds"], video["num_frames"]) == ("160x128", "4", 33)
    with served.client.stream("GET", "/v1/events", params={"job": video["id"]}) as answer:
        told = [data for kind, data in events_of(answer) if kind == "job"]
    assert told[-1]["state"] == "succeeded"
    video = served.wait(video["id"])
    assert video["status"] == "completed"
    assert video["progress"] == 100
    assert video["completed_at"] >= video["created_at"]
    content = served.client.get(f"/v1/videos/{video['id']}/content")
    asset = served.studio.store.asset(video["id"])
    assert content.headers["content-type"] == "video/mp4"
    assert content.headers["etag"] == f'"{asset.sha256}"'
    assert hashlib.sha256(content.content).hexdigest() == asset.sha256
    (tmp_path / "clip.mp4").write_bytes(content.content)
    assert served.studio.verify(tmp_path / "clip.mp4").c2pa.state == "trusted"


def test_a_form_with_a_picture_makes_a_clip_that_starts_from_it(served: Served, worker: None, picture: bytes) -> None:
    answer = served.client.post(
        "/v1/videos",
        data={"model": MODEL, "prompt": "a square", "seed": "7", "options": '{"shade": 20}', "fps": "8"},
        files={"input_reference": ("photo.png", picture, "image/png")},
    )
    assert answer.status_code == 200, answer.text
    job = served.client.get(f"/v1/jobs/{answer.json()['id']}").json()
    assert job["request"]["task"] == "image-to-video"
    assert job["request"]["options"]["shade"] == 20
    assert job["request"]["conditionings"] == [
        {"role": "first-frame", "sha256": hashlib.sha256(picture).hexdigest()},
    ]
    assert served.wait(job["id"])["status"] == "completed"


def test_a_picture_may_stand_in_the_json_as_a_data_url(served: Served, picture: bytes) -> None:
    url = "data:image/png;base64," + base64.b64encode(picture).decode()
    video = served.create(input_reference={"image_url": url})
    job = served.client.get(f"/v1/jobs/{video['id']}").json()
    assert job["request"]["conditionings"][0]["sha256"] == hashlib.sha256(picture).hexdigest()
    error = refusal(
        served.client.post("/v1/videos", json={"model": MODEL, "input_reference": {"image_url": "http://host/a.png"}}),
        422,
    )
    assert error["field"] == "input_reference"


def test_uploads_do_not_stay(served: Served, picture: bytes) -> None:
    files = {"input_reference": ("photo.png", picture)}
    assert served.client.post("/v1/videos", data={"model": MODEL}, files=files).status_code == 200
    assert [path for path in (served.studio.settings.home / "uploads").rglob("*") if path.is_file()] == [
        next((served.studio.settings.home / "uploads").glob("*.lock"))
    ]


@pytest.mark.parametrize(
    ("fields", "field", "allowed"),
    [
        ({"model": "scripted-movin"}, "model", "scripted-moving"),
        ({"size": "161x128"}, "width", "steps of 16"),
        ({"size": "160 x 128"}, "size", None),
        ({"size": "160x128", "width": 64}, "size", None),
        ({"seconds": "3.9"}, "seconds", "4 (33 frames)"),
        ({"seconds": 4, "num_frames": 9}, "seconds", None),
        ({"seconds": True}, "seconds", None),
        ({"num_frames": 10}, "num_frames", "4k+1"),
        ({"num_frames": "9"}, "num_frames", None),
        ({"fps": 8, "frame_rate": 9}, "fps", None),
        ({"frame_rate": "0/0"}, "frame_rate", None),
        ({"seed": -1}, "seed", None),
        ({"seed": 10**400}, "seed", None),
        ({"guidance_scale": 1e300}, "guidance_scale", "1 to 10"),
        ({"prompt": "nothing\x00here"}, "prompt", "printable text"),
        ({"prompt": "x" * 10_001}, "prompt", None),
        ({"options": {"shade": 99}}, "options.shade", "50"),
        ({"options": {"none": 1}}, "options", "shade"),
        ({"options": {"shade": [1]}}, "options.shade", None),
        ({"steps": 3}, "steps", None),
        ({"priority": 101}, "priority", None),
        ({"on_fail": "retry:99"}, "on_fail", None),
        ({"label": "loud"}, "label", None),
        ({"task": "text-to-opera"}, "task", None),
    ],
)
def test_what_a_model_cannot_do_is_refused_by_name(
    served: Served, fields: dict[str, object], field: str, allowed: str | None
) -> None:
    answer = served.client.post("/v1/videos", json={"model": MODEL, **fields})
    error = refusal(answer, 404 if "model" in fields else 422)
    assert error["field"] == field
    assert allowed is None or allowed in error["allowed"]
    assert served.studio.desk.jobs() == []


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b'{"model": "\\ud800"}', "application/json", 400),
        (b"[" * 5000, "application/json", 400),
        (b"[]", "application/json", 422),
        (b"{}", "application/json", 422),
        (b'{"model": "scripted-moving", "seed": ' + b"9" * 5000 + b"}", "application/json", 400),
        (b'{"model": "scripted-moving", "guidance_scale": NaN}', "application/json", 422),
        (b'{"model": "scripted-moving"}', "text/plain", 415),
        (b"model=scripted-moving", "application/x-www-form-urlencoded", 415),
        (b" " * (2**20 + 1), "application/json", 413),
    ],
)
def test_bodies_that_make_no_sense_are_refused(served: Served, body: bytes, kind: str, status: int) -> None:
    refusal(served.client.post("/v1/videos", content=body, headers={"content-type": kind}), status)


def test_prompts_are_kept_as_they_are(served: Served) -> None:
    prompt = "<script>alert('x')</script> \u202e \U0001f3ac {{7*7}} %s\n'; DROP TABLE jobs; --"
    video = served.create(prompt=prompt)
    assert served.client.get(f"/v1/videos/{video['id']}").json()["prompt"] == prompt


def test_the_same_key_with_the_same_request_is_one_video(served: Served) -> None:
    def create(key: str, **fields: object) -> httpx.Response:
        body = {"model": MODEL, "prompt": "a square", **fields}
        return served.client.post("/v1/videos", json=body, headers={"Idempotency-Key": key})

    first = create("order-1").json()
    assert create("order-1").json()["id"] == first["id"]
    assert create("order-1").json()["seed"] == first["seed"]
    assert create("order-2").json()["id"] != first["id"]
    error = refusal(create("order-1", seed=5), 422)
    assert error["code"] == "idempotency_key_reused"
    assert served.client.patch(f"/v1/jobs/{first['id']}", json={"prompt": "a circle"}).status_code == 200
    assert create("order-1").json()["id"] == first["id"]
    refusal(create("no spaces"), 422)


def test_a_key_holds_for_forms_too(served: Served, picture: bytes) -> None:
    def create(name: str, content: bytes) -> httpx.Response:
        return served.client.post(
            "/v1/videos",
            data={"model": MODEL},
            files={"input_reference": (name, content)},
            headers={"Idempotency-Key": "form-1"},
        )

    first = create("a.png", picture).json()["id"]
    assert create("b.png", picture).json()["id"] == first
    refusal(create("a.png", picture + b"\0"), 422)


def test_twenty_clients_at_once_get_a_job_each_and_one_key_gives_one(served: Served) -> None:
    def create(number: int) -> str:
        key = {"Idempotency-Key": "shared"} if number % 2 else {}
        answer = httpx.post(f"{served.url}/v1/videos", json={"model": MODEL}, headers=key, timeout=60, trust_env=False)
        assert answer.status_code == 200, answer.text
        return answer.json()["id"]

    with ThreadPoolExecutor(20) as pool:
        ids = list(pool.map(create, range(20)))
    assert len(set(ids)) == 11
    assert len({job_id for number, job_id in enumerate(ids) if number % 2}) == 1
    assert len(served.studio.desk.jobs()) == 11


def test_videos_are_listed_page_by_page(served: Served) -> None:
    ids = [served.create()["id"] for _ in range(5)]
    newest = sorted(served.studio.desk.jobs(), key=lambda job: (job.created_at, job.id), reverse=True)
    assert {job.id for job in newest} == set(ids)
    first = served.client.get("/v1/videos", params={"limit": 3}).json()
    assert [item["id"] for item in first["data"]] == [job.id for job in newest[:3]]
    assert first["has_more"] is True
    second = served.client.get("/v1/videos", params={"limit": 3, "after": first["last_id"]}).json()
    assert [item["id"] for item in second["data"]] == [job.id for job in newest[3:]]
    assert second["has_more"] is False
    oldest = served.client.get("/v1/videos", params={"order": "asc"}).json()
    assert [item["id"] for item in oldest["data"]] == [job.id for job in reversed(newest)]
    refusal(served.client.get("/v1/videos", params={"after": "nobody"}), 404)


def test_one_that_waits_is_canceled_at_once_and_only_once(served: Served) -> None:
    video = served.create()
    assert served.client.post(f"/v1/videos/{video['id']}/cancel").json()["status"] == "cancelled"
    assert refusal(served.client.post(f"/v1/videos/{video['id']}/cancel"), 409)["code"] == "conflict"
    refusal(served.client.get(f"/v1/videos/{video['id']}/content"), 409)


def test_one_that_waits_can_be_deleted(served: Served) -> None:
    video = served.create()
    assert served.client.delete(f"/v1/videos/{video['id']}").json() == {
        "id": video["id"],
        "object": "video.deleted",
        "deleted": True,
    }
    refusal(served.client.get(f"/v1/videos/{video['id']}"), 404)
    refusal(served.client.delete(f"/v1/videos/{video['id']}"), 404)


def test_deleting_a_finished_video_deletes_its_file(served: Served, worker: None) -> None:
    video = served.create()
    served.wait(video["id"])
    path = served.studio.store.asset(video["id"]).path
    assert path.exists()
    assert served.client.delete(f"/v1/videos/{video['id']}").status_code == 200
    assert not path.exists()
    refusal(served.client.get(f"/v1/videos/{video['id']}/content"), 404)


def test_a_clip_outlives_its_job(served: Served, worker: None) -> None:
    video = served.create()
    served.wait(video["id"])
    assert served.client.delete(f"/v1/jobs/{video['id']}").status_code == 200
    again = served.client.get(f"/v1/videos/{video['id']}").json()
    assert (again["status"], again["seconds"]) == ("completed", "1.125")
    assert served.client.get(f"/v1/videos/{video['id']}/content").status_code == 200
    assert served.client.delete(f"/v1/videos/{video['id']}").status_code == 200


def test_a_failure_says_why_and_the_video_can_be_made_again(served: Served, worker: None) -> None:
    video = served.create(model="scripted-raises")
    failed = served.wait(video["id"])
    assert failed["status"] == "failed"
    assert failed["error"] == {"code": "generation_failed", "message": "the script says so"}
    retried = served.client.post(f"/v1/jobs/{video['id']}/retry", json={"model": MODEL})
    assert retried.status_code == 200, retried.text
    assert served.wait(video["id"])["status"] == "completed"


def test_one_that_is_held_says_so(served: Served, worker: None) -> None:
    video = served.create(model="scripted-black", on_fail="hold")
    held = until(lambda: (found := served.wait(video["id"]))["status"] == "failed" and found)
    assert held["error"]["code"] == "held_for_review"
    assert served.studio.desk.job(video["id"]).state == JobState.HELD


@pytest.mark.parametrize("video_id", ["nobody", "%00", "%ff%fe", "a%2Fb", "..%2f..%2fetc", "x" * 79, "%25", "2"])
def test_unknown_ids_are_not_found(served: Served, video_id: str) -> None:
    served.create()
    for method, path in (("GET", ""), ("GET", "/content"), ("DELETE", ""), ("POST", "/cancel")):
        refusal(served.client.request(method, f"/v1/videos/{video_id}{path}"), 404)


def test_a_model_that_is_not_here_is_a_conflict_that_names_the_cure(served: Served) -> None:
    error = refusal(served.client.post("/v1/videos", json={"model": "wan2.1-t2v-1.3b", "prompt": "a cat"}), 409)
    assert "studio models pull wan2.1-t2v-1.3b" in error["fix"]
    assert str(served.studio.settings.home) not in str(error)
