"""`studio compare`: one request on several generators, votes on what comes out, and a ranking."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from studio.errors import StudioError, UnsupportedValue
from ui.cli import arguments as argument
from ui.cli.comparison_arguments import base_of, takes_wish, variants_of
from ui.cli.comparison_lines import comparison_progress, print_comparison, print_plan, print_ranking
from ui.cli.console import print_json, print_line, print_note, print_table
from ui.cli.exit_codes import exit_code

if TYPE_CHECKING:
    from studio.app import Studio
    from studio.comparing.comparison import Comparison, Entry
    from studio.comparing.ranking import Ranking

app = typer.Typer(help="One request on several generators: votes, a ranking, a report.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(help="Id of the comparison, or its beginning.", metavar="ID")]
Models = Annotated[
    list[str] | None,
    typer.Option("--model", "-m", help="Id of a model; repeatable, see `studio models`.", metavar="ID"),
]
Variations = Annotated[
    list[str] | None,
    typer.Option("--vary", help="Values that each model is tried with; repeatable.", metavar="NAME=VALUE[,...]"),
]
Entries = Annotated[
    list[str] | None,
    typer.Option("--entry", help="One more contestant: a model and its own values.", metavar="MODEL[,NAME=VALUE...]"),
]
Tags = Annotated[list[str] | None, typer.Option("--tag", help="Word to rank by later; repeatable.", metavar="WORD")]
Title = Annotated[str, typer.Option("--title", help="What it is called; the prompt if left out.")]
MaxCost = Annotated[
    str | None,
    typer.Option("--max-cost", help='Refuse if all remote clips may cost more, such as "1 USD".', metavar="MONEY"),
]
Priority = Annotated[int, typer.Option("--priority", help="Of its jobs, -100 to 100; higher first.")]
ReportFile = Annotated[
    Path | None, typer.Option("--output-report", help="Also write the report: one HTML file.", metavar="FILE")
]
Voter = Annotated[str, typer.Option("--voter", help="Name of whoever votes; nobody's by default.", metavar="NAME")]


@app.command("run")
@takes_wish
def run(
    *,
    models: Models = None,
    vary: Variations = None,
    entry: Entries = None,
    changes: dict[str, Any],
    title: Title = "",
    tag: Tags = None,
    on_fail: argument.OnFail = None,
    max_cost: MaxCost = None,
    priority: Priority = 0,
    output_report: ReportFile = None,
    force: argument.Force = False,
    detach: Annotated[bool, typer.Option("--detach", help="Leave the jobs to other workers.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Look at everything and run nothing.")] = False,
    as_json: argument.Json = False,
) -> None:
    """Make one clip of the same request with each of several models, or with each of several values.

    What a model does not do is left out or made as near as it can, and told. All get the same seed. The clips are made
    here and now, or by a worker that is there. Exit code 0 if every clip that was begun was made, else that of the
    first one that was not.
    """
    from studio.app import Studio
    from studio.comparing.wish import CompareWish
    from studio.delivery import check_destination

    studio = Studio()
    if output_report is not None:
        if detach or dry_run:
            raise UnsupportedValue("there is nothing to report yet", field="output_report", got=output_report,
                                   fix="`studio compare report` writes it later")  # fmt: skip
        check_destination(output_report, suffix=".html", overwrite=force, home=studio.settings.home)
    wish = CompareWish(
        base=base_of(changes),
        variants=variants_of(models or [], vary or [], entry or []),
        title=title,
        tags=tag or [],
        priority=priority,
        on_fail=argument.parse_policy(on_fail),
        max_cost=argument.parse_money(max_cost, "max_cost"),
    )
    planned = studio.comparisons.plan(wish)
    print_plan(planned)
    if dry_run:
        _show_plan(planned, as_json)
        return
    comparison = studio.comparisons.start(wish, planned)
    print_note(f"comparison {comparison.id}")
    if not detach:
        comparison = _make(studio, comparison)
    _conclude(studio, comparison, output_report, force, as_json, is_waiting=detach)


@app.command("list")
def list_(
    limit: Annotated[int, typer.Option("--limit", help="At most so many, newest first.", min=1, max=1000)] = 100,
    as_json: argument.Json = False,
) -> None:
    """List the comparisons, newest first."""
    from studio.app import Studio

    found = Studio().comparisons.list(limit)
    if as_json:
        print_json({"comparisons": [item.as_json() for item in found]})
        return
    rows = [
        (item.id, f"{len(item.finished)}/{len(item.entries)}", str(item.num_votes), ", ".join(item.tags) or "-",
         (item.title or item.prompt or "-")[:200])
        for item in found
    ]  # fmt: skip
    print_table("", ("comparison", "clips", "votes", "tags", "title or prompt"), rows, is_cut=True)


@app.command("show")
def show(comparison: Id, as_json: argument.Json = False) -> None:
    """Show a comparison: its entries, what each does otherwise than asked, the votes, and their ranking."""
    from studio.app import Studio

    studio = Studio()
    found = studio.comparisons.get(comparison)
    votes = studio.comparisons.votes(found.id)
    if as_json:
        print_json(_json(studio, found) | {"votes": [vote.as_json() for vote in votes]})
        return
    print_comparison(found)
    for vote in votes:
        reasons = f": {'; '.join(vote.reasons)}" if vote.reasons else ""
        print_line(f"{vote.left} against {vote.right}: {vote.verdict.value}{reasons}{' (blind)' * vote.was_blind}")
    if votes:
        print_ranking(studio.comparisons.ranking("entry", comparison_id=found.id))


@app.command("vote")
def vote(
    comparison: Id,
    left: Annotated[int | None, typer.Option("--left", help="Number of an entry.", metavar="N")] = None,
    right: Annotated[int | None, typer.Option("--right", help="Number of another one.", metavar="N")] = None,
    verdict: Annotated[
        str | None, typer.Option("--verdict", help="left, right, tie or both_bad.", metavar="VERDICT")
    ] = None,
    reason: Annotated[
        list[str] | None, typer.Option("--reason", help="Why: a word or a sentence; repeatable.", metavar="TEXT")
    ] = None,
    blind: Annotated[
        bool, typer.Option("--blind", help="Copy two clips, names hidden and sides drawn, and ask which is better.")
    ] = False,
    into: Annotated[
        Path | None, typer.Option("--into", help="Folder of the two copies, left.mp4 and right.mp4.", metavar="DIR")
    ] = None,
    rounds: Annotated[int, typer.Option("--rounds", help="How often --blind asks.", min=1, max=1000)] = 1,
    voter: Voter = "",
    force: argument.Force = False,
    as_json: argument.Json = False,
) -> None:
    """Say which of two clips is better: by their numbers, or blind.

    Blind: the two clips that you judged least are copied, byte for byte, as left.mp4 and right.mp4, and only after your
    verdict it is told which was which.
    """
    from studio.app import Studio

    studio = Studio()
    found = studio.comparisons.get(comparison)
    if blind:
        from ui.cli.blind_votes import blind_votes

        if into is None or verdict is not None or left is not None or right is not None:
            raise UnsupportedValue("names are hidden, and the verdict is asked for", field="blind", got="--blind",
                                   fix="give --into DIR alone, without --left, --right, --verdict")  # fmt: skip
        cast = blind_votes(studio.comparisons, found, into, rounds=rounds, voter=voter, overwrite=force)
    else:
        if left is None or right is None or verdict is None:
            raise UnsupportedValue("a vote is on two entries", field="vote", got="only a part of it",
                                   fix="give --left N, --right N and --verdict, or --blind")  # fmt: skip
        cast = [studio.comparisons.vote(found.id, left, right, verdict, reason or [], voter=voter)]
    if as_json:
        told = [item.as_json() for item in cast]
        print_json(_json(studio, studio.comparisons.get(found.id)) | {"vote": told[-1], "votes": told})
        return
    print_ranking(studio.comparisons.ranking("entry", comparison_id=found.id))


@app.command("unvote")
def unvote(
    comparison: Id,
    vote: Annotated[
        str | None, typer.Option("--vote", help="Id of the vote, by default your newest one.", metavar="ID")
    ] = None,
    voter: Voter = "",
    as_json: argument.Json = False,
) -> None:
    """Take a vote back, as if it had never been cast."""
    from studio.app import Studio

    studio = Studio()
    found = studio.comparisons.get(comparison)
    gone = studio.comparisons.take_back(found.id, vote, voter=voter)
    if as_json:
        print_json(_json(studio, studio.comparisons.get(found.id)) | {"vote": gone.as_json()})
        return
    print_line(f"Taken back: {gone.left} against {gone.right}, {gone.verdict.value}")


@app.command("rank")
def rank(
    comparison: Annotated[
        str | None, typer.Option("--comparison", help="Only votes on this one.", metavar="ID")
    ] = None,
    by: Annotated[str, typer.Option("--by", help="model, or entry of one comparison.", metavar="WHAT")] = "model",
    tag: Annotated[str | None, typer.Option("--tag", help="Only comparisons with this tag.", metavar="WORD")] = None,
    voter: Annotated[str | None, typer.Option("--voter", help="Only this person's votes.", metavar="NAME")] = None,
    as_json: argument.Json = False,
) -> None:
    """Rank models by all votes, or by those on some comparisons. No order is claimed that the votes do not bear out."""
    from studio.app import Studio

    studio = Studio()
    ranking = studio.comparisons.ranking(_parse_by(by), comparison_id=comparison, tag=tag, voter=voter)
    if not as_json:
        print_ranking(ranking)
        return
    entries = [] if comparison is None else [item.as_json() for item in studio.comparisons.get(comparison).entries]
    print_json({"entries": entries, "ranking": ranking.as_json()})


@app.command("report")
def report(
    comparison: Annotated[list[str], typer.Argument(help="Ids of comparisons, or their beginnings.", metavar="ID...")],
    output: Annotated[Path, typer.Option("--output", help="HTML file to write.", metavar="FILE")],
    force: argument.Force = False,
    as_json: argument.Json = False,
) -> None:
    """Write one self-contained HTML file: the sealed clips, played in step, facts, votes and ranking.

    It needs no network and no other file. Each clip in it is the sealed file, byte for byte, and can be saved.
    """
    from studio.app import Studio

    studio = Studio()
    written = studio.comparisons.report(comparison, output, overwrite=force)
    for line in written.left_out:
        print_note(f"note: not in the report: {line}")
    if as_json:
        found = [studio.comparisons.get(item) for item in written.comparisons]
        print_json(_json_of_many(studio, found) | {"report": written.as_json()})
    else:
        print_line(str(written.path))


@app.command("remove")
def remove(
    comparison: Id,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: argument.Json = False,
) -> None:
    """Forget a comparison and its votes; its clips stay in the library."""
    from studio.app import Studio

    studio = Studio()
    found = studio.comparisons.get(comparison)
    argument.confirm(f"Forget comparison {found.id} and its {found.num_votes} votes?", yes=yes, as_json=as_json)
    studio.comparisons.remove(found.id)
    if as_json:
        print_json({"removed": found.as_json()})
    else:
        print_note(f"forgot {found.id}; its clips are in the library")


def _make(studio: Studio, comparison: Comparison) -> Comparison:
    if studio.desk.is_queue_paused():
        print_note("note: the queue is paused; `studio queue resume` lets it go on")
    try:
        with comparison_progress() as watch:
            return studio.comparisons.make(comparison.id, show=watch)
    except StudioError as error:
        if not error.fix:
            error.advise(f"`studio compare show {comparison.id}` shows what there is")
        raise


def _conclude(
    studio: Studio, comparison: Comparison, report_file: Path | None, force: bool, as_json: bool, *, is_waiting: bool
) -> None:
    """Say how it ended; the exit code is that of the first clip that was begun and not made."""
    written = None
    if report_file is not None:
        written = studio.comparisons.report([comparison.id], report_file, overwrite=force)
        print_note(f"report: {written.path}")
    if as_json:
        print_json(_json(studio, comparison) | {"report": None if written is None else written.as_json()})
    else:
        print_comparison(comparison, with_differences=False)  # they were told before the work began
        next_step = "`studio worker` makes the clips" if is_waiting else (
            f"`studio compare vote {comparison.id} --blind --into DIR` asks which is better"
        )  # fmt: skip
        print_note(next_step)
    failed = next((item for item in comparison.entries if _is_failed(item)), None)
    if failed is not None and not is_waiting and failed.job is not None:
        from studio.jobs.failure import error_of_job

        raise typer.Exit(exit_code(error_of_job(failed.job)))


def _is_failed(entry: Entry) -> bool:
    return entry.job is not None and entry.is_over and not entry.is_finished


def _show_plan(planned: Any, as_json: bool) -> None:
    if as_json:
        print_json({"entries": [item.as_json() for item in planned], "ranking": None, "dry_run": True})
        return
    rows = [
        (str(item.number), item.label, "-" if item.error is None else "cannot be made",
         "-" if item.cost is None else str(item.cost))
        for item in planned
    ]  # fmt: skip
    print_table("", ("#", "entry", "state", "cost"), rows)
    print_note("nothing was started")


def _json(studio: Studio, comparison: Comparison) -> dict[str, Any]:
    return _json_of_many(studio, [comparison])


def _json_of_many(studio: Studio, comparisons: list[Comparison]) -> dict[str, Any]:
    """Return the object that programs get: entries and ranking; of one comparison its own facts as well."""
    ranking: Ranking
    if len(comparisons) == 1:
        ranking = studio.comparisons.ranking("entry", comparison_id=comparisons[0].id)
        entries = [entry.as_json() for entry in comparisons[0].entries]
    else:
        ranking = studio.comparisons.ranking_of_models([item.id for item in comparisons])
        entries = [entry.as_json() | {"comparison_id": item.id} for item in comparisons for entry in item.entries]
    told = [{name: value for name, value in item.as_json().items() if name != "entries"} for item in comparisons]
    return {"comparisons": told, "entries": entries, "ranking": ranking.as_json()} | (
        {"comparison": told[0]} if len(told) == 1 else {}
    )


def _parse_by(text: str) -> Any:
    if text not in ("model", "entry"):
        raise UnsupportedValue("this cannot be ranked", field="by", got=text, allowed="model or entry")
    return text
