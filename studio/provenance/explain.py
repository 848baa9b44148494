"""C2PA's validation codes, actions and source types in plain words."""

from __future__ import annotations

from collections.abc import Sequence

_CONTENT_CHANGED = "the picture or sound data was changed after signing"
_RECORD_CHANGED = "the record attached to the file was changed after signing"

# First match wins: what is most telling stands first. A key ending in a dot covers every code that starts with it.
_WORDS: tuple[tuple[str, str], ...] = (
    ("assertion.bmffHash.mismatch", _CONTENT_CHANGED),
    ("assertion.dataHash.mismatch", _CONTENT_CHANGED),
    ("assertion.boxesHash.mismatch", _CONTENT_CHANGED),
    ("assertion.collectionHash.mismatch", _CONTENT_CHANGED),
    ("assertion.bmffHash.malformed", "the record of the file's content is damaged"),
    ("assertion.dataHash.malformed", "the record of the file's content is damaged"),
    ("assertion.hashedURI.mismatch", _RECORD_CHANGED),
    ("hashedURI.mismatch", _RECORD_CHANGED),
    (
        "claimSignature.mismatch",
        "the signature does not fit: the record was changed or signed with a wrong key",
    ),
    ("claimSignature.missing", "the record carries no signature"),
    ("claimSignature.outsideValidity", "it was signed outside the life of the signer's certificate"),
    ("signingCredential.expired", "the signer's certificate has expired and no trusted time says it was signed before"),
    ("signingCredential.revoked", "the signer's certificate was revoked"),
    ("signingCredential.ocsp.revoked", "the signer's certificate was revoked"),
    ("signingCredential.invalid", "the signer's certificate is not fit for signing media"),
    ("signingCredential.untrusted", "intact, but the signer is not one this studio knows"),
    ("assertion.missing", "a part of the record is missing"),
    ("assertion.undeclared", "the record holds a part that was never signed"),
    ("assertion.action.", "the record's list of actions contradicts itself"),
    ("claim.hardBindings.missing", "the record is not bound to the file's content"),
    ("claim.multiple", "the record holds more than one claim"),
    ("claim.missing", "the record holds no claim"),
    ("claim.", "the record is damaged"),
    ("ingredient.", "the record of a file that went into this one is missing or damaged"),
    ("timeStamp.", "the signature's time stamp cannot be relied on"),
    ("algorithm.unsupported", "it was signed with an algorithm that is not accepted"),
    ("manifest.inaccessible", "its Content Credentials are kept on a server, and the studio does not go there"),
    ("manifest.", "the record is damaged or cannot be found"),
    ("general.error", "the record cannot be read"),
    ("org.localvideostudio.unboundBoxes.mismatch", "the file's header or padding was changed after signing"),
    ("org.localvideostudio.padding.mismatch", "something was hidden in the padding of the signature"),
    ("org.localvideostudio.record.layout", "something was changed between the signed parts of the record"),
    ("org.localvideostudio.fileHash.mismatch", "the file differs from the one this library sealed"),
    ("org.localvideostudio.reading.gaveUp", "it is built to keep its reader busy, so reading it was given up"),
)

# Codes that say nothing bad, and would otherwise fall under a broader pattern above.
_INFORMATION: tuple[tuple[str, str], ...] = (
    ("signingCredential.ocsp.skipped", "whether the certificate was revoked was not asked: nothing here goes online"),
    ("assertion.bmffHash.additionalExclusionsPresent", "the signature leaves out some boxes that hold no picture"),
    ("assertion.dataHash.additionalExclusionsPresent", "the signature leaves out some parts of the file"),
    ("timeStamp.untrusted", "the time stamp is from an authority that this studio does not know"),
    ("ingredient.provenanceUnknown", "a file that went into this one carried no record"),
)

_ACTIONS = {
    "c2pa.created": "created",
    "c2pa.opened": "opened an existing file",
    "c2pa.placed": "put another file into it",
    "c2pa.edited": "edited",
    "c2pa.edited.metadata": "changed its description",
    "c2pa.trimmed": "cut shorter",
    "c2pa.cropped": "cropped",
    "c2pa.resized": "scaled",
    "c2pa.resized.proportional": "scaled, sides in proportion",
    "c2pa.orientation": "turned or mirrored",
    "c2pa.color_adjustments": "changed its colours",
    "c2pa.drawing": "drew on it",
    "c2pa.filtered": "applied a filter",
    "c2pa.enhanced": "enhanced without changing what it shows",
    "c2pa.dubbed": "replaced its speech",
    "c2pa.addedText": "added a visible text or label",
    "c2pa.transcoded": "encoded anew",
    "c2pa.converted": "converted to another format",
    "c2pa.repackaged": "put into another container",
    "c2pa.published": "published",
    "c2pa.removed": "took something out of it",
    "c2pa.redacted": "took a part out of an older record",
    "c2pa.translated": "translated",
    "c2pa.watermarked": "added an invisible watermark",
    "c2pa.watermarked.bound": "added an invisible watermark that names this record",
    "c2pa.watermarked.unbound": "added an invisible watermark",
    "c2pa.unknown": "did something that is not told",
}

_SOURCE_TYPES = {
    "trainedAlgorithmicMedia": "made by a generative AI model",
    "compositeWithTrainedAlgorithmicMedia": "partly made by a generative AI model",
    "compositeSynthetic": "composed of parts of which some are synthetic",
    "algorithmicMedia": "made by a computer program that was not trained",
    "algorithmicallyEnhanced": "enhanced by a computer program",
    "digitalCapture": "recorded by a camera",
    "computationalCapture": "recorded by a camera that computes its picture",
    "negativeFilm": "scanned from film",
    "positiveFilm": "scanned from film",
    "print": "scanned from a print",
    "humanEdits": "edited by a person",
    "compositeCapture": "composed of several recordings",
    "screenCapture": "recorded from a screen",
    "virtualRecording": "recorded from a virtual scene",
    "digitalCreation": "made by a person with digital tools",
    "digitalArt": "made by a person with digital tools",
    "dataDrivenMedia": "made from data",
    "composite": "composed of several parts",
    "empty": "an empty canvas",
}


def explain(codes: Sequence[str]) -> str | None:
    """Return one plain sentence part for the most telling of these codes, or None if none says anything is wrong."""
    return next((words for pattern, words in _WORDS if any(_fits(pattern, code) for code in codes)), None)


def explain_each(codes: Sequence[str]) -> list[tuple[str, str]]:
    """Return every code with words of its own, those that only inform included."""
    return [(code, _words_for(code)) for code in codes]


def action_words(code: str) -> str:
    """Return what an action did, in plain words; an unknown one is named as it is."""
    return _ACTIONS.get(code, code.removeprefix("c2pa.").replace(".", ", ").replace("_", " "))


def source_words(source_type: str) -> str:
    """Return how a picture came to be. source_type: the last part of an IPTC digital source type."""
    return _SOURCE_TYPES.get(source_type, source_type)


def _words_for(code: str) -> str:
    bare = code.removeprefix("ingredient:")
    about = "of a file that went into this one: " if bare != code else ""
    for pattern, words in (*_INFORMATION, *_WORDS):
        if _fits(pattern, bare):
            return about + words
    return about + "a code the studio has no words for"


def _fits(pattern: str, code: str) -> bool:
    return code == pattern or (pattern.endswith(".") and code.startswith(pattern))
