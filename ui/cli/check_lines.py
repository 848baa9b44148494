"""What the checks said about a clip and what was decided about it, line by line for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from studio.consistency.wording import VERDICTS, failure_line


def check_lines(report: Mapping[str, Any]) -> list[str]:
    """Return one line for each check, failed ones first, with the frames at fault and the reason."""
    order = {False: 0, None: 1, True: 2}
    return [_check_line(check) for check in sorted(report["checks"], key=lambda check: order[check["passed"]])]


def ruling_lines(ruling: Mapping[str, Any] | None) -> list[str]:
    """Return the policy and, where a clip was made more than once, every attempt. ruling: as the library keeps it."""
    if ruling is None:
        return []
    lines = [f"policy         {ruling['policy']}: {ruling['standing']}"]
    attempts = ruling["attempts"] if len(ruling["attempts"]) > 1 else ()
    for number, attempt in enumerate(attempts, 1):
        failed = f" ({', '.join(attempt['failed'])})" if attempt["failed"] else ""
        kept = ", this clip" if number == ruling["chosen"] else ", dropped"
        lines.append(f"attempt {number:<6} seed {attempt['seed']}: {VERDICTS[attempt['passed']]}{failed}{kept}")
    return lines


def _check_line(check: Mapping[str, Any]) -> str:
    if check["passed"] is False:
        return f"check failed   {failure_line(check)}"
    reason = f" ({check['reason']})" if check["passed"] is None and check.get("reason") else ""
    return f"check          {check['title']}: {VERDICTS[check['passed']]}{reason}"
