"""What the checks are told about a clip at the gate, and what its report says that nobody looked at."""

from __future__ import annotations

from dataclasses import replace

from studio.config import Settings
from studio.consistency.check import ClipContext
from studio.consistency.learned import identity_not_assessed
from studio.consistency.report import Report
from studio.errors import RequestError, StudioError
from studio.export.source import Source
from studio.media import fit_image, read_image
from studio.request import ResolvedRequest, Role


def clip_context(request: ResolvedRequest, source: Source) -> ClipContext:
    """Return what was asked for: the prompt, and the picture that the first frame should look like.

    A picture that cannot be read any more is left out: the clip is made, and its first frame is then not compared.
    """
    given = next((item for item in request.conditionings if item.role is Role.FIRST_FRAME), None)
    picture = None
    if given is not None:
        try:
            picture = fit_image(read_image(given.path), source.width, source.height)
        except (RequestError, OSError):
            picture = None
    return ClipContext(frame_rate=source.raw_rate, input_image=picture, prompt=request.prompt or None)


def with_unassessed(report: Report, settings: Settings) -> Report:
    """Return a report that also names what none of its checks can see."""
    if not report.checks:
        return report
    try:
        missing = identity_not_assessed(settings, (check.id for check in report.checks))
    except (StudioError, OSError):  # a broken record of some weights must not keep a clip from being sealed
        missing = ()
    return replace(report, not_assessed=missing)
