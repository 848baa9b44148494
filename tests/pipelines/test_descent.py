"""Where memory runs out the work is done again with less, and what was made so far is saved first."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

from pipelines.descent import Descent
from pipelines.plan import MemoryPlan
from studio.errors import Canceled, GenerationFailed, OutOfMemory

PLANS = [MemoryPlan(name=name) for name in ("large", "middle", "small")]


class Told:
    """What a descent did, in order."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.descent = Descent(
            PLANS, using=self.using, free=lambda: self.events.append("freed"), note=self.events.append
        )

    @contextmanager
    def using(self, plan: MemoryPlan) -> Iterator[None]:
        self.events.append(f"in {plan.name}")
        try:
            yield
        finally:
            self.events.append(f"out of {plan.name}")


def needs(name: str) -> object:
    def work(plan: MemoryPlan) -> str:
        if [one.name for one in PLANS].index(plan.name) < [one.name for one in PLANS].index(name):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return plan.name

    return work


def test_it_goes_down_until_the_work_is_done_and_stays_there() -> None:
    told = Told()
    assert told.descent.attempt("sampling", needs("middle")) == "middle"
    assert told.descent.attempt("decoding", needs("large")) == "middle"
    assert told.events == [
        "in large", "out of large", "freed", "GPU memory ran out while sampling; it went on with less: middle",
        "in middle", "out of middle", "in middle", "out of middle",
    ]  # fmt: skip


def test_what_was_made_is_saved_before_the_next_attempt() -> None:
    told = Told()
    told.descent.attempt("sampling", needs("small"), before_less=lambda: told.events.append("saved"))
    assert told.events.count("saved") == 2
    assert told.events.index("saved") < told.events.index("in middle")


def test_what_cannot_be_saved_does_not_end_the_run() -> None:
    def fail() -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    assert Told().descent.attempt("sampling", needs("middle"), before_less=fail) == "middle"


def test_where_the_smallest_is_too_large_the_resource_is_named() -> None:
    with pytest.raises(OutOfMemory, match="GPU memory ran out while decoding"):
        Told().descent.attempt("decoding", lambda _plan: (_ for _ in ()).throw(torch.OutOfMemoryError("no")))


@pytest.mark.parametrize("failure", [Canceled(), RuntimeError("shapes do not match")])
def test_nothing_else_is_tried_again(failure: Exception) -> None:
    told = Told()

    def work(_plan: MemoryPlan) -> None:
        raise failure

    with pytest.raises((Canceled, GenerationFailed)):
        told.descent.attempt("sampling", work)
    assert told.events == ["in large", "out of large"]


def test_tensors_of_the_failed_attempt_are_let_go_of_before_the_next() -> None:
    import weakref

    alive: list[weakref.ref[torch.Tensor]] = []
    seen: list[bool] = []

    def work(plan: MemoryPlan) -> None:
        if alive:
            seen.append(alive[-1]() is None)
        if plan.name == "small":
            return
        tensor = torch.zeros(8)
        alive.append(weakref.ref(tensor))
        raise torch.OutOfMemoryError("CUDA out of memory")

    Told().descent.attempt("sampling", work)
    assert seen == [True, True]
