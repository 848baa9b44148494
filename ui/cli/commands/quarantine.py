"""`studio quarantine`: clips that were made but not sealed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from studio.errors import StudioError
from ui.cli import arguments as argument
from ui.cli.console import print_json, print_line, print_note
from ui.cli.exit_codes import exit_code

if TYPE_CHECKING:
    from studio.jobs.quarantine import Quarantine
    from studio.library.tables import JobRow

app = typer.Typer(help="Clips that are made but not sealed: held for review, refused or stuck.", no_args_is_help=True)

JobId = Annotated[str, typer.Argument(help="Id of the job.", metavar="JOB")]


@app.command("list")
def list_(as_json: argument.Json = False) -> None:
    """List the jobs whose clip waits to be sealed."""
    from studio.app import Studio

    studio = Studio()
    rows = [(job_id, studio.store.job(job_id)) for job_id in studio.waiting()]
    if as_json:
        print_json({"jobs": [_facts(job_id, row) for job_id, row in rows]})
        return
    for job_id, row in rows:
        print_line(f"{job_id}  {_reason(row)}")


@app.command("show")
def show(
    job_id: JobId,
    report: argument.ReportFolder = None,
    force: argument.Force = False,
    as_json: argument.Json = False,
) -> None:
    """Show why a clip waits, and what the checks said about it."""
    from studio.app import Studio
    from ui.cli.check_lines import check_lines

    studio = Studio()
    row = studio.waiting_job(job_id)
    if report is not None:
        from studio.reporting import check_report_folder, report_on_raw

        check_report_folder(report, overwrite=force, home=studio.settings.home)
        print_note(f"report: {report_on_raw(studio.quarantine, job_id, report, overwrite=force).page}")
    attempts = [_attempt(studio.quarantine, name) for name in studio.quarantine.attempts(job_id)]
    if as_json:
        print_json({"jobs": [_facts(job_id, row) | {"attempts": attempts}]})
        return
    print_line(f"{'job':<14} {job_id}")
    print_line(f"{'reason':<14} {_reason(row)}")
    for number, attempt in enumerate(attempts, 1):
        print_line(f"attempt {number:<6} seed {attempt['seed']}, model {attempt['model']}, policy {attempt['policy']}")
        for line in check_lines(attempt["report"]) if attempt["report"] else ():
            print_line(line)
    if row is not None and row.error is not None and row.error.get("fix"):
        print_note(row.error["fix"])


@app.command("release")
def release(job_id: JobId, as_json: argument.Json = False) -> None:
    """Seal a clip that is held for review, whatever its checks say. File and library tell that it was released."""
    from studio.app import Studio
    from studio.making import notices_of

    studio = Studio()
    asset = studio.release(job_id, lambda progress: print_note(progress.stage))
    if as_json:
        print_json({"assets": [asset.as_json()]})
        return
    print_line(str(asset.path))
    for notice in notices_of(asset, studio.settings):
        print_note(notice)


@app.command("retry")
def retry(
    job_id: Annotated[
        str | None, typer.Argument(help="Id of the job; all of them when left out.", metavar="JOB")
    ] = None,
    as_json: argument.Json = False,
) -> None:
    """Seal what waits, without generating it again. A clip that its policy holds or refuses is checked again."""
    from studio.app import Studio
    from studio.making import notices_of

    studio = Studio()
    wanted = [job_id] if job_id is not None else [item for item in studio.waiting() if not studio.is_judged(item)]
    assets, failures = [], []
    for item in wanted:
        try:
            assets.append(studio.retry_seal(item, lambda progress: print_note(progress.stage)))
        except StudioError as error:
            if job_id is not None:
                raise
            failures.append((item, error))
    if as_json:
        failed = [{"id": item, "error": error.as_json()} for item, error in failures]
        print_json({"assets": [asset.as_json() for asset in assets], "failed": failed})
    for asset in () if as_json else assets:
        print_line(str(asset.path))
        for notice in notices_of(asset, studio.settings):
            print_note(notice)
    for item, failure in failures:
        print_note(f"{item}: {failure.sentence()}")
    if failures:
        raise typer.Exit(exit_code(failures[0][1]))


@app.command("discard")
def discard(
    job_id: JobId,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: argument.Json = False,
) -> None:
    """Give up a clip that waits to be sealed."""
    from studio.app import Studio

    studio = Studio()
    argument.confirm(f"Delete the raw clip of job {job_id}?", yes=yes, as_json=as_json)
    studio.discard(job_id)
    if as_json:
        print_json({"jobs": [{"id": job_id, "discarded": True}]})
    else:
        print_line(f"discarded {job_id}")


def _facts(job_id: str, row: JobRow | None) -> dict[str, Any]:
    return {
        "id": job_id,
        "state": row.state if row else None,
        "reason": row.reason if row else None,
        "error": row.error if row else None,
    }


def _reason(row: JobRow | None) -> str:
    return str(row.error["message"]) if row and row.error else "the process ended before it was sealed"


def _attempt(quarantine: Quarantine, name: str) -> dict[str, Any]:
    raw = quarantine.get(name)
    report = quarantine.report(name)
    return {"seed": str(raw.request.seed), "model": raw.request.model, "policy": str(raw.policy), "report": report}
