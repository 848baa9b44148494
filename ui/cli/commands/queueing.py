"""`studio queue`: the jobs that wait, run and have ended."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from studio.errors import StudioError, UnsupportedValue
from studio.request import GenerationRequest
from ui.cli import arguments as argument
from ui.cli.console import print_json, print_line, print_note, print_table
from ui.cli.exit_codes import exit_code

if TYPE_CHECKING:
    from studio.jobs.desk import JobDesk
    from studio.jobs.job import Job
    from studio.jobs.roll import WorkerView
    from studio.jobs.states import JobState

app = typer.Typer(help="Jobs that wait, run and have ended; workers take them one by one.", no_args_is_help=True)

JobId = Annotated[str, typer.Argument(help="Id of the job, or its beginning.", metavar="JOB")]
JobIds = Annotated[list[str], typer.Argument(help="Ids of jobs, or their beginnings.", metavar="JOB...")]
SomeJobs = Annotated[
    list[str] | None, typer.Argument(help="Ids of jobs; the whole queue when left out.", metavar="[JOB...]")
]
Priority = Annotated[int, typer.Option("--priority", help="-100 to 100; higher comes first.", metavar="N")]
_SIZE = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)\s?([KMGT]?)(?:i?B)?", re.ASCII | re.IGNORECASE)


@app.command("list")
def list_(
    state: Annotated[str | None, typer.Option("--state", help="Only jobs in this state.", metavar="STATE")] = None,
    batch: Annotated[str | None, typer.Option("--batch", help="Only jobs of this batch.", metavar="ID")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Without a limit.")] = False,
    limit: Annotated[int, typer.Option("--limit", help="At most so many.", min=1, max=100_000)] = 100,
    as_json: argument.Json = False,
) -> None:
    """List what runs, then what waits in the order of the queue, then what has ended, the latest first."""
    from studio.app import Studio

    studio = Studio()
    studio.runner.recover()
    desk = studio.desk
    wanted = None if state is None else _parse_state(state)
    jobs = _listed(desk, wanted, batch, None if everything else limit)
    counts = {item.value: number for item, number in desk.counts(batch).items()}
    is_paused = desk.is_queue_paused()
    if as_json:
        queue = {"is_paused": is_paused, "counts": counts}
        print_json({"jobs": [job.as_json() for job in jobs], "queue": queue})
        return
    from ui.cli.job_lines import job_row

    print_table("", ("job", "state", "priority", "model", "progress", "prompt"), [job_row(job) for job in jobs])
    told = ", ".join(f"{number} {name}" for name, number in counts.items() if number) or "no jobs"
    print_note(f"{told}{'; the queue is paused: `studio queue resume`' if is_paused else ''}")


@app.command("show")
def show(job_id: JobId, as_json: argument.Json = False) -> None:
    """Show a job with its request, its progress, and every attempt with its timings and its error."""
    from studio.app import Studio
    from ui.cli.job_lines import job_lines

    studio = Studio()
    studio.runner.recover()
    job = studio.desk.job(job_id)
    if as_json:
        _print_jobs([job])
        return
    for line in job_lines(job):
        print_line(line)


@app.command("submit")
@argument.takes_request
def submit(
    *,
    request: GenerationRequest,
    priority: Priority = 0,
    key: Annotated[
        str | None, typer.Option("--key", help="The same key twice is the same job.", metavar="TEXT")
    ] = None,
    on_fail: argument.OnFail = None,
    label: argument.Label = None,
    max_cost: argument.MaxCost = None,
    as_json: argument.Json = False,
) -> None:
    """Put a request into the queue and print the job's id; a `studio worker` makes the clip."""
    from studio.app import Studio
    from studio.jobs.job import JobWish

    wish = JobWish(
        priority=priority,
        client_key=key,
        on_fail=argument.parse_policy(on_fail),
        label=argument.parse_label(label),
        max_cost=argument.parse_money(max_cost, "max_cost"),
    )
    studio = Studio()
    job = studio.desk.submit(request, wish)
    for warning in job.request["warnings"]:
        print_note(f"note: {warning}")
    _note_if_nobody_works(studio.desk)
    _answer([job], as_json, lambda item: item.id)


@app.command("watch")
def watch(
    job_ids: Annotated[
        list[str] | None, typer.Argument(help="Ids of jobs; all that are not finished when left out.", metavar="JOB...")
    ] = None,
    as_json: argument.Json = False,
) -> None:
    """Say what becomes of jobs until all have ended. Exit code: that of the first that did not succeed."""
    from studio.app import Studio
    from studio.jobs.failure import error_of_job
    from studio.jobs.states import JobState
    from ui.cli.job_lines import JobNotes

    desk = Studio().desk
    wanted = [desk.job(item).id for item in job_ids or ()]
    if not job_ids:
        open_jobs = desk.jobs(JobState.RUNNING, JobState.QUEUED, limit=None, newest_first=False)
        wanted = [job.id for job in open_jobs]
    _note_if_nobody_works(desk)
    notes = JobNotes()
    jobs: dict[str, Job] = {}
    for jobs in desk.watch(wanted):
        notes.show(jobs.values())
    failures = [error_of_job(job) for job in jobs.values() if job.state != JobState.SUCCEEDED]
    _answer(list(jobs.values()), as_json, lambda job: f"{job.id}  {job.status}")
    for job, failure in zip([job for job in jobs.values() if job.state != JobState.SUCCEEDED], failures, strict=True):
        print_note(f"{job.id}: {failure.sentence()}")
    if failures:
        raise typer.Exit(exit_code(failures[0]))


