"""Reads bodies that hold a key or a password: whatever is wrong with one, nothing of it is ever repeated."""

from __future__ import annotations

import json
from typing import Annotated

from fastapi import Depends, Request

from ui.api.problems import Refusal


class SecretFields:
    """The fields of a body, all of them texts. It shows itself to nobody."""

    def __init__(self, fields: dict[str, str]) -> None:
        self._fields = fields

    def text(self, name: str) -> str:
        """Return a field. Raises a `Refusal` with 422 where it is missing."""
        if name not in self._fields:
            raise Refusal(422, "this field is needed", code="unsupported_value", field=name)
        return self._fields[name]

    def __repr__(self) -> str:
        return "SecretFields()"


async def _fields(request: Request) -> SecretFields:
    # pydantic would tell what it got.
    try:
        told = json.loads(await request.body())
    except (ValueError, RecursionError):
        raise Refusal(400, "this is no JSON", code="invalid_json") from None
    if not isinstance(told, dict) or not all(isinstance(value, str) for value in told.values()):
        raise Refusal(422, "an object is needed whose fields are texts", code="unsupported_value")
    return SecretFields(told)


Sent = Annotated[SecretFields, Depends(_fields)]
