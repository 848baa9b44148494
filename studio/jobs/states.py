"""The states of a job, and why one ended."""

from __future__ import annotations

from enum import StrEnum


class JobState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"


class FailureReason(StrEnum):
    """Why a job failed: what to do next depends on it.

    UNSEALED: the clip was made and waits in quarantine; sealing alone is repeated.
    INTERRUPTED: the process ended while the job ran.
    """

    REQUEST = "request"
    ENVIRONMENT = "environment"
    GENERATION = "generation"
    UNSEALED = "unsealed"
    INTERRUPTED = "interrupted"


FINAL = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELED})
