"""`studio check`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from studio.errors import Canceled, RequestError, StudioError, UnsupportedValue
from ui.cli import arguments as argument
from ui.cli.console import print_error, print_json, print_json_line, print_line, print_note, print_table
from ui.cli.exit_codes import exit_code

if TYPE_CHECKING:
    from studio.checking import Checked, CheckWish, Profile
    from studio.consistency.report import Report

Files = Annotated[
    list[Path] | None, typer.Argument(help="Videos, or folders of them.", metavar="FILE...", show_default=False)
]
Jobs = Annotated[
    int | None, typer.Option("--jobs", "-j", min=1, help="Videos checked at a time; one for each core by default.")
]
ProfileName = Annotated[
    str, typer.Option("--profile", help="gate: what every output passes; deep: learned checks too.", metavar="NAME")
]
InputImage = Annotated[
    Path | None, typer.Option("--input-image", help="Picture that the clip was made from.", metavar="FILE")
]
Live = Annotated[
    str | None,
    typer.Option(
        "--live",
        help="Watch a stream instead: a camera's number, an rtsp:// address, - for a pipe, or a file.",
        metavar="SOURCE",
    ),
]


def check(
    files: Files = None,
    jobs: Jobs = None,
    profile: ProfileName = "gate",
    input_image: InputImage = None,
    prompt: argument.Prompt = None,
    live: Live = None,
    report: argument.ReportFolder = None,
    force: argument.Force = False,
    as_json: argument.Json = False,
) -> None:
    """Check videos for temporal faults. Exit 1 if one is found.

    With --json, one video gives one object; several, a folder or --live give one object a line.
    """
    from studio.checking import CheckWish

    wish = CheckWish(profile=_profile(profile), input_image=input_image, prompt=prompt)
    if report is not None and (live is not None or len(files or ()) != 1 or (files or [Path()])[0].is_dir()):
        raise UnsupportedValue("a report is drawn of one video", field="report", got=report, fix="name one file")
    if live is not None:
        if files:
            raise UnsupportedValue("files and --live do not go together", field="file", got=files[0])
        code = _watch(live)
    elif not files:
        raise RequestError("none was named", field="file", fix="`studio check FILE`, or `studio check --live SOURCE`")
    elif len(files) == 1 and not files[0].is_dir():
        code = _check_one(files[0], wish, report, overwrite=force, as_json=as_json)
    else:
        code = _check_many(files, wish, jobs, as_json=as_json)
    if code:
        raise typer.Exit(code)


def _check_one(path: Path, wish: CheckWish, folder: Path | None, *, overwrite: bool, as_json: bool) -> int:
    """Check one. folder: where its report is to be drawn, None for nowhere."""
    from studio.app import Studio
    from studio.reporting import check_report_folder, report_on_file
    from ui.cli.checking_progress import checking_progress

    studio = Studio()
    if folder is not None:
        check_report_folder(folder, overwrite=overwrite, home=studio.settings.home)
    with checking_progress() as show:
        report = studio.check(path, wish, show)
    if folder is not None:
        print_note(f"report: {report_on_file(path, report, folder, overwrite=overwrite).page}")
    if as_json:
        print_json({"path": str(path), **report.as_json()})
    else:
        _present(report)
    return _code_of(report)


def _check_many(paths: list[Path], wish: CheckWish, jobs: int | None, *, as_json: bool) -> int:
    """Check several; returns the worst exit code, so that no failure is lost among passes."""
    from studio.app import Studio
    from studio.checking import check_many
    from ui.cli.checking_progress import checking_progress

    worst = 0
    tell: Callable[[Checked], int] = _tell_json if as_json else _tell
    with (
        checking_progress() as show,
        closing(check_many(paths, Studio().settings, wish, jobs=jobs, watch=show)) as results,
    ):
        for checked in results:
            worst = max(worst, tell(checked))
    return worst


def _tell_json(checked: Checked) -> int:
    about: dict[str, Any] = {"path": str(checked.path)}
    if checked.report is not None:
        print_json_line(about | checked.report.as_json())
        return _code_of(checked.report)
    error = checked.error or RequestError("nothing came of it")
    code = exit_code(error)
    print_json_line(about | {"error": error.as_json(), "exit_code": code})
    print_error(error)
    return code


def _tell(checked: Checked) -> int:
    from studio.consistency.wording import VERDICTS, failure_lines

    if checked.report is None:
        error = checked.error or RequestError("nothing came of it")
        print_line(f"{'error':<13}{checked.path}")
        print_error(error)
        return exit_code(error)
    print_line(f"{VERDICTS[checked.report.passed]:<13}{checked.path}")
    for line in failure_lines(checked.report.as_json()):
        print_line(f"{'':<13}{line}")
    return _code_of(checked.report)


def _watch(source: str) -> int:
    """Watch a stream; every line on stdout is a JSON object, with --json and without."""
    from studio.checking import watch_live

    try:
        return 1 if watch_live(source, print_json_line) is False else 0
    except Canceled:
        raise
    except StudioError as error:
        code = exit_code(error)
        print_json_line({"error": error.as_json(), "exit_code": code})
        print_error(error)
        return code


def _profile(name: str) -> Profile:
    from studio.checking import PROFILES

    for known in PROFILES:
        if name == known:
            return known
    raise UnsupportedValue("no such profile", field="profile", got=name, allowed=" or ".join(PROFILES))


def _code_of(report: Report) -> int:
    return 1 if report.passed is False else 0


def _present(report: Report) -> None:
    from studio.consistency.wording import VERDICTS

    data = report.as_json()
    rows = [
        (
            item["title"],
            VERDICTS[item["passed"]],
            "-" if item["score"] is None else f"{item['score']:.2f}",
            "-" if item["value"] is None else f"{item['value']:.3g} {item['unit']}",
            _where(item),
        )
        for item in data["checks"]
    ]
    print_table("", ("check", "result", "score", "measured", "frames or reason"), rows)
    for item in data["not_assessed"]:
        print_note(
            f"not assessed: {item['title']}: {item['reason']}" + (f" ({item['extra']})" if item["extra"] else "")
        )


def _where(item: dict[str, Any]) -> str:
    frames = ", ".join(map(str, item["worst_frames"][:5]))
    if item["passed"] is not False:
        return str(item.get("reason") or "")
    return "; ".join(filter(None, (frames, item.get("reason"))))
