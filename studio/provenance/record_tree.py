"""From the SDK's account of a manifest store to a tree of readings, bounded in depth and number."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from studio.provenance.explain import action_words, explain, source_words
from studio.provenance.manifest import GENERATION_LABEL
from studio.provenance.reading import INGREDIENT_PREFIX, Action, C2paReading, IngredientReading, State, TimeStamp
from studio.provenance.shown import line_or_none, one_line

MAX_DEPTH = 8
MAX_INGREDIENTS = 200
MAX_ACTIONS = 100
MAX_CODES = 50

_UNTRUSTED = "signingCredential.untrusted"
_ELSEWHERE = "manifest.inaccessible"
_TRUSTED = "signingCredential.trusted"
_LEGACY = "legacy timestamp"
_TIME_STAMP_LABEL = "c2pa.time-stamp"
_AUTHORITY = re.compile(r"timestamp cert (?:un)?trusted: (?P<name>.*?)(?:, trust list: (?P<list>.*))?")
_ACTION_LABELS = ("c2pa.actions", "c2pa.actions.v2")


def interpret(state: State, store: Mapping[str, Any]) -> C2paReading:
    """Return the reading of a validated store. store: the SDK's JSON, any part of which may be invented."""
    manifests = _mapping(store.get("manifests"))
    label = str(store.get("active_manifest"))
    active = _mapping(manifests.get(label))
    results = _mapping(store.get("validation_results"))
    own = _mapping(results.get("activeManifest"))
    # A record that only adds a time stamp to its parent's tells of nothing but its parent.
    content_label = _stamped_manifest(active, manifests) or label
    content = _mapping(manifests.get(content_label))
    failures, information = _codes(own.get("failure")), _codes(own.get("informational"))
    ingredients = _Tree(manifests, results).of(content_label)
    theirs = [INGREDIENT_PREFIX + code for item in _all(ingredients) for code in item.codes]
    actions = _actions(content)
    reading = C2paReading(
        state=state,
        codes=tuple(dict.fromkeys([*failures, *information, *theirs])),
        failures=failures,
        generator=_generator(content),
        issuer=line_or_none(_mapping(active.get("signature_info")).get("issuer")),
        ingredients=ingredients,
        manifest=dict(content) or None,
        generation=_assertion(content, GENERATION_LABEL),
        trust_list=line_or_none(results.get("trustListUri")) if state == "trusted" else None,
        title=line_or_none(content.get("title")),
        identifier=line_or_none(label) if active else None,
        actions=actions,
        time_stamp=_time_stamp(active, own),
    )
    return _with_problem(_with_source(reading))


def _with_source(reading: C2paReading) -> C2paReading:
    source = _source_type(reading.history)
    return reading if source is None else replace(reading, source_type=source, source_words=source_words(source))


def _with_problem(reading: C2paReading) -> C2paReading:
    broken = reading.broken_ingredients
    problem: str | None
    if reading.state == "trusted":
        problem = f"the file itself is intact, but not its ingredient {broken[0]}" if broken else None
    elif reading.state == "invalid" and broken and not set(reading.failures) - {_UNTRUSTED}:
        problem = f"the record of a file that went into it does not hold: {broken[0]}"
    else:
        problem = explain(reading.failures) or "the record does not hold, for a reason the studio has no words for"
    return replace(reading, problem=problem)


class _Tree:
    """Walks the manifests of one store from ingredient to ingredient."""

    def __init__(self, manifests: Mapping[str, Any], results: Mapping[str, Any]) -> None:
        self._manifests = manifests
        self._results = _by_uri(results.get("ingredientDeltas"))
        self._left = MAX_INGREDIENTS

    def of(self, label: str, above: tuple[str, ...] = (), told: Mapping[str, Any] | None = None) -> Any:
        """Return the ingredients of the manifest `label`. above: the manifests that lead to it.

        told: what the maker of the file above found out about them.
        """
        readings = []
        for item in _list(_mapping(self._manifests.get(label)).get("ingredients")):
            if self._left <= 0:
                break
            self._left -= 1
            readings.append(self._ingredient(_mapping(item), label, (*above, label), told or {}))
        return tuple(readings)

    def _ingredient(
        self, item: Mapping[str, Any], label: str, above: tuple[str, ...], told: Mapping[str, Any]
    ) -> IngredientReading:
        recorded = _mapping(item.get("validation_results"))
        own = _mapping(recorded.get("activeManifest"))
        uri = f"/c2pa/{label}/c2pa.assertions/{item.get('label')}"
        failures = [_codes(part.get("failure")) for part in (own, told.get(uri, {}), self._results.get(uri, {}))]
        failures.append(_codes(item.get("validation_status")))
        codes = tuple(dict.fromkeys(code for some in failures for code in some))
        child = str(item["active_manifest"]) if item.get("active_manifest") else None
        manifest = _mapping(self._manifests.get(child or ""))
        is_cut = child is not None and (child in above or len(above) >= MAX_DEPTH or self._left <= 0)
        actions = _actions(manifest)
        return IngredientReading(
            title=line_or_none(item.get("title")),
            mime_type=line_or_none(item.get("format"), 100),
            relationship=line_or_none(item.get("relationship"), 100),
            state=_ingredient_state(child, codes, _codes(own.get("success"))),
            codes=codes,
            generator=_generator(manifest),
            issuer=line_or_none(_mapping(manifest.get("signature_info")).get("issuer")),
            source_type=_source_type(actions),
            actions=actions,
            ingredients=()
            if child is None or is_cut
            else self.of(child, above, _by_uri(recorded.get("ingredientDeltas"))),
            is_cut=is_cut,
        )


