"""`studio batch`: many requests from one file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from studio.errors import UnsupportedValue
from ui.cli import arguments as argument
from ui.cli.console import print_json, print_line, print_note, print_table
from ui.cli.exit_codes import exit_code

if TYPE_CHECKING:
    from studio.batch.faults import Fault
    from studio.batch.plan import Plan
    from studio.batching import BatchResult, BatchWish
    from studio.jobs.batches import Batch

app = typer.Typer(help="Many clips from one file: JSONL, CSV or YAML, with sweeps.", no_args_is_help=True)

MAX_FAULTS = 20
MAX_WORKERS = 256

BatchPath = Annotated[Path, typer.Argument(help="JSONL, JSON, CSV or YAML file of requests.", metavar="FILE")]
SomeBatch = Annotated[
    str | None, typer.Argument(help="Id of a batch or path of its file; the latest when left out.", metavar="ID|FILE")
]
Report = Annotated[
    Path | None, typer.Option("--report", help="Folder of the report; FILE.report when left out.", metavar="DIR")
]
Workers = Annotated[
    int | None,
    typer.Option("--workers", help="Jobs side by side; one for each device.", min=1, max=MAX_WORKERS, metavar="N"),
]
Devices = Annotated[
    list[str] | None,
    typer.Option("--device", help="Such as cuda:0; repeatable. All there are when left out.", metavar="DEVICE"),
]
Cluster = Annotated[
    str | None,
    typer.Option("--on", help="A cluster instead of this machine: ray, ray://HOST:PORT.", metavar="CLUSTER"),
]
BudgetSum = Annotated[str | None, typer.Option("--budget", help='For its remote jobs, such as "5 USD".', metavar="SUM")]
UnknownCost = Annotated[
    bool, typer.Option("--allow-unknown-cost", help="Also run jobs of which nobody knows what they cost.")
]
Detach = Annotated[bool, typer.Option("--detach", help="Put the jobs into the queue and leave them to other workers.")]


@app.command("run")
def run(
    file: BatchPath,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the last run of this file.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Begin anew though the last run is not finished.")] = False,
    workers: Workers = None,
    device: Devices = None,
    on: Cluster = None,
    budget: BudgetSum = None,
    allow_unknown_cost: UnknownCost = False,
    report: Report = None,
    no_report: Annotated[bool, typer.Option("--no-report", help="Write no report.")] = False,
    on_fail: argument.OnFail = None,
    detach: Detach = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Look at everything and run nothing.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace existing output files.")] = False,
    as_json: argument.Json = False,
) -> None:
    """Make all clips of a file. It is looked at whole before the first job starts; a report is written at the end.

    Whatever interrupts it, `--resume` goes on: nothing is lost, and nothing is made twice. Exit code 0 only if every
    clip was made, else that of the first one that was not.
    """
    from studio.app import Studio
    from studio.batch.faults import BatchFaults, BatchNotReady
    from studio.batching import Batches, BatchWish

    if resume and again:
        raise UnsupportedValue("it cannot both go on and begin anew", field="resume", got="--resume and --again")
    if on is not None and (device or detach):
        got = "--on and " + ("--device" if device else "--detach")
        raise UnsupportedValue("on a cluster every worker has a GPU of its own", field="on", got=got, fix="drop one")
    studio = Studio()
    wish = BatchWish(
        resume=resume,
        again=again,
        budget=argument.parse_money(budget, "budget"),
        allows_unknown_cost=allow_unknown_cost,
        report=report,
        with_report=not (no_report or detach or dry_run),
        on_fail=argument.parse_policy(on_fail),
        overwrite=force,
        workers=workers,
        devices=_parse_devices(device),
        crew=_crew(studio, on, workers),
    )
    batches = Batches(studio)
    try:
        if dry_run:
            _show_plan(batches.plan(file, wish), as_json)
        elif detach:
            _show_submitted(*batches.submit(file, wish, _Notes()), as_json)
        else:
            _conclude(_run(batches, file, wish), as_json)
    except (BatchFaults, BatchNotReady) as error:
        _show_faults(file, error.faults)
        if as_json:
            print_json({"error": error.as_json(), "exit_code": exit_code(error)})
        raise typer.Exit(exit_code(error)) from None


@app.command("list")
def list_(
    limit: Annotated[int, typer.Option("--limit", help="At most so many, newest first.", min=1, max=100_000)] = 100,
    as_json: argument.Json = False,
) -> None:
    """List the batches that were run, newest first."""
    from studio.app import Studio
    from studio.batching import Batches

    rows = Batches(Studio()).rows
    found = rows.all(limit)
    counts = rows.counts([batch.id for batch in found])
    if as_json:
        print_json({"batches": [batch.as_json() | {"counts": counts[batch.id]} for batch in found]})
        return
    lines = [(item.id, _words(counts[item.id]) or "no jobs", str(item.path)) for item in found]
    print_table("", ("batch", "jobs", "file"), lines)


@app.command("show")
def show(batch: SomeBatch = None, as_json: argument.Json = False) -> None:
    """Show a batch with what became of each of its jobs."""
    from studio.app import Studio
    from studio.batching import Batches

    result = Batches(Studio()).result(batch)
    if as_json:
        print_json(result.as_json())
        return
    print_line(f"batch {result.batch.id}  {result.batch.path}")
    rows = [
        (
            str(item.number),
            item.name or "-",
            item.state if item.reason is None else f"{item.state} ({item.reason})",
            str(item.request.get("model", "-")),
            item.job_id or "-",
            item.error or str(item.request.get("prompt") or "-"),
        )
        for item in result.outcomes
    ]
    print_table("", ("#", "name", "state", "model", "job", "error or prompt"), rows)
    print_note(_words(result.totals.states) or "no jobs")


@app.command("report")
def report(
    batch: Annotated[str, typer.Argument(help="Id of a batch or path of its file.", metavar="ID|FILE")],
    folder: Report = None,
    as_json: argument.Json = False,
) -> None:
    """Write the report of a batch, finished or not: figures for programs, a contact sheet for people."""
    from studio.app import Studio
    from studio.batching import Batches

    result = Batches(Studio()).report(batch, folder)
    if as_json:
        print_json(result.as_json())
    elif result.report is not None:
        print_line(str(result.report / "index.html"))


def _crew(studio: Any, on: str | None, workers: int | None) -> Any:
    if on is None:
        return None
    from studio.cluster.crew import cluster_crew

    return cluster_crew(studio, on, workers)


def _run(batches: Any, file: Path, wish: BatchWish) -> BatchResult:
    from ui.cli.batch_table import batch_watch

    with batch_watch() as watch:
        result: BatchResult = batches.run(file, wish, watch)
    return result


def _conclude(result: BatchResult, as_json: bool) -> None:
    """Say how a run ended; the exit code is that of the first clip that was not made."""
    failed = [item for item in result.outcomes if item.error]
    for item in failed[:MAX_FAULTS]:
        print_note(f"{item.number} {_named(item.name)}({item.where}): {item.error}")
    if len(failed) > MAX_FAULTS:
        print_note(f"... and {len(failed) - MAX_FAULTS} more: `studio batch show {result.batch.id}`")
    if as_json:
        print_json(result.as_json())
    else:
        print_note(f"{_words(result.totals.states)}, {_duration(result.seconds)}, batch {result.batch.id}")
        if result.report is not None:
            print_line(str(result.report / "index.html"))
    if result.error is not None:
        raise typer.Exit(exit_code(result.error))


def _show_faults(file: Path, faults: tuple[Fault, ...]) -> None:
    for fault in faults[:MAX_FAULTS]:
        print_note(f"{file.name}, {fault.sentence()}")
    if len(faults) > MAX_FAULTS:
        print_note(f"... and {len(faults) - MAX_FAULTS} more; --json lists them all")
    count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
    print_note(f"studio: {count} in {file}; nothing was started.")


def _show_submitted(batch: Batch, jobs: Any, as_json: bool) -> None:
    if as_json:
        listed = [{"id": job.id, "state": job.state.value, "entry": job.entry} for job in jobs]
        print_json({"batch": batch.as_json(), "jobs": listed})
        return
    for job in jobs:
        print_line(job.id)
    waiting = "1 job waits" if len(jobs) == 1 else f"{len(jobs)} jobs wait"
    print_note(f"{waiting} in the queue for `studio worker`; `studio batch show {batch.id}` looks at them")


def _show_plan(plan: Plan, as_json: bool) -> None:
    from ui.cli.batch_table import plan_rows

    jobs = list(plan_rows(plan))
    costs: dict[str, float] = {}
    for item in plan.fresh:
        if item.cost is not None and item.cost.amount:
            costs[item.cost.currency] = round(costs.get(item.cost.currency, 0.0) + item.cost.amount, 6)
    unknown = sum(item.is_remote and item.cost is None for item in plan.fresh)
    if as_json:
        file = {"path": str(plan.file.path), "digest": plan.file.digest, "id": plan.batch and plan.batch.id}
        estimate = {"costs": costs, "unknown_costs": unknown, "seconds": _total_seconds(plan)}
        print_json({"batch": file, "jobs": jobs, "estimate": estimate, "dry_run": True})
        return
    columns = ("entry", "name", "state", "model", "seed", "prompt")
    print_table("", columns, [tuple(str("-" if job[key] is None else job[key]) for key in columns) for job in jobs])
    money = ", ".join(f"{amount:.2f} {currency}" for currency, amount in costs.items())
    print_note(f"{len(plan.fresh)} jobs to make, {len(plan.known)} known{f', about {money}' if money else ''}"
               f"{f', {unknown} of unknown cost' if unknown else ''}; nothing was started")  # fmt: skip


def _total_seconds(plan: Plan) -> float | None:
    seconds = [item.seconds for item in plan.fresh]
    known = [item for item in seconds if item is not None]
    return sum(known) if len(known) == len(seconds) else None


def _parse_devices(words: list[str] | None) -> list[str] | None:
    import re

    from studio.config import DEVICE_PATTERN

    for word in words or ():
        if not re.fullmatch(DEVICE_PATTERN, word):
            raise UnsupportedValue("no such device", field="device", got=word, allowed="auto, cpu, mps, xpu, cuda:N")
    return words or None


class _Notes:
    """Says on stderr what happens, where nothing is shown."""

    def show(self, view: object) -> None:
        """Do nothing."""

    def tell(self, text: str) -> None:
        print_note(f"note: {text}")


def _words(counts: Any) -> str:
    return ", ".join(f"{number} {state}" for state, number in counts.items() if number)


def _named(name: str | None) -> str:
    return f'"{name}" ' if name else ""


def _duration(seconds: float) -> str:
    from ui.cli.batch_table import duration

    return duration(seconds)
