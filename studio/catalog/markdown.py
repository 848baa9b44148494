"""The catalog as the table of the documentation, made from the rows so that it cannot go stale."""

from __future__ import annotations

from studio.catalog.loader import Catalog
from studio.catalog.schema import ModelSpec

HEADER = "| model | tasks | size, frames | licence | here |\n|---|---|---|---|---|"


def markdown_table(catalog: Catalog) -> str:
    """Return a Markdown table with a line for each model."""
    return "\n".join([HEADER, *(_line(spec) for spec in catalog)])


def _line(spec: ModelSpec) -> str:
    rules = spec.parameters
    tasks = ", ".join(task.value for task in spec.tasks)
    default = f"{rules.width.default}x{rules.height.default}, {rules.num_frames.default}"
    licence = f"[{spec.licence.id}]({spec.licence.url})" if spec.licence.url else spec.licence.id
    return f"| `{spec.id}` | {tasks} | {default} | {licence} | {_availability(spec)} |"


def _availability(spec: ModelSpec) -> str:
    if spec.generator is None:
        return "listed, not served yet"
    if spec.weights is not None and spec.weights.source == "embedded":
        return "ships with the studio"
    return f"`studio models pull {spec.id}`" if spec.where == "local" else "remote"