def _by_uri(deltas: Any) -> dict[str, Mapping[str, Any]]:
    """Return what was found about ingredients, by the place of their assertion in the store."""
    found = {}
    for delta in map(_mapping, _list(deltas)):
        uri = str(delta.get("ingredientAssertionURI", "")).removeprefix("self#jumbf=")
        found[uri] = _mapping(delta.get("validationDeltas"))
    return found


def _all(readings: Iterable[IngredientReading]) -> list[IngredientReading]:
    return [found for item in readings for found in (item, *_all(item.ingredients))]


def _ingredient_state(child: str | None, failures: tuple[str, ...], successes: tuple[str, ...]) -> State:
    if child is None and not set(failures) - {_ELSEWHERE}:
        return "absent"
    if set(failures) - {_UNTRUSTED}:
        return "invalid"
    return "trusted" if _TRUSTED in successes and not failures else "valid"


def _generator(manifest: Mapping[str, Any]) -> str | None:
    first = _mapping(next(iter(_list(manifest.get("claim_generator_info"))), None))
    parts = [line_or_none(first.get(part), 100) for part in ("name", "version")]
    return " ".join(filter(None, parts)) or line_or_none(manifest.get("claim_generator"))


def _actions(manifest: Mapping[str, Any]) -> tuple[Action, ...]:
    listed = [
        _mapping(action)
        for assertion in map(_mapping, _list(manifest.get("assertions")))
        if str(assertion.get("label", "")).split("__", 1)[0] in _ACTION_LABELS
        for action in _list(_mapping(assertion.get("data")).get("actions"))[:MAX_ACTIONS]
    ]
    return tuple(_action(action) for action in listed[:MAX_ACTIONS])


def _action(action: Mapping[str, Any]) -> Action:
    code = one_line(action.get("action"), 100)
    agent = action.get("softwareAgent")
    named = [agent.get("name"), agent.get("version")] if isinstance(agent, Mapping) else [agent]
    source = str(action["digitalSourceType"]).rsplit("/", 1)[-1] if action.get("digitalSourceType") else None
    return Action(
        code=code,
        words=action_words(code),
        when=line_or_none(action.get("when"), 40),
        software=" ".join(filter(None, (line_or_none(part, 100) for part in named))) or None,
        source_type=line_or_none(source, 100),
        source_words=None if source is None else source_words(one_line(source, 100)),
    )


def _source_type(actions: Iterable[Action]) -> str | None:
    """Return the first source type that the actions state."""
    return next((action.source_type for action in actions if action.source_type), None)


def _time_stamp(active: Mapping[str, Any], results: Mapping[str, Any]) -> TimeStamp:
    time = line_or_none(_mapping(active.get("signature_info")).get("time"), 40)
    entries = [_mapping(item) for part in ("success", "informational", "failure") for item in _list(results.get(part))]
    told = {str(item.get("code")): str(item.get("explanation")) for item in entries}
    found = {code for code in told if code.startswith("timeStamp.")}
    if not found and time is None:
        return TimeStamp()
    if "timeStamp.trusted" in found:
        # The SDK calls every time stamp of an old kind of record trusted, without looking for it on a list.
        is_trusted = None if told["timeStamp.trusted"].startswith(_LEGACY) else True
    else:
        is_trusted = False
    named = next((match for code in sorted(found) if (match := _AUTHORITY.fullmatch(told[code]))), None)
    return TimeStamp(
        is_present=True,
        is_trusted=is_trusted,
        time=time,
        authority=line_or_none(named and named.group("name"), 100),
        trust_list=named.group("list") if named is not None and is_trusted else None,
    )


def _stamped_manifest(manifest: Mapping[str, Any], manifests: Mapping[str, Any]) -> str | None:
    """Return the label of the parent to which this manifest adds a time stamp and nothing else; None for any other.

    Such an update manifest (C2PA 2.4, "Update manifests") has one action, opened, of its one ingredient. The parent's
    record must have held when it was stamped: what it says is told as the file's own.
    """
    assertions = {str(item.get("label")): item.get("data") for item in map(_mapping, _list(manifest.get("assertions")))}
    stamps = _mapping(assertions.pop(_TIME_STAMP_LABEL, None))
    parents = [_mapping(item) for item in _list(manifest.get("ingredients"))]
    if not stamps or len(parents) != 1 or [action.code for action in _actions(manifest)] != ["c2pa.opened"]:
        return None
    label = parents[0].get("active_manifest")
    recorded = _mapping(_mapping(parents[0].get("validation_results")).get("activeManifest"))
    is_sound = _TRUSTED in _codes(recorded.get("success")) and not _codes(recorded.get("failure"))
    is_parent = parents[0].get("relationship") == "parentOf" and label in stamps and label in manifests
    return str(label) if is_sound and is_parent and len(assertions) == 1 else None


def _assertion(manifest: Mapping[str, Any], label: str) -> dict[str, Any] | None:
    found = [_mapping(item) for item in _list(manifest.get("assertions")) if _mapping(item).get("label") == label]
    data = found[0].get("data") if found else None
    return data if isinstance(data, dict) else None


def _codes(entries: Any) -> tuple[str, ...]:
    return tuple(one_line(_mapping(entry).get("code"), 100) for entry in _list(entries)[:MAX_CODES])


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