@app.command("cancel")
def cancel(job_ids: JobIds, as_json: argument.Json = False) -> None:
    """Cancel jobs: one that waits at once, one that runs at its next step. Other jobs are not touched."""
    from studio.app import Studio

    _for_each(job_ids, Studio().desk.cancel, as_json)


@app.command("pause")
def pause(job_ids: SomeJobs = None, as_json: argument.Json = False) -> None:
    """Keep jobs from being taken up; one that runs goes back with what it has sampled. Without a job: all of them."""
    from studio.app import Studio

    desk = Studio().desk
    if job_ids:
        _for_each(job_ids, desk.pause, as_json)
        return
    desk.pause_queue()
    _answer_for_queue(desk, "the queue is paused; what runs goes on to its end", as_json)


@app.command("resume")
def resume(job_ids: SomeJobs = None, as_json: argument.Json = False) -> None:
    """Let jobs be taken up again. Without a job: the queue; jobs that were paused one by one stay paused."""
    from studio.app import Studio

    desk = Studio().desk
    if job_ids:
        _for_each(job_ids, desk.resume, as_json)
        return
    desk.resume_queue()
    _answer_for_queue(desk, "the queue goes on", as_json)


@app.command("move")
def move(
    job_id: JobId,
    first: Annotated[bool, typer.Option("--first", help="To the head of the queue.")] = False,
    last: Annotated[bool, typer.Option("--last", help="To its end.")] = False,
    before: Annotated[
        str | None, typer.Option("--before", help="In front of this waiting job.", metavar="OTHER")
    ] = None,
    as_json: argument.Json = False,
) -> None:
    """Change a waiting job's place in the queue. It takes the priority of the jobs that it comes to stand among."""
    from studio.app import Studio

    if [first, last, before is not None].count(True) != 1:
        raise UnsupportedValue(
            "exactly one place is needed", field="move", allowed="--first, --last or --before OTHER", fix="name one"
        )
    desk = Studio().desk
    job = desk.move(job_id, before=before) if before is not None else desk.move(job_id, to="first" if first else "last")
    _answer([job], as_json)


@app.command("priority")
def priority(
    job_id: JobId,
    number: Annotated[int, typer.Argument(help="-100 to 100; higher comes first.", metavar="N")],
    as_json: argument.Json = False,
) -> None:
    """Set a job's priority."""
    from studio.app import Studio

    _answer([Studio().desk.prioritize(job_id, number)], as_json)


@app.command("edit")
@argument.takes_changes
def edit(*, changes: dict[str, Any], job_id: JobId, as_json: argument.Json = False) -> None:
    """Change the request of a job that waits. What is not named stays as it is."""
    from studio.app import Studio

    if not changes:
        raise UnsupportedValue("no change was named", field="edit", fix='add one, such as --prompt "a red star"')
    _answer([Studio().desk.change(job_id, changes)], as_json)


@app.command("retry")
@argument.takes_changes
def retry(
    *,
    changes: dict[str, Any],
    job_ids: JobIds,
    order_again: Annotated[
        bool,
        typer.Option("--order-again", help="Order anew from the provider, although the first order may be paid for."),
    ] = False,
    as_json: argument.Json = False,
) -> None:
    """Put jobs that failed or were canceled into the queue again; they go on from the last stage that was kept.

    Options of the request change it; then the job starts anew.
    """
    from studio.app import Studio

    desk = Studio().desk
    _for_each(job_ids, lambda job_id: desk.retry(job_id, changes or None, order_again=order_again), as_json)
    _note_if_nobody_works(desk)


@app.command("remove")
def remove(
    job_ids: JobIds,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: argument.Json = False,
) -> None:
    """Forget jobs that have ended, with what is kept of them. Clips in the library stay there."""
    from studio.app import Studio

    studio = Studio()

    def forget(job_id: str) -> Job:
        job = studio.desk.job(job_id)
        if studio.quarantine.holds(job.id):
            question = f"Delete the clip of job {job.id}, which was made and is not sealed?"
            argument.confirm(question, yes=yes, as_json=as_json)
        return studio.desk.remove(job.id)

    _for_each(job_ids, forget, as_json, lambda job: f"{job.id}  removed")


