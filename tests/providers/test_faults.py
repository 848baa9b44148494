"""A refusal is understood whatever shape its body has, and never breaks who reads it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from providers.faults import Complaint, complaint_in
from providers.wire import Answer


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        pytest.param({"detail": [{"loc": None, "msg": "no"}]}, Complaint(message="no"), id="a fault that is nowhere"),
        pytest.param(
            {"detail": [{"loc": ["body", "seed"], "msg": "no", "type": "int"}]},
            Complaint(code="int", message="no", field="seed"),
            id="a fault in a field",
        ),
        pytest.param({"error": None, "message": "no"}, Complaint(message="no"), id="an error that is null"),
        pytest.param({"error": {"message": "no", "param": ["x"]}}, Complaint(message="no"), id="a field that is none"),
        pytest.param({"error": ["no"]}, Complaint(), id="a list"),
        pytest.param(["no"], Complaint(), id="no object"),
    ],
)
def test_what_a_refusal_says_is_found(body: Any, complaint: Complaint) -> None:
    assert complaint_in(Answer(status=422, headers={}, body=json.dumps(body).encode())) == complaint
