"""`studio quarantine`: clips that were made but not sealed."""

from __future__ import annotations

from typing import Annotated

import typer

from ui.cli import arguments as argument
from ui.cli.console import print_json, print_line, print_note

app = typer.Typer(help="Clips that were made but could not be sealed yet.", no_args_is_help=True)

JobId = Annotated[str, typer.Argument(help="Id of the job.", metavar="JOB")]


@app.command("list")
def list_(as_json: argument.Json = False, debug: argument.Debug = False) -> None:  # noqa: ARG001
    """List the jobs whose clip waits to be sealed."""
    from studio.app import Studio

    studio = Studio()
    rows = [(job_id, studio.store.job(job_id)) for job_id in studio.quarantine.jobs()]
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
    debug: argument.Debug = False,  # noqa: ARG001
) -> None:
    """Seal what waits, without generating it again."""
    from studio.app import Studio

    studio = Studio()
    wanted = [job_id] if job_id is not None else studio.quarantine.jobs()
    assets = [studio.retry_seal(item, lambda progress: print_note(progress.stage)) for item in wanted]
    if as_json:
        print_json({"assets": [asset.as_json() for asset in assets]})
        return
    for asset in assets:
        print_line(str(asset.path))


@app.command("discard")
def discard(
    job_id: JobId,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: argument.Json = False,
    debug: argument.Debug = False,  # noqa: ARG001
) -> None:
    """Give up a clip that waits to be sealed."""
    from studio.app import Studio

    studio = Studio()
    if not yes:
        typer.confirm(f"Delete the raw clip of job {job_id}?", abort=True, err=True)
    studio.discard(job_id)
    if as_json:
        print_json({"jobs": [{"id": job_id, "discarded": True}]})
    else:
        print_line(f"discarded {job_id}")
