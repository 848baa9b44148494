"""The jobs that a provider of the server has taken."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.providers.conformance.faults import Faults
from tests.providers.conformance.messages import Refusal

SIGNATURE = "X-Amz-Signature=5ec2e7c0ffee5ec2e7c0ffee5ec2e7c0ffee"
"""What makes an address of a clip a key of its own; it must be found nowhere afterwards."""


@dataclass(kw_only=True)
class Job:
    """One job. facts: what the contract wants to remember of the order. words: yet to be told, the last one stays.

    outcome: empty until the last word is told, then ``done``, ``failed``, ``moderated`` or ``canceled``.
    """

    id: str
    facts: dict[str, Any]
    words: list[str]
    ending: str
    last_words: dict[str, str]
    url_of: Callable[[Job], str]
    created_at: int = field(default_factory=lambda: int(time.time()))
    is_hasty: bool = False
    outcome: str = ""
    polls: int = 0
    addresses: int = 0

    def step(self) -> str:
        """Return the word for one more answer about the job; `outcome` is set with the last one."""
        self.polls += 1
        word = self.words[0]
        if len(self.words) == 1:
            self.outcome = self.ending
        else:
            del self.words[: -1 if self.is_hasty else 1]
        return word

    @property
    def is_running(self) -> bool:
        """Whether the job can still be stopped, whatever has been told of it."""
        return len(self.words) > 1

    def cancel(self) -> None:
        """Stop the job: it has the word for that from now on."""
        self.ending = "canceled"
        self.words = [self.last_words.get("canceled", "canceled")]

    def url(self) -> str:
        """Return an address where the clip can be fetched without a key; each time another one, which is presigned."""
        self.addresses += 1
        return self.url_of(self)


class Jobs:
    """The jobs of one provider. base_url: of the provider."""

    def __init__(self, base_url: str, walk: tuple[str, ...], endings: dict[str, str], clip_url: str) -> None:
        self.base_url = base_url
        self.faults = Faults()
        self._walk, self._endings, self._clip_url = walk, endings, clip_url
        self._jobs: dict[str, Job] = {}

    def create(self, *, id: str | None = None, **facts: Any) -> Job:  # noqa: A002
        """Take an order."""
        walk = list(self._walk)
        if self.faults.brief:
            walk = walk[-1:]
        if self.faults.invented:
            walk.insert(1, self.faults.invented)
        job = Job(
            id=id or str(uuid.uuid4()),
            facts=facts,
            words=[*walk, self._endings[self.faults.ending]],
            ending=self.faults.ending,
            last_words=self._endings,
            is_hasty=self.faults.hasty,
            url_of=lambda job: f"{self._clip_url}/{job.id}/{job.addresses}/clip.mp4?{SIGNATURE}",
        )
        self._jobs[job.id] = job
        return job

    def find(self, id: str) -> Job:  # noqa: A002
        """Return a job; a refusal (404) where there is none."""
        if id not in self._jobs:
            raise Refusal(404, "not_found", "there is no such job")
        return self._jobs[id]

    def delete(self, id: str) -> None:  # noqa: A002
        """Forget a job; a refusal (404) where there is none."""
        self.find(id)
        del self._jobs[id]

    def __iter__(self) -> Iterator[Job]:
        return iter(self._jobs.values())

    def __len__(self) -> int:
        return len(self._jobs)
