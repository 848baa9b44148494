"""The exit code of each branch of the error tree (DESIGN.md, section 6)."""

from __future__ import annotations

from studio.errors import (
    Canceled,
    EnvironmentFault,
    GenerationFailed,
    RequestError,
    StudioError,
    VerificationFailed,
)

EXIT_CODES: tuple[tuple[type[StudioError], int], ...] = (
    (VerificationFailed, 1),
    (RequestError, 2),
    (EnvironmentFault, 3),
    (GenerationFailed, 4),
    (Canceled, 130),
)


def exit_code(error: StudioError) -> int:
    """Return the exit code for an error."""
    return next((code for kind, code in EXIT_CODES if isinstance(error, kind)), 4)
