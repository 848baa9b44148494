"""What orders cost, over HTTP."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from studio.library.tables import LedgerRow
from tests.ui.api.conftest import Served, refusal


def test_costs_are_added_up_as_they_are_asked_for(served: Served) -> None:
    with served.studio.store.transaction() as session:
        session.add(
            LedgerRow(pool="remote", provider="acme", model="acme-1", task="text-to-video", state="charged", amount=3.0,
                      currency="USD", clip_seconds=60.0, ordered_at=datetime(2026, 1, 31, 12, tzinfo=UTC))
        )  # fmt: skip
    found = served.client.get("/v1/costs", params={"by": "day", "since": "2026-01-31", "until": "2026-01-31"}).json()
    (line,) = found["orders"]
    assert (line["key"], line["charged"], line["per_minute"]) == ("2026-01-31", 3.0, 3.0)
    assert served.client.get("/v1/costs", params={"since": "2026-02-01"}).json()["orders"] == []
    assert len(served.client.get("/v1/costs", params={"until": "9999-12-31"}).json()["orders"]) == 1
    assert served.client.get("/v1/costs", params={"since": "0001-01-01"}).status_code == 200
    refusal(served.client.get("/v1/costs", params={"by": "colour"}), 422)
    refusal(served.client.get("/v1/costs", params={"since": "soon"}), 422)
    refusal(served.client.get("/v1/costs", params={"since": "2026-02-01", "until": "2026-01-01"}), 422)


@pytest.mark.parametrize("day", ["0", "1970", "20261123", "2026-11-31", "2026-11-23T00:00:00", "today"])
def test_what_is_no_day_is_refused(served: Served, day: str) -> None:
    answer = served.client.get("/v1/costs", params={"until": day})
    assert answer.status_code == 422
    assert answer.json()["error"]["field"] == "until"
