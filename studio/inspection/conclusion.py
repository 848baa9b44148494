"""What all findings come to: one word of four, and one sentence."""

from __future__ import annotations

from studio.inspection.report import Conclusion, LibraryMatch
from studio.provenance.reading import C2paReading
from studio.provenance.trust import OWN_LIST

# Codes that say the signer may not be relied on any more, and nothing about the file.
_ABOUT_THE_SIGNER = ("signingCredential.", "timeStamp.", "algorithm.", "claimSignature.outsideValidity")
SILENCE = "That says nothing about how it was made: absence of a record never means that no AI was used"


def conclude(reading: C2paReading, library: LibraryMatch | None) -> Conclusion:
    """Return the conclusion. Only a record that holds makes a file intact; a mark alone never does."""
    if reading.state in ("trusted", "valid"):
        return Conclusion(word="intact", sentence=_intact(reading, library))
    if reading.state == "invalid":
        return _invalid(reading, library)
    if library is not None:
        return Conclusion(word="recovered", sentence=_recovered(library))
    problem = reading.problem or "the file carries no Content Credentials"
    return Conclusion(word="unknown", sentence=f"{_capital(problem)}. {SILENCE}.")


def reason(reading: C2paReading, library: LibraryMatch | None) -> str | None:
    """Say in one sentence part why a file may not be trusted as it is; None when it may."""
    if reading.state == "trusted":
        return reading.problem
    if reading.state == "valid":
        if library is not None and not library.is_same_file:
            return (
                f"signed by somebody this studio does not know, although its mark is that of asset {library.asset.id}"
            )
        return reading.problem or "intact, but the signer is not one this studio knows"
    words = reading.problem or ("it carries no Content Credentials" if reading.state == "absent" else "it was changed")
    return words if library is None else f"{words}; {_came_from(library)}"


def _intact(reading: C2paReading, library: LibraryMatch | None) -> str:
    who = reading.issuer or "an unnamed signer"
    if reading.state == "valid":
        signer = f"by {who}, whom this studio does not know"
    elif reading.trust_list == OWN_LIST:
        signer = "by this studio"
    elif reading.trust_list is None:
        signer = f"by {who}, whose certificate is trusted here by itself"
    else:
        signer = f"by {who}, who is on the {reading.trust_list}"
    sentence = f"The file is as it was when it was signed {signer}."
    if library is not None and reading.state == "valid" and not library.is_same_file:
        sentence += f" Its invisible mark is that of asset {library.asset.id} of this library."
    if broken := reading.broken_ingredients:
        sentence += f" A file that went into it is not as its record says: {broken[0]}."
    return sentence


def _invalid(reading: C2paReading, library: LibraryMatch | None) -> Conclusion:
    problem = reading.problem or "the record attached to the file does not hold"
    origin = f" {_capital(_came_from(library))}." if library is not None else ""
    if reading.failures and all(code.startswith(_ABOUT_THE_SIGNER) for code in reading.failures):
        sentence = f"The record fits the file, but it proves nothing: {problem}.{origin}"
        return Conclusion(word="unknown", sentence=sentence)
    return Conclusion(word="altered", sentence=f"The file or its record is not as it was signed: {problem}.{origin}")


def _recovered(library: LibraryMatch) -> str:
    asset = library.asset.id
    if library.is_same_file:
        return (
            f"The file carries no record; byte for byte it is asset {asset} of this library, whose record is kept here."
        )
    sentence = f"The file carries no record; its invisible mark says it came from asset {asset} of this library."
    stored = library.recovered
    if stored is not None and stored.holds and stored.names_the_mark:
        return f"{sentence} What was changed since cannot be told."
    return f"{sentence} The record kept here does not confirm it."


def _came_from(library: LibraryMatch) -> str:
    if library.is_same_file:
        return f"byte for byte it is asset {library.asset.id} of this library"
    return f"its invisible mark says it came from asset {library.asset.id} of this library"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
