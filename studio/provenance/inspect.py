"""Reading the C2PA record of any file from anywhere, without trusting or asking anybody."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from studio.media.files import HEAD_BYTES, sniff_head
from studio.provenance.explain import explain
from studio.provenance.manifest import GENERATION_LABEL
from studio.provenance.trust import offline_settings

State = Literal["trusted", "valid", "invalid", "absent"]

_UNTRUSTED = "signingCredential.untrusted"
_ELSEWHERE = "manifest.inaccessible"
_TRUSTED = "signingCredential.trusted"
_STATES: dict[str, State] = {"Trusted": "trusted", "Valid": "valid", "Invalid": "invalid"}
# The SDK reads pictures and sound whole; a hostile one of many gigabytes would take all memory.
MAX_OTHER_BYTES = 2**29
INGREDIENT_PREFIX = "ingredient:"


@dataclass(frozen=True, kw_only=True)
class IngredientReading:
    """A file that went into another, as the other's signer recorded it. codes: what was wrong with it."""

    title: str | None
    mime_type: str | None
    relationship: str | None
    state: State
    codes: tuple[str, ...]
    generator: str | None

    @property
    def problem(self) -> str | None:
        """Say in plain words what is wrong with it, None if nothing is."""
        if self.state == "absent" and not self.codes:
            return "it carried no Content Credentials"
        return explain(self.codes) or ("its record does not hold" if self.codes else None)


@dataclass(frozen=True, kw_only=True)
class C2paReading:
    """What a file's Content Credentials say and whether they hold.

    state: trusted (intact, signed under one of the given roots), valid (intact, signer unknown), invalid or absent.
    codes: C2PA failure and informational codes; those of ingredients start with ``ingredient:``.
    generator: what claims to have made the file. issuer: who signed, from the certificate.
    manifest: the active manifest. generation: our own assertion in it; a claim like any other unless trusted.
    problem: why it is not trusted, or which ingredient is not intact, in plain words; None if all is well.
    """

    state: State
    codes: tuple[str, ...] = ()
    generator: str | None = None
    issuer: str | None = None
    ingredients: tuple[IngredientReading, ...] = ()
    manifest: dict[str, Any] | None = None
    generation: dict[str, Any] | None = None
    problem: str | None = None


def read_c2pa(path: Path, *, mime_type: str | None = None, anchors_pem: bytes = b"") -> C2paReading:
    """Read and validate the Content Credentials of `path`. Never raises for what is in the file, never goes online.

    mime_type: used only where the content does not tell.
    anchors_pem: the roots whose signers are trusted.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return _absent("this is not a file")
        if path.stat().st_size == 0:
            return _absent("the file is empty")
        found = _mime_type_of(path) or mime_type
    except (OSError, ValueError) as error:
        return _absent(f"the file cannot be read ({getattr(error, 'strerror', None) or error})")
    if found is None:
        return _absent("this is not a kind of file that can carry Content Credentials")
    if not found.startswith("video/") and path.stat().st_size > MAX_OTHER_BYTES:
        return _absent(f"larger than any honest file of its kind ({path.stat().st_size / 2**20:.0f} MiB)")
    return _read(path, found, anchors_pem)


def _mime_type_of(path: Path) -> str | None:
    with path.open("rb") as file:
        return sniff_head(file.read(HEAD_BYTES))


def _read(path: Path, mime_type: str, anchors_pem: bytes) -> C2paReading:
    from c2pa import Context, Reader, Settings

    try:
        with (
            Settings.from_dict(offline_settings(anchors_pem)) as settings,
            Context(settings) as context,
            path.open("rb") as file,
            Reader(mime_type, file, context=context) as reader,
        ):
            state = _STATES.get(str(reader.get_validation_state()), "invalid")
            return _interpret(state, json.loads(reader.json()))
    except Exception as error:  # a stranger's file may provoke anything; each means there is no usable record
        return _failed(error, mime_type)


def _failed(error: Exception, mime_type: str) -> C2paReading:
    """Turn the library's exception into a reading: no record, a record elsewhere, or one that is broken."""
    kind, text = type(error).__name__.lstrip("_").removeprefix("C2pa"), str(error)
    if kind == "ManifestNotFound":
        return _absent("the file carries no Content Credentials")
    if kind == "RemoteManifest" or "remote manifest" in text:
        return _absent("its Content Credentials are kept on a server, and the studio does not go there")
    if kind == "NotSupported" or "type is unsupported" in text:
        return _absent(f"files of type {mime_type} cannot carry Content Credentials")
    if "could not be parsed" in text or kind == "Io":
        return _absent("the file is damaged or not what it seems, so no Content Credentials could be read")
    return C2paReading(
        state="invalid", codes=("general.error",), problem="its Content Credentials are damaged and cannot be read"
    )


