"""What happens to a process, a line and an order in the matrix."""

from __future__ import annotations

import json
from typing import Any

import httpx

from providers.network import trust
from tests.providers.conformance.messages import Request


class Died(BaseException):
    """The process was killed."""


def dies_if(orders: list[Any]) -> bool:
    if orders:
        raise Died
    return False


def with_more(order: Request) -> bytes:
    """Return an order's body with a field that nobody knows."""
    if order.body.startswith(b"{"):
        return json.dumps({**order.json, "surprise": "a field that nobody knows"}).encode()
    boundary = order.headers["content-type"].partition("boundary=")[2]
    part = '\r\nContent-Disposition: form-data; name="surprise"\r\n\r\nnobody knows it\r\n'
    return f"--{boundary}{part}".encode() + order.body


class Impatient(httpx.HTTPTransport):
    """The network, with less patience. seconds: how long an answer is waited for."""

    def __init__(self, seconds: float) -> None:
        super().__init__(verify=trust())
        self._seconds = seconds

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.extensions["timeout"] = {**request.extensions["timeout"], "read": self._seconds}
        return super().handle_request(request)
