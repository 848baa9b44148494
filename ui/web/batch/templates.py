"""Batch files to begin with, one for each format, for a model that runs here."""

from __future__ import annotations

import json

from studio.registry import Registry
from studio.request import Task

_JSONL = """{first}
{second}
"""
_CSV = """model,name,prompt,seed
{model},opening,a red fox running through fresh snow,1
{model},closing,"an owl, asleep on a branch",1..3
"""
_YAML = """# One clip for each entry; lists and ranges make one for each value: here 1 + 3.
defaults:
  model: {model}
jobs:
  - name: opening
    prompt: a red fox running through fresh snow
    seed: 1
  - name: closing {{seed}}
    prompt: an owl, asleep on a branch
    seed: 1..3
"""


def template(ending: str, registry: Registry) -> str | None:
    """Return a small batch file of this format: jsonl, csv or yaml; None for any other."""
    model = _model(registry)
    if ending == "jsonl":
        first = {"model": model, "name": "opening", "prompt": "a red fox running through fresh snow", "seed": 1}
        second = {"model": model, "name": "closing {seed}", "prompt": "an owl, asleep on a branch", "seed": "1..3"}
        return _JSONL.format(first=json.dumps(first), second=json.dumps(second))
    texts = {"csv": _CSV, "yaml": _YAML}
    return texts[ending].format(model=model) if ending in texts else None


def _model(registry: Registry) -> str:
    """Return the first model that makes clips of words, one that is ready to run if there is any."""
    rows = [spec for spec in registry.catalog if Task.TEXT_TO_VIDEO in spec.tasks]
    ready = (spec.id for spec in rows if not registry.readiness(spec).reason)
    return next(ready, rows[0].id if rows else "MODEL")
