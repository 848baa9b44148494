"""Finds the learned checks whose weights are on this machine, and says what nobody looks at without them.

The domain knows them as strings alone, from the rows of `studio.catalog.metrics`; they live with the other torch code.
"""

from __future__ import annotations

import types
from abc import ABC
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import ClassVar, cast

from studio.catalog.metrics import MetricCatalog, MetricSpec, load_metrics
from studio.config import Settings
from studio.consistency.check import Check, Direction
from studio.consistency.report import NotAssessed
from studio.errors import EnvironmentFault, MissingWeights
from studio.weights import WeightStore

_IDENTITY = "identity"
_SEES_IDENTITY_BEST = "subject_consistency"
_DEEP = "studio check --profile deep FILE"


@dataclass(frozen=True, kw_only=True)
class MetricWeights:
    """Where a learned check finds its weights, and by which settings it loads them."""

    spec: MetricSpec
    settings: Settings

    def folder(self) -> Path:
        """Return the folder of the weights after every byte was held against its digest.

        Raises `MissingWeights`, or `WeightsMismatch` when a byte is not what was pinned or first downloaded.
        """
        store = WeightStore(self.settings)
        store.digest(self.spec)
        return store.locate(self.spec)


class LearnedCheck(Check, ABC):
    """A check that needs weights.

    Its figure is a published metric's, to be compared with published ones. No threshold was calibrated for it here, so
    it never passes or fails a clip. weights: filled in when the class is found.
    """

    direction: ClassVar[Direction] = "lower_is_worse"
    threshold: ClassVar[float] = 0.0
    weights: ClassVar[MetricWeights]


@dataclass(frozen=True, kw_only=True)
class LearnedChecks:
    """ready: those that would run here. not_assessed: the others, each with the command that would mend it."""

    ready: tuple[type[Check], ...]
    not_assessed: tuple[NotAssessed, ...]


def find_learned_checks(settings: Settings, metrics: MetricCatalog | None = None) -> LearnedChecks:
    """Return the learned checks, by whether their weights are here; reads sizes of files, never their bytes."""
    metrics = metrics or load_metrics()
    store = WeightStore(settings)
    ready: list[type[Check]] = []
    missing: list[NotAssessed] = []
    for spec in metrics:
        weights = MetricWeights(spec=spec, settings=settings)
        fault = _fault(store, spec)
        for check_id, name in spec.checks.items():
            kind = _load(name)
            if fault is None and kind is not None:
                ready.append(with_weights(kind, weights))
            else:
                missing.append(_not_ready(check_id, kind, spec, fault))
    left_out = (NotAssessed(id=row.id, title=row.title, reason=row.reason) for row in metrics.left_out)
    return LearnedChecks(ready=tuple(ready), not_assessed=(*missing, *left_out))


def identity_not_assessed(
    settings: Settings, ran: Iterable[str], metrics: MetricCatalog | None = None
) -> tuple[NotAssessed, ...]:
    """Return the entry on identity that belongs into every report, none where a check of that name ran.

    ran: ids of the checks that did. Without weights a face that slowly becomes another one cannot be told from a
    face that moves, so no built-in check may speak for it.
    """
    ids = frozenset(ran)
    if _IDENTITY in ids:
        return ()
    return tuple(_identity(settings, metrics or load_metrics(), ids))


def with_weights(kind: type[LearnedCheck], weights: MetricWeights) -> type[LearnedCheck]:
    """Return the check's class with its weights filled in, ready to be made for a clip."""
    made = types.new_class(kind.__name__, (kind,), exec_body=lambda space: space.update(weights=weights))
    return cast("type[LearnedCheck]", made)


def _identity(settings: Settings, metrics: MetricCatalog, ran: frozenset[str]) -> Iterator[NotAssessed]:
    title = "Identity of the main subject"
    if _SEES_IDENTITY_BEST in ran:
        reason = (
            "the subject's look was compared by learned features, without a calibrated threshold; whether a face stays "
            "the same person was not: the studio ships no face embedding, a plug-in check named identity can bring one"
        )
        yield NotAssessed(id=_IDENTITY, title=title, reason=reason)
        return
    reason = "a face or body that slowly changes its shape cannot be told from one that moves without learned features"
    spec = metrics.serving(_SEES_IDENTITY_BEST)
    if spec is None:
        yield NotAssessed(id=_IDENTITY, title=title, reason=reason)
    elif WeightStore(settings).is_present(spec):
        yield NotAssessed(id=_IDENTITY, title=title, reason=reason, extra=_DEEP)
    else:
        yield NotAssessed(id=_IDENTITY, title=title, reason=reason, extra=f"studio models pull {spec.id}")


def _fault(store: WeightStore, spec: MetricSpec) -> EnvironmentFault | None:
    try:
        store.locate(spec)
    except EnvironmentFault as error:
        return error
    return None


def _load(name: str) -> type[LearnedCheck] | None:
    """Return the class, None where the package that holds it is not installed."""
    module, _, attribute = name.partition(":")
    try:
        return cast("type[LearnedCheck]", getattr(import_module(module), attribute))
    except (ImportError, AttributeError):
        return None


def _not_ready(
    check_id: str, kind: type[LearnedCheck] | None, spec: MetricSpec, fault: EnvironmentFault | None
) -> NotAssessed:
    title = check_id.replace("_", " ").capitalize() if kind is None else kind.title
    if fault is None:
        reason = "what measures it is not installed; install the studio again"
        return NotAssessed(id=check_id, title=title, reason=reason)
    reason = fault.message if isinstance(fault, MissingWeights) else fault.sentence().rstrip(".")
    return NotAssessed(id=check_id, title=title, reason=reason, extra=f"studio models pull {spec.id}")
