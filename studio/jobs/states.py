"""The states of a job, and why one ended."""

from __future__ import annotations

from enum import StrEnum


class JobState(StrEnum):
    """Where a job is. HELD: its clip failed a check and waits until a person releases or discards it."""

    QUEUED = "queued"
    RUNNING = "running"
    HELD = "held"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"


class FailureReason(StrEnum):
    """Why a job failed: what to do next depends on it.

    UNSEALED: the clip was made and waits in quarantine; sealing alone is repeated.
    REFUSED: the clip failed a check, and the job was not to let such a clip out; it is kept in quarantine.
    INTERRUPTED: the process ended while the job ran.
    MODERATED: a provider's rules for content forbid the clip.
    SUBMIT_UNKNOWN: an order was sent to a provider, and nobody knows whether it was taken; it is not sent again.
    """

    REQUEST = "request"
    ENVIRONMENT = "environment"
    GENERATION = "generation"
    UNSEALED = "unsealed"
    REFUSED = "refused"
    INTERRUPTED = "interrupted"
    MODERATED = "moderated"
    SUBMIT_UNKNOWN = "submit_unknown"


# Nobody works on a job in one of these; what waits in quarantine can be taken up again.
FINAL = frozenset({JobState.HELD, JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELED})
