"""Server-sent events."""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from tests.ui.api.conftest import Served, events_of, refusal, until
from ui.api import events


def listen(served: Served, **query: Any) -> tuple[list[tuple[str, dict[str, Any]]], threading.Thread]:
    """Listen in a thread; returns what is heard so far, and the thread."""
    heard: list[tuple[str, dict[str, Any]]] = []

    def work() -> None:
        with httpx.stream("GET", f"{served.url}/v1/events", params=query, timeout=60, trust_env=False) as answer:
            heard.extend(events_of(answer))

    before = served.services.hub.listeners
    thread = threading.Thread(target=work)
    thread.start()
    until(lambda: served.services.hub.listeners > before)
    return heard, thread


def test_everything_that_happens_is_told(served: Served) -> None:
    heard, thread = listen(served)
    until(lambda: heard)
    assert heard[0][0] == "queue"
    job_id = served.create()["id"]
    until(lambda: ("queued", job_id) in [(data.get("state"), data.get("id")) for _, data in heard])
    served.client.post(f"/v1/jobs/{job_id}/pause")
    until(lambda: any(data.get("is_paused") and data.get("id") == job_id for _, data in heard))
    served.client.post("/v1/queue/pause")
    until(lambda: any(kind == "queue" and data["is_paused"] for kind, data in heard))
    served.client.delete(f"/v1/videos/{job_id}")
    until(lambda: ("removed", {"id": job_id}) in heard)
    served.stop()
    thread.join(5)
    assert not thread.is_alive()


def test_one_job_is_followed_to_its_end(served: Served, worker: None) -> None:
    job_id = served.create(num_inference_steps=20)["id"]
    other = served.create()["id"]
    heard, thread = listen(served, job=job_id)
    thread.join(30)
    assert not thread.is_alive()
    assert heard[-1][1]["state"] == "succeeded"
    assert heard[-1][1]["asset_id"] == job_id
    assert {kind for kind, _ in heard} == {"job"}
    assert other not in {data["id"] for _, data in heard}


def test_a_job_that_has_ended_is_told_at_once_whatever_was_heard_before(served: Served) -> None:
    job_id = served.create()["id"]
    served.client.post(f"/v1/jobs/{job_id}/cancel")
    answer = served.client.get("/v1/events", params={"job": [job_id]}, headers={"last-event-id": "nonsense-7"})
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert '"state": "canceled"' in answer.text
    assert "\nid: " in answer.text
    refusal(served.client.get("/v1/events", params={"job": "nobody"}), 404)
    refusal(served.client.get("/v1/events", params={"jobs": job_id}), 422)


def test_a_job_that_is_removed_ends_its_stream(served: Served) -> None:
    job_id = served.create()["id"]
    heard, thread = listen(served, job=job_id)
    served.client.delete(f"/v1/videos/{job_id}")
    thread.join(10)
    assert not thread.is_alive()
    assert heard[-1][0] in ("removed", "job")


def test_silence_is_broken_by_a_sign_of_life(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    assert events.HEARTBEAT_SECONDS <= 15
    job_id = served.create()["id"]
    monkeypatch.setattr(served.services.hub, "heartbeat_seconds", 0.1)
    with served.client.stream("GET", "/v1/events", params={"job": job_id}) as answer:
        lines = answer.iter_lines()
        assert next(line for line in lines if line.startswith(":"))


def test_fifty_listeners_share_one_look_at_the_database(served: Served) -> None:
    looks = 0

    def count(_connection: object, _cursor: object, statement: str, *_more: object) -> None:
        nonlocal looks
        looks += "count(*)" in statement.lower()

    listeners = [listen(served) for _ in range(50)]
    sa.event.listen(served.studio.store.database._engine, "before_cursor_execute", count)
    time.sleep(4 * events.POLL_SECONDS)
    sa.event.remove(served.studio.store.database._engine, "before_cursor_execute", count)
    assert 1 <= looks <= 6
    job_id = served.create()["id"]
    for heard, _thread in listeners:
        until(lambda heard=heard: job_id in [data.get("id") for _, data in heard])
    assert served.stop() < 2
    for _heard, thread in listeners:
        thread.join(5)
        assert not thread.is_alive()


def test_a_listener_that_goes_away_is_forgotten(served: Served) -> None:
    with socket.create_connection(("127.0.0.1", served.port)) as raw:
        raw.sendall(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        raw.recv(1000)
        until(lambda: served.services.hub.listeners == 1)
    until(lambda: served.services.hub.listeners == 0)


def test_too_many_listeners_are_sent_away(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "MAX_LISTENERS", 0)
    answer = served.client.get("/v1/events")
    refusal(answer, 503)
    assert answer.headers["retry-after"]


def test_the_server_stops_while_listeners_and_a_slow_reader_are_connected(served: Served, worker: None) -> None:
    _heard, thread = listen(served)
    with socket.create_connection(("127.0.0.1", served.port)) as raw:
        raw.sendall(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        until(lambda: served.services.hub.listeners == 2)
        assert served.stop() < 2
    thread.join(5)


def test_jobs_that_come_and_go_between_looks_are_told_too(served: Served) -> None:
    heard, thread = listen(served)
    until(lambda: heard)

    def come_and_go(_number: int) -> str:
        job_id = served.create()["id"]
        served.client.post(f"/v1/jobs/{job_id}/cancel")
        return job_id

    with ThreadPoolExecutor(4) as pool:
        ids = set(pool.map(come_and_go, range(12)))
    until(lambda: ids <= {data["id"] for kind, data in heard if kind == "job" and data["state"] == "canceled"})
    served.stop()
    thread.join(5)
