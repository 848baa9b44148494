"""The catalog as the tables of the documentation, made from the rows so that it cannot go stale."""

from __future__ import annotations

from studio.catalog.loader import Catalog
from studio.catalog.remote import Prices, Remote
from studio.catalog.schema import IntegerRange, ModelSpec, Status
from studio.request import Task

HEADER = "| model | tasks | size, frames | licence | here |\n|---|---|---|---|---|"


def markdown_table(catalog: Catalog) -> str:
    """Return a Markdown table with a line for each model that runs on the user's own machine."""
    return "\n".join([HEADER, *(_line(spec) for spec in catalog if spec.where == "local")])


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
    return f"`studio models pull {spec.id}`"


REMOTE_HEADER = (
    "| model | from | seconds | resolutions | sound | seed | stopping a job | C2PA | list price |\n"
    "|---|---|---|---|---|---|---|---|---|"
)
_FROM = {
    Task.TEXT_TO_VIDEO: "text",
    Task.IMAGE_TO_VIDEO: "first frame",
    Task.FIRST_LAST_FRAME_TO_VIDEO: "first and last frame",
    Task.REFERENCE_TO_VIDEO: "references",
    Task.VIDEO_TO_VIDEO: "video",
}
_STOPS = {"none": "no", "queued": "while it waits", "running": "yes"}
_REFUNDS = {True: ", free", False: ", paid all the same", None: ""}


def remote_table(catalog: Catalog) -> str:
    """Return a Markdown table of what each model of a provider can do."""
    lines = (_remote_line(spec, spec.remote) for spec in catalog if spec.remote and spec.status is not Status.RETIRED)
    return "\n".join([REMOTE_HEADER, *lines])


def retired_table(catalog: Catalog) -> str:
    """Return a Markdown table of models that are gone, and what to use instead."""
    lines = (
        f"| `{spec.id}` | {spec.retirement.retired_on} | "
        + (f"`{spec.retirement.replacement}` |" if spec.retirement.replacement else "- |")
        for spec in catalog
        if spec.where == "remote" and spec.retirement
    )
    return "\n".join(["| model | retired on | instead |\n|---|---|---|", *lines])


def _remote_line(spec: ModelSpec, remote: Remote) -> str:
    rules = spec.parameters
    tiers = ", ".join(dict.fromkeys(form.resolution for form in rules.formats)) or "as the server has them"
    seconds = _seconds(rules.durations) if rules.durations else "as the server has them"
    stop = _STOPS[remote.cancel] + (_REFUNDS[remote.cancel_refunds] if remote.cancel != "none" else "")
    cells = (
        f"`{spec.id}`",
        ", ".join(_FROM[task] for task in spec.tasks),
        seconds,
        tiers,
        remote.audio,
        "yes" if rules.seed else "no",
        stop,
        remote.c2pa,
        _price(remote.prices),
    )
    return f"| {' | '.join(cells)} |"


def _seconds(rule: IntegerRange) -> str:
    if rule.step == 1:
        return str(rule.min) if rule.min == rule.max else f"{rule.min} to {rule.max}"
    return ", ".join(str(number) for number in range(rule.min, rule.max + 1) if rule.allows(number))


def _price(prices: Prices | None) -> str:
    if prices is None or not prices.rules:
        return "not known"
    amounts = sorted({rule.amount for rule in prices.rules})
    unit = "/".join(dict.fromkeys(rule.per for rule in prices.rules))
    span = f"{amounts[0]:g}" if len(amounts) == 1 else f"{amounts[0]:g} to {amounts[-1]:g}"
    return f"{span} {prices.currency} a {unit}, {prices.as_of.isoformat()}"
