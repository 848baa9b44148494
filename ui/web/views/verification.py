"""What is shown of a verification: what may be trusted first, then everything that was found out, made safe to show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from studio.errors import StudioError
from studio.inspection import Verification
from studio.provenance.explain import explain, explain_each
from studio.provenance.reading import C2paReading, IngredientReading
from studio.provenance.shown import one_line
from studio.provenance.trust import OWN_LIST
from studio.recipe import recipe_of
from ui.api.problems import without_home
from ui.web.words import say, words

_TONES = {"intact": "good", "altered": "bad", "recovered": "warn", "unknown": "quiet"}
_STATE_TONES = {"trusted": "good", "valid": "warn", "invalid": "bad", "absent": "quiet"}
_TRAINING = ("cawg.training-mining", "c2pa.training-mining")
# Codes that neither say something bad nor something good.
_INFORMS = (
    "signingCredential.ocsp.skipped",
    "signingCredential.untrusted",
    "timeStamp.untrusted",
    "ingredient.provenanceUnknown",
)
_MAX_TREE = 300


def seal_view(found: Verification) -> dict[str, Any]:
    """Return in short whether the seal of a file holds, for a badge and what it opens."""
    reading = found.c2pa
    is_own = reading.state == "trusted" and reading.trust_list == OWN_LIST
    word = "trusted_other" if reading.state == "trusted" and not is_own else reading.state
    return {
        "state": reading.state,
        "is_own": is_own,
        "tone": "warn" if reading.state == "absent" else _STATE_TONES[reading.state],
        "text": say(f"clip.seal.{word}", issuer=reading.issuer or say("inspect.unnamed")),
        "sentence": found.conclusion.sentence,
        "reason": found.reason,
        "issuer": reading.issuer,
        "trust_list": reading.trust_list,
        "time": reading.time_stamp.time,
        "watermark": {"detected": found.watermark.detected, "payload": found.watermark.identifier},
    }


def verification_view(found: Verification, home: Path, *, name: str) -> dict[str, Any]:
    """Return everything that the tab Inspect shows of a file. name: of the file, as somebody called it.

    home: its path is told to nobody. Every text in it comes from a stranger and is to be shown as text.
    """
    data = found.as_json()
    data.pop("path")
    report = without_home(data, home)
    word = found.conclusion.word
    return {
        "name": one_line(name),
        "word": word,
        "word_text": say(f"inspect.word.{word}"),
        "tone": _TONES[word],
        "sentence": found.conclusion.sentence,
        "means": say(f"inspect.means.{word}"),
        "not_means": say(f"inspect.not_means.{word}"),
        "reason": found.reason,
        "record": _record(found.c2pa),
        "tree": manifest_tree(found.c2pa, one_line(name)),
        "watermark": _watermark(found),
        "library": _library(found),
        "has_recipe": has_recipe(found),
        "media": report["media"],
        "problem": _problem(found),
        "checklist": [item | {"tone": _item_tone(item["result"])} for item in report["checklist"]],
        "disclosures": _by_law(report["disclosures"]),
        "report": report,
    }


def manifest_tree(reading: C2paReading, name: str) -> dict[str, Any] | None:
    """Return the record and the records of everything that went into the file, as one tree; None without a record."""
    if reading.state == "absent" and not reading.ingredients:
        return None
    budget = iter(range(_MAX_TREE))
    return {
        "title": reading.title or name,
        "state": reading.state,
        "state_text": say(f"inspect.state.{reading.state}"),
        "tone": _STATE_TONES[reading.state],
        "relationship": None,
        "generator": reading.generator,
        "issuer": reading.issuer,
        "problem": reading.problem,
        "source_words": reading.source_words,
        "actions": [action.as_json() for action in reading.actions],
        "codes": [*_what_holds(reading), *findings(reading.codes, reading.failures)],
        "is_cut": False,
        "children": list(_branches(reading.ingredients, budget)),
    }


def _what_holds(reading: C2paReading) -> list[dict[str, str]]:
    """Return what a record that holds stands for; the codes that say so are not kept apart by the reading."""
    if reading.state not in ("trusted", "valid"):
        return []
    names = ["signature", "content", *(["signer"] if reading.state == "trusted" else [])]
    return [{"code": "", "words": say(f"inspect.holds.{name}"), "kind": "success"} for name in names]


def findings(codes: tuple[str, ...], failures: tuple[str, ...] = ()) -> list[dict[str, str]]:
    """Return validation codes in plain words. failures: those that speak against the file itself."""
    return [{"code": code, "words": plain, "kind": _kind(code, failures)} for code, plain in explain_each(codes)]


def training_entries(manifest: Mapping[str, Any] | None) -> list[dict[str, str]]:
    """Return what a record says about the use of the file for training and mining, entry by entry."""
    found: list[dict[str, str]] = []
    for assertion in (manifest or {}).get("assertions") or ():
        if not isinstance(assertion, Mapping) or not str(assertion.get("label", "")).startswith(_TRAINING):
            continue
        data = assertion.get("data")
        entries = data.get("entries") if isinstance(data, Mapping) else None
        for entry, told in list(entries.items())[:20] if isinstance(entries, Mapping) else ():
            use = one_line(told.get("use")) if isinstance(told, Mapping) else ""
            name = one_line(entry).rpartition(".")[2]
            found.append(
                {
                    "name": words().get(f"inspect.training.{name}", name.replace("_", " ")),
                    "use": words().get(f"clip.training.{use}", use or say("inspect.unknown")),
                }
            )
    return found


def has_recipe(found: Verification) -> bool:
    """Say whether how the file was made is known here: from its record, if that holds, or from this library."""
    try:
        recipe_of(found.c2pa, found.asset)
    except StudioError:
        return False
    return True


def _branches(items: tuple[IngredientReading, ...], budget: Iterator[int]) -> Iterator[dict[str, Any]]:
    for item in items:
        if next(budget, None) is None:
            return
        yield {
            "title": item.title or say("inspect.unnamed"),
            "state": item.state,
            "state_text": say(f"inspect.state.{item.state}"),
            "tone": _STATE_TONES[item.state],
            "relationship": words().get(f"inspect.relationship.{item.relationship}", one_line(item.relationship)),
            "generator": item.generator,
            "issuer": item.issuer,
            "problem": item.problem,
            "source_words": words().get(f"inspect.source.{item.source_type}", item.source_type),
            "actions": [action.as_json() for action in item.actions],
            "codes": findings(item.codes, item.codes if item.state == "invalid" else ()),
            "is_cut": item.is_cut,
            "children": list(_branches(item.ingredients, budget)),
        }


def _problem(found: Verification) -> str | None:
    """Say in plain words why little can be known of a file that is no sound media file; None where it is one."""
    facts = found.media
    if facts is None or facts.problem is None:
        return None
    return say("inspect.problem.damaged" if facts.container else "inspect.problem.not_media", reason=facts.problem)


def _record(reading: C2paReading) -> dict[str, Any] | None:
    if reading.state == "absent":
        return None
    stamp = reading.time_stamp
    trusted = {True: "trusted", False: "untrusted", None: "unjudged"}[stamp.is_trusted]
    return {
        "state": reading.state,
        "state_text": say(f"inspect.state.{reading.state}"),
        "tone": _STATE_TONES[reading.state],
        "generator": reading.generator,
        "issuer": reading.issuer,
        "trust_list": reading.trust_list,
        "place_text": say(f"inspect.place.{reading.place or 'embedded'}"),
        "identifier": reading.identifier,
        "source_words": reading.source_words,
        "time": stamp.time,
        "time_text": say(f"inspect.time.{trusted}" if stamp.is_present else "inspect.time.none"),
        "authority": stamp.authority,
        "training": training_entries(reading.manifest),
    }


def _watermark(found: Verification) -> dict[str, Any]:
    mark = found.watermark
    if mark.detected:
        word = "of_library" if found.library is not None and "watermark" in found.library.by else "found"
    else:
        word = "searched" if found.was_searched else "none"
    return {
        "detected": mark.detected,
        "text": say(f"inspect.mark.{word}"),
        "payload": mark.identifier,
        "bits": mark.bits if mark.detected else None,
        "confidence": mark.confidence if mark.detected else None,
        "transform": None if mark.transform is None else one_line(mark.transform),
        "with_index": mark.with_index,
    }


def _library(found: Verification) -> dict[str, Any] | None:
    match = found.library
    if match is None:
        return None
    recovered = match.recovered
    kept = None
    if recovered is not None:
        word = "holds" if recovered.holds and recovered.names_the_mark is not False else "does_not_hold"
        kept = {
            "text": say(f"inspect.recovered.{word}"),
            "tree": _kept(recovered.reading, match.asset.id) if recovered.holds else None,
        }
    return {
        "asset": match.asset.id,
        "is_same_file": match.is_same_file,
        "text": say("inspect.library.same" if match.is_same_file else "inspect.library.derived"),
        "by": [say(f"inspect.by.{way.replace(' ', '_')}") for way in match.by],
        "recovered": kept,
    }


def _kept(reading: C2paReading, name: str) -> dict[str, Any] | None:
    """Return the tree of a record whose own state says nothing, as its file is not at hand."""
    tree = manifest_tree(reading, name)
    about: dict[str, Any] = {
        "state": "kept",
        "state_text": say("inspect.state.kept"),
        "tone": "quiet",
        "problem": None,
        "codes": [],
    }
    return None if tree is None else tree | about


def _by_law(items: list[dict[str, str]]) -> list[dict[str, Any]]:
    laws: dict[str, list[dict[str, str]]] = {}
    for item in items:
        shown = item | {"tone": {"yes": "good", "no": "warn"}.get(item["satisfied"], "quiet")}
        laws.setdefault(item["law"], []).append(shown | {"satisfied_text": say(f"inspect.duty.{item['satisfied']}")})
    return [{"law": law, "duties": duties} for law, duties in laws.items()]


def _kind(code: str, failures: tuple[str, ...]) -> str:
    bare = code.removeprefix("ingredient:")
    if bare in _INFORMS or bare.endswith(("additionalExclusionsPresent", ".skipped")):
        return "informational"
    return "failure" if code in failures or explain((bare,)) is not None else "informational"


def _item_tone(result: str) -> str:
    return {"ok": "good", "notice": "warn"}.get(result, "quiet")
