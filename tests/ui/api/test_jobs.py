"""The queue over HTTP."""

from __future__ import annotations

import pytest

from studio.generator import Estimate
from studio.jobs.states import JobState
from tests.fakes import ScriptedGenerator
from tests.ui.api.conftest import MODEL, Served, refusal


def order_of(served: Served) -> list[str]:
    return [job.id for job in served.studio.desk.jobs(JobState.QUEUED, newest_first=False)]


def test_a_job_shows_its_request_and_nothing_of_the_machine(served: Served, picture: bytes) -> None:
    files = {"input_reference": ("photo.png", picture)}
    job_id = served.client.post("/v1/videos", data={"model": MODEL}, files=files).json()["id"]
    job = served.client.get(f"/v1/jobs/{job_id}").json()
    assert job["object"] == "job"
    assert job["state"] == "queued"
    assert job["request"]["num_frames"] == 9
    assert "client_key" not in job
    assert str(served.studio.settings.home) not in str(job)


def test_jobs_are_listed_by_state(served: Served) -> None:
    waiting, canceled = served.create()["id"], served.create()["id"]
    served.client.post(f"/v1/jobs/{canceled}/cancel")
    assert [job["id"] for job in served.client.get("/v1/jobs?state=queued").json()["data"]] == [waiting]
    assert [job["id"] for job in served.client.get("/v1/jobs?state=canceled").json()["data"]] == [canceled]
    assert served.client.get("/v1/jobs?batch=none").json()["data"] == []
    page = served.client.get("/v1/jobs?limit=1").json()
    assert page["has_more"] is True
    assert len(served.client.get(f"/v1/jobs?after={page['last_id']}").json()["data"]) == 1
    assert "queued" in refusal(served.client.get("/v1/jobs?state=lost"), 422)["allowed"]
    refusal(served.client.get("/v1/jobs?limit=0"), 422)
    refusal(served.client.get("/v1/jobs?limit=1&limit=2"), 422)
    assert refusal(served.client.get("/v1/jobs?stat=queued"), 422)["field"] == "stat"


def test_a_job_can_be_paused_and_resumed(served: Served) -> None:
    job_id = served.create()["id"]
    assert served.client.post(f"/v1/jobs/{job_id}/pause").json()["status"] == "paused"
    assert served.client.post(f"/v1/jobs/{job_id}/resume").json()["status"] == "queued"


def test_a_waiting_job_can_be_changed(served: Served) -> None:
    job_id = served.create(num_frames=33)["id"]
    changed = served.client.patch(
        f"/v1/jobs/{job_id}", json={"prompt": "other", "frame_rate": "24000/1001", "priority": 5, "num_frames": None}
    ).json()
    assert changed["priority"] == 5
    assert changed["request"]["prompt"] == "other"
    assert changed["request"]["frame_rate"] == "24000/1001"
    assert changed["request"]["num_frames"] == 9
    error = refusal(served.client.patch(f"/v1/jobs/{job_id}", json={"width": 65}), 422)
    assert error["field"] == "width"
    assert served.client.get(f"/v1/jobs/{job_id}").json()["request"]["prompt"] == "other"
    refusal(served.client.patch(f"/v1/jobs/{job_id}", json={"state": "succeeded"}), 422)
    refusal(served.client.patch(f"/v1/jobs/{job_id}", json={"model": None}), 422)
    served.client.post(f"/v1/jobs/{job_id}/cancel")
    refusal(served.client.patch(f"/v1/jobs/{job_id}", json={"prompt": "late"}), 409)


def test_a_waiting_job_can_be_moved(served: Served) -> None:
    first, second, third = (served.create()["id"] for _ in range(3))
    assert served.client.post(f"/v1/jobs/{third}/move", json={"to": "first"}).status_code == 200
    assert order_of(served) == [third, first, second]
    assert served.client.post(f"/v1/jobs/{third}/move", json={"before": second}).status_code == 200
    assert order_of(served) == [first, third, second]
    refusal(served.client.post(f"/v1/jobs/{third}/move", json={}), 422)
    refusal(served.client.post(f"/v1/jobs/{third}/move", json={"to": "last", "before": first}), 422)
    refusal(served.client.post(f"/v1/jobs/{third}/move", json={"before": "nobody"}), 404)
    refusal(served.client.post(f"/v1/jobs/{third}/move", json={"before": third}), 409)


def test_a_canceled_job_can_be_retried_or_forgotten(served: Served) -> None:
    job_id = served.create()["id"]
    refusal(served.client.post(f"/v1/jobs/{job_id}/retry"), 409)
    refusal(served.client.delete(f"/v1/jobs/{job_id}"), 409)
    served.client.post(f"/v1/jobs/{job_id}/cancel")
    assert served.client.post(f"/v1/jobs/{job_id}/retry", json={"seed": 9}).json()["request"]["seed"] == 9
    served.client.post(f"/v1/jobs/{job_id}/cancel")
    assert served.client.post(f"/v1/jobs/{job_id}/retry").json()["state"] == "queued"
    served.client.post(f"/v1/jobs/{job_id}/cancel")
    assert served.client.delete(f"/v1/jobs/{job_id}").json()["deleted"] is True
    refusal(served.client.get(f"/v1/jobs/{job_id}"), 404)


