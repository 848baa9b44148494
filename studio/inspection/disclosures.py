"""Which duties to disclose AI are met by what is really in a file. An aid for people, not legal advice.

EU AI Act (Regulation 2024/1689) Art. 50(2) with its code of practice of 10 June 2026; California SB 942 as amended by
AB 853 (Business and Professions Code 22757).
"""

from __future__ import annotations

from collections.abc import Iterator

from studio.inspection.report import Disclosure, Satisfied, Verification
from studio.provenance.redaction import LEFT_OUT_NOTE

EU = "EU AI Act Art. 50(2)"
EU_CODE = "EU AI Act, code of practice"
EU_VISIBLE = "EU AI Act Art. 50(4)"
CALIFORNIA = "California SB 942 / AB 853"

_AI_SOURCES = {"trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia"}
_NO_RECORD = "the file carries no record that holds; whether the duty applies is not known"
_KEPT_HERE = "not in this file; the record that this library keeps has it"


def disclosures(found: Verification) -> tuple[Disclosure, ...]:
    """Return every duty, and whether this file, as it is, meets it."""
    return (*_european(found), *_californian(found))


def _european(found: Verification) -> Iterator[Disclosure]:
    reading = found.c2pa
    sources = {action.source_type for action in reading.history} & _AI_SOURCES
    yield _duty(EU, "says in a machine-readable way that AI made or changed it", found, bool(sources),
                "digital source type in the signed list of actions",
                "the record states no source type that means generative AI")  # fmt: skip
    yield _duty(EU_CODE, "metadata that are digitally signed (1.1.1)", found, reading.issuer is not None,
                f"C2PA signature by {reading.issuer}", "the record names no signer")  # fmt: skip
    yield _duty(EU_CODE, "metadata that are time-stamped (1.1.1)", found, reading.time_stamp.is_present,
                f"time stamp of {reading.time_stamp.time}", "no time stamp; one needs an authority")  # fmt: skip
    yield _mark(found)
    yield _inputs(found)
    prompt = (reading.generation or {}).get("prompt")
    told = isinstance(prompt, dict) and bool({"prompt", "negative_prompt"} & set(prompt))
    yield _duty(EU_CODE, "private data such as prompts kept apart (1.3)", found, not told,
                "no prompt in the clear", "the prompt stands in the clear; that is the maker's choice")  # fmt: skip
    yield _visible(found, EU_VISIBLE, "visible label, where whoever publishes a deepfake needs one")


def _californian(found: Verification) -> Iterator[Disclosure]:
    reading = found.c2pa
    agent = next((action.software for action in reading.history if action.software), None)
    when = next((action.when for action in reading.history if action.when), None)
    provider = ", ".join(filter(None, (reading.issuer, reading.generator)))
    yield _duty(CALIFORNIA, "latent: name of the provider", found, bool(provider),
                f"signer and generator: {provider}", "neither signer nor generator is named")  # fmt: skip
    yield _duty(CALIFORNIA, "latent: name and version of the system", found, agent is not None,
                f"software agent: {agent}", "no software is named in the list of actions")  # fmt: skip
    yield _duty(CALIFORNIA, "latent: time of creation or alteration", found, when is not None,
                f"action dated {when}", "no action is dated")  # fmt: skip
    mark = f" and watermark {found.watermark.identifier}" if found.watermark.detected else ""
    yield _duty(CALIFORNIA, "latent: unique identifier", found, reading.identifier is not None,
                f"record {reading.identifier}{mark}", "the record has no identifier")  # fmt: skip
    yield Disclosure(
        duty="latent: hard to remove, readable by the provider's tool",
        law=CALIFORNIA,
        satisfied="yes" if found.watermark.detected and found.asset is not None else "unknown",
        where="watermark, and the record that this library keeps"
        if found.watermark.detected
        else "no mark of this studio was found; marks of others cannot be read here",
    )
    yield _visible(found, CALIFORNIA, "manifest: visible disclosure, an option of the user")


def _duty(law: str, duty: str, found: Verification, is_met: bool, where: str, missing: str) -> Disclosure:
    if not found.is_intact:
        kept = found.library is not None and found.library.recovered is not None and found.library.recovered.holds
        return Disclosure(
            duty=duty, law=law, satisfied="no" if kept else "unknown", where=_KEPT_HERE if kept else _NO_RECORD
        )
    satisfied: Satisfied = "yes" if is_met else "no"
    return Disclosure(duty=duty, law=law, satisfied=satisfied, where=where if is_met else missing)


def _mark(found: Verification) -> Disclosure:
    duty = "imperceptible watermark (1.1.2)"
    if found.watermark.detected:
        return Disclosure(duty=duty, law=EU_CODE, satisfied="yes", where=f"watermark {found.watermark.identifier}")
    named = next((a.code for a in found.c2pa.history if a.code.startswith("c2pa.watermarked")), None)
    where = "no mark of this studio was found; marks of others cannot be read here"
    if named is not None:
        where = "the record says that a watermark was added; it cannot be read here"
    return Disclosure(duty=duty, law=EU_CODE, satisfied="unknown", where=where)


def _inputs(found: Verification) -> Disclosure:
    duty, items = "marks found on inputs are kept (1.2)", found.c2pa.ingredients
    if not found.is_intact or not items:
        where = "no file is recorded that went into it" if found.is_intact else _NO_RECORD
        return Disclosure(duty=duty, law=EU_CODE, satisfied="unknown", where=where)
    kept = sum(item.state != "absent" for item in items)
    where = f"{len(items)} recorded as ingredients, {kept} with the records they carried"
    if LEFT_OUT_NOTE in ((found.c2pa.generation or {}).get("warnings") or ()):
        return Disclosure(duty=duty, law=EU_CODE, satisfied="no", where=f"{where}; the studio left records out")
    # Whether a file without a record ever carried one cannot be seen any more.
    return Disclosure(duty=duty, law=EU_CODE, satisfied="yes" if kept else "unknown", where=where)


def _visible(found: Verification, law: str, duty: str) -> Disclosure:
    label = (found.c2pa.generation or {}).get("visible_label")
    is_drawn = bool(label) or any(action.code == "c2pa.addedText" for action in found.c2pa.history)
    return _duty(law, duty, found, is_drawn, "a visible label is recorded", "no visible label is recorded")