@app.command("workers")
def workers(as_json: argument.Json = False) -> None:
    """List the processes that take jobs from the queue."""
    from studio.app import Studio

    found = Studio().desk.workers()
    if as_json:
        print_json({"workers": [_worker_json(worker) for worker in found]})
        return
    rows = [
        (item.id, str(item.pid), item.pool or "any", item.device, item.model or "-", item.job_id or "-",
         "works" if item.is_alive else "has died") for item in found
    ]  # fmt: skip
    print_table("", ("worker", "pid", "pool", "device", "model", "job", "state"), rows)


@app.command("gc")
def gc(
    quota: Annotated[
        str | None, typer.Option("--quota", help="What failed jobs may keep, such as 20G.", metavar="SIZE")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be deleted.")] = False,
    as_json: argument.Json = False,
) -> None:
    """Delete what no job needs any more. A clip that was made and waits to be sealed is never deleted."""
    from studio.app import Studio

    done = Studio().desk.gc(quota_bytes=None if quota is None else parse_size(quota), dry_run=dry_run)
    if as_json:
        jobs = [{"id": job_id, "state": "failed"} for job_id in done.over_quota]
        print_json({"jobs": jobs, "removed": list(done.removed), "size_bytes": done.size_bytes,
                    "kept_bytes": done.kept_bytes, "is_dry_run": dry_run})  # fmt: skip
        return
    for path in done.removed:
        print_line(path)
    verb = "would free" if dry_run else "freed"
    print_note(f"{verb} {done.size_bytes / 2**20:.1f} MiB; jobs keep {done.kept_bytes / 2**20:.1f} MiB")


def parse_size(text: str) -> int:
    """Return bytes. text: such as 500M, 20G or 20GiB, in powers of 1024."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise UnsupportedValue("not a size", field="quota", got=text, allowed="such as 500M, 20G or 1.5T")
    return int(float(match[1]) * 1024 ** " KMGT".index(match[2].upper() or " "))


def _parse_state(text: str) -> JobState:
    from studio.jobs.states import JobState

    try:
        return JobState(text)
    except ValueError:
        allowed = ", ".join(state.value for state in JobState)
        raise UnsupportedValue("no such state", field="state", got=text, allowed=allowed) from None


def _listed(desk: JobDesk, state: JobState | None, batch: str | None, limit: int | None) -> list[Job]:
    from studio.jobs.states import FINAL, JobState

    if state is not None:
        is_ended = state in FINAL
        return desk.jobs(state, batch_id=batch, limit=limit, newest_first=is_ended)
    found: list[Job] = []
    for states, newest_first in (((JobState.RUNNING,), False), ((JobState.QUEUED,), False), (tuple(FINAL), True)):
        room = None if limit is None else limit - len(found)
        if room != 0:
            found += desk.jobs(*states, batch_id=batch, limit=room, newest_first=newest_first)
    return found


def _for_each(
    job_ids: Sequence[str], do: Callable[[str], Job], as_json: bool, tell: Callable[[Job], str] | None = None
) -> None:
    """Do the same to several jobs: what fails for one is told, and the others are done all the same."""
    jobs, failed = [], []
    for job_id in job_ids:
        try:
            jobs.append(do(job_id))
        except StudioError as error:
            if len(job_ids) == 1:
                raise
            failed.append((job_id, error))
    more = {"failed": [{"id": item, "error": error.as_json()} for item, error in failed]} if len(job_ids) > 1 else {}
    _answer(jobs, as_json, tell, **more)
    for job_id, failure in failed:
        print_note(f"{job_id}: {failure.sentence()}")
    if failed:
        raise typer.Exit(exit_code(failed[0][1]))


def _answer(jobs: list[Job], as_json: bool, tell: Callable[[Job], str] | None = None, **more: Any) -> None:
    if as_json:
        _print_jobs(jobs, **more)
        return
    for job in jobs:
        print_line(f"{job.id}  {job.status}" if tell is None else tell(job))
        if job.state == "canceled" and job.error is not None:  # what goes on elsewhere, and what it costs
            print_note(f"  {job.error['message']}; {job.error['fix'] or ''}".rstrip("; "))


def _print_jobs(jobs: list[Job], **more: Any) -> None:
    print_json({"jobs": [job.as_json() for job in jobs], **more})


def _answer_for_queue(desk: JobDesk, sentence: str, as_json: bool) -> None:
    counts = {state.value: number for state, number in desk.counts().items()}
    if as_json:
        print_json({"jobs": [], "queue": {"is_paused": desk.is_queue_paused(), "counts": counts}})
    else:
        print_line(sentence)


def _worker_json(worker: WorkerView) -> dict[str, Any]:
    return {**worker.__dict__, "started_at": worker.started_at.isoformat()}


def _note_if_nobody_works(desk: JobDesk) -> None:
    if desk.is_queue_paused():
        print_note("the queue is paused; `studio queue resume` lets it go on")
    elif not any(worker.is_alive and worker.is_resident for worker in desk.workers()):
        print_note("no worker is there; `studio worker` starts one")
