"""`studio quarantine`: clips that were made but not sealed."""

from __future__ import annotations

from typing import Annotated

import typer

from studio.errors import StudioError
from ui.cli import arguments as argument
from ui.cli.console import print_json, print_line, print_note
from ui.cli.exit_codes import exit_code

app = typer.Typer(help="Clips that were made but could not be sealed yet.", no_args_is_help=True)

JobId = Annotated[str, typer.Argument(help="Id of the job.", metavar="JOB")]


@app.command("list")
def list_(as_json: argument.Json = False) -> None:
    """List the jobs whose clip waits to be sealed."""
    from studio.app import Studio

    studio = Studio()
    rows = [(job_id, studio.store.job(job_id)) for job_id in studio.waiting()]
    if as_json:
        jobs = [
            {"id": job_id, "state": row.state if row else None, "error": row.error if row else None}
            for job_id, row in rows
        ]
        print_json({"jobs": jobs})
        return
    for job_id, row in rows:
        reason = row.error["message"] if row and row.error else "the process ended before it was sealed"
        print_line(f"{job_id}  {reason}")


@app.command("retry")
def retry(
    job_id: Annotated[
        str | None, typer.Argument(help="Id of the job; all of them when left out.", metavar="JOB")
    ] = None,
    as_json: argument.Json = False,
) -> None:
    """Seal what waits, without generating it again."""
    from studio.app import Studio
    from studio.export.gate import mark_warnings

    studio = Studio()
    wanted = [job_id] if job_id is not None else studio.waiting()
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
        for warning in mark_warnings(asset.watermark_id):
            print_note(f"warning: {warning}")
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