def _interpret(state: State, store: Mapping[str, Any]) -> C2paReading:
    manifests: Mapping[str, Any] = store.get("manifests") or {}
    active: dict[str, Any] = manifests.get(str(store.get("active_manifest")), {})
    results: Mapping[str, Any] = store.get("validation_results") or {}
    own = results.get("activeManifest") or {}
    failures, information = _codes(own.get("failure")), _codes(own.get("informational"))
    ingredients = _ingredients(active, manifests, results.get("ingredientDeltas") or ())
    theirs = [INGREDIENT_PREFIX + code for item in ingredients for code in item.codes]
    return C2paReading(
        state=state,
        codes=tuple(dict.fromkeys([*failures, *information, *theirs])),
        generator=_generator(active),
        issuer=(active.get("signature_info") or {}).get("issuer"),
        ingredients=ingredients,
        manifest=active or None,
        generation=_assertion(active, GENERATION_LABEL),
        problem=_problem(state, failures, ingredients),
    )


def _problem(state: State, failures: Iterable[str], ingredients: Iterable[IngredientReading]) -> str | None:
    if state != "trusted":
        return explain(tuple(failures)) or "the record does not hold, for a reason the studio has no words for"
    broken = next((item for item in ingredients if item.state == "invalid"), None)
    return f"the file itself is intact, but not its ingredient {broken.title}: {broken.problem}" if broken else None


def _ingredients(
    active: Mapping[str, Any], manifests: Mapping[str, Any], deltas: Iterable[Mapping[str, Any]]
) -> tuple[IngredientReading, ...]:
    later = {str(delta.get("ingredientAssertionURI", "")).rsplit("/", 1)[-1]: delta for delta in deltas}
    readings = []
    for item in active.get("ingredients") or ():
        recorded = (item.get("validation_results") or {}).get("activeManifest") or {}
        delta = (later.get(item.get("label", "")) or {}).get("validationDeltas") or {}
        codes = tuple(dict.fromkeys([*_codes(recorded.get("failure")), *_codes(delta.get("failure"))]))
        readings.append(
            IngredientReading(
                title=item.get("title"),
                mime_type=item.get("format"),
                relationship=item.get("relationship"),
                state=_ingredient_state(item, codes, _codes(recorded.get("success"))),
                codes=codes,
                generator=_generator(manifests.get(str(item.get("active_manifest")), {})),
            )
        )
    return tuple(readings)


def _ingredient_state(item: Mapping[str, Any], failures: tuple[str, ...], successes: tuple[str, ...]) -> State:
    if not item.get("active_manifest") and not set(failures) - {_ELSEWHERE}:
        return "absent"
    if set(failures) - {_UNTRUSTED}:
        return "invalid"
    return "trusted" if _TRUSTED in successes and not failures else "valid"


def _generator(manifest: Mapping[str, Any]) -> str | None:
    first = next(iter(manifest.get("claim_generator_info") or ()), None)
    if first is None:
        return manifest.get("claim_generator")
    return " ".join(str(first[part]) for part in ("name", "version") if first.get(part)) or None


def _assertion(manifest: Mapping[str, Any], label: str) -> dict[str, Any] | None:
    found = next((item for item in manifest.get("assertions") or () if item.get("label") == label), None)
    data = found.get("data") if found else None
    return data if isinstance(data, dict) else None


def _codes(entries: Iterable[Mapping[str, Any]] | None) -> tuple[str, ...]:
    return tuple(str(entry.get("code")) for entry in entries or ())


def _absent(problem: str) -> C2paReading:
    return C2paReading(state="absent", problem=problem)