def test_the_queue_can_be_paused_and_counted(served: Served) -> None:
    served.create()
    assert served.client.post("/v1/queue/pause").json()["is_paused"] is True
    queue = served.client.get("/v1/queue").json()
    assert queue == {
        "object": "queue",
        "is_paused": True,
        "counts": {"queued": 1, "running": 0, "held": 0, "succeeded": 0, "failed": 0, "canceled": 0},
    }
    assert served.client.post("/v1/queue/resume").json()["is_paused"] is False


def test_workers_are_listed(served: Served, worker: None) -> None:
    job_id = served.create()["id"]
    served.wait(job_id)
    (view,) = served.client.get("/v1/workers").json()["data"]
    assert view["is_alive"] is True
    attempt = served.client.get(f"/v1/jobs/{job_id}").json()["attempts"][0]
    assert (attempt["worker"], attempt["outcome"]) == (view["id"], "succeeded")


@pytest.mark.parametrize("job_id", ["nobody", "%00", "2", "x" * 79])
def test_unknown_jobs_are_not_found(served: Served, job_id: str) -> None:
    served.create()
    unknown = refusal(served.client.get(f"/v1/jobs/{job_id}"), 404)
    assert (unknown["code"], unknown["fix"]) == ("unknown_job", "GET /v1/jobs lists them")
    for action in ("cancel", "pause", "resume", "retry"):
        refusal(served.client.post(f"/v1/jobs/{job_id}/{action}"), 404)
    refusal(served.client.patch(f"/v1/jobs/{job_id}", json={"priority": 1}), 404)
    refusal(served.client.post(f"/v1/jobs/{job_id}/move", json={"to": "first"}), 404)
    refusal(served.client.delete(f"/v1/jobs/{job_id}"), 404)


def test_models_say_what_they_do_and_whether_they_would_run(served: Served) -> None:
    models = {item["id"]: item for item in served.client.get("/v1/models").json()["data"]}
    assert models[MODEL]["ready"] is True
    assert models[MODEL]["parameters"]["num_frames"]["step"] == 4
    assert models["svd-xt"]["ready"] is False
    assert models["svd-xt"]["reason"]
    assert served.client.get(f"/v1/models/{MODEL}").json() == models[MODEL]
    some = served.client.get("/v1/models", params={"task": "text-to-video"}).json()["data"]
    assert all("text-to-video" in item["tasks"] for item in some)
    refusal(served.client.get("/v1/models/none-such"), 404)
    refusal(served.client.get("/v1/models", params={"task": "cooking"}), 422)


def test_an_estimate_says_what_a_clip_would_take(served: Served) -> None:
    answer = served.client.post("/v1/estimate", json={"model": MODEL, "seconds": 1, "seed": 3}).json()
    assert answer["seconds"] == 1.0
    assert answer["cost"] == {"amount": 0.0, "currency": "USD"}
    assert answer["request"]["num_frames"] == 9
    assert served.studio.desk.jobs() == []
    assert (answer["plan"], answer["fits"], answer["shortage"]) == (None, True, None)


def test_an_estimate_says_by_which_plan_a_clip_fits_or_why_it_does_not(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = Estimate(
        seconds=None, vram_bytes=2**31, ram_bytes=1, disk_bytes=1, cost=None, basis="a script",
        plan="weights streamed, tiles", shortage="this clip needs 2 GiB of GPU memory; --width 64 fits",
    )  # fmt: skip
    monkeypatch.setattr(ScriptedGenerator, "estimate", lambda _self, _resolved: figures)
    answer = served.client.post("/v1/estimate", json={"model": MODEL}).json()
    assert (answer["plan"], answer["fits"], answer["shortage"]) == (figures.plan, False, figures.shortage)


def test_the_document_describes_every_answer_in_one_shape(served: Served) -> None:
    document = served.client.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    for operations in document["paths"].values():
        for operation in operations.values():
            assert {"401", "403", "405", "422", "500", "503"} <= set(operation["responses"])
            for status, answer in operation["responses"].items():
                if int(status) >= 400:
                    schema = answer["content"]["application/json"]["schema"]
                    assert schema == {"$ref": "#/components/schemas/ErrorAnswer"}
    refusal(served.client.get("/docs"), 404)
    refusal(served.client.get("/redoc"), 404)


def test_paths_and_methods_that_are_not_there_are_told(served: Served) -> None:
    refusal(served.client.get("/"), 404)
    refusal(served.client.get("/v1/jobs/"), 404)
    refusal(served.client.get("/v1//jobs"), 404)
    answer = served.client.put("/v1/videos")
    refusal(answer, 405)
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD", "POST"}
    refusal(served.client.request("TRACE", "/v1/jobs"), 405)
    refusal(served.client.options("/v1/events"), 405)
    assert served.client.head("/v1/events").status_code == 405
