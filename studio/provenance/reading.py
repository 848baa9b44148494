"""What was read from a file's Content Credentials: plain data, every text in it safe to show."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from studio.provenance.explain import explain, explain_each

State = Literal["trusted", "valid", "invalid", "absent"]
Place = Literal["embedded", "sidecar"]

INGREDIENT_PREFIX = "ingredient:"


@dataclass(frozen=True, kw_only=True)
class Action:
    """One thing that was done to the file. words: what, for people. when: as the signer wrote it.

    software: what did it. source_type: the last part of the IPTC digital source type. source_words: for people.
    """

    code: str
    words: str
    when: str | None = None
    software: str | None = None
    source_type: str | None = None
    source_words: str | None = None

    def as_json(self) -> dict[str, Any]:
        return dict(vars(self))


@dataclass(frozen=True, kw_only=True)
class TimeStamp:
    """When it was signed, by the word of a time stamp authority.

    is_present: whether the signature carries one. is_trusted: None where its authority could not be judged.
    time: ISO 8601, None where it is not known. authority: its name, from its certificate.
    trust_list: name of the list under which it is trusted.
    """

    is_present: bool = False
    is_trusted: bool | None = None
    time: str | None = None
    authority: str | None = None
    trust_list: str | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "present": self.is_present,
            "trusted": self.is_trusted,
            "time": self.time,
            "authority": self.authority,
            "trust_list": self.trust_list,
        }


@dataclass(frozen=True, kw_only=True)
class IngredientReading:
    """A file that went into another, as the other's signer recorded it, and the files that went into that one.

    codes: what was wrong with it. source_type: how its picture came to be. is_cut: its own ingredients were left out
    here, because they are too many, too deep, or lead back to themselves.
    """

    title: str | None
    mime_type: str | None
    relationship: str | None
    state: State
    codes: tuple[str, ...]
    generator: str | None
    issuer: str | None = None
    source_type: str | None = None
    actions: tuple[Action, ...] = ()
    ingredients: tuple[IngredientReading, ...] = ()
    is_cut: bool = False

    @property
    def problem(self) -> str | None:
        """Say in plain words what is wrong with it, None if nothing is."""
        if self.state == "absent" and not self.codes:
            return "it carried no Content Credentials"
        return explain(self.codes) or ("its record does not hold" if self.codes else None)

    @property
    def history(self) -> tuple[Action, ...]:
        """What was done to it and its own forerunners, if the file it went into is a version of it or holds it."""
        if self.state in ("invalid", "absent") or self.relationship not in ("parentOf", "componentOf"):
            return ()
        return self.actions + tuple(action for item in self.ingredients for action in item.history)

    def broken(self, below: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], IngredientReading]]:
        """Yield every ingredient at any depth whose record does not hold, with the titles that lead to it."""
        way = (*below, self.title or "unnamed")
        if self.state == "invalid":
            yield way, self
        for item in self.ingredients:
            yield from item.broken(way)

    def as_json(self) -> dict[str, Any]:
        return {
            "title": self.title,
            "mime_type": self.mime_type,
            "relationship": self.relationship,
            "state": self.state,
            "codes": list(self.codes),
            "problem": self.problem,
            "generator": self.generator,
            "issuer": self.issuer,
            "source_type": self.source_type,
            "actions": [action.as_json() for action in self.actions],
            "ingredients": [item.as_json() for item in self.ingredients],
            "cut": self.is_cut,
        }


@dataclass(frozen=True, kw_only=True)
class C2paReading:
    """What a file's Content Credentials say and whether they hold.

    state: trusted (intact, signed under one of the given roots), valid (intact, signer unknown), invalid or absent.
    codes: C2PA failure and informational codes; those of ingredients start with ``ingredient:``.
    generator: what claims to have made the file. issuer: who signed, from the certificate.
    manifest: the active manifest as the SDK gives it, not made safe to show.
    generation: our own assertion in it, as it stands; a claim like any other unless trusted.
    problem: why it is not trusted, or which ingredient is not intact, in plain words; None if all is well.
    trust_list: name of the list under which the signer is trusted, None unless the state is trusted.
    place: where the record was found, None without one. failures: the codes that speak against the file itself.
    source_type: how the picture came to be, from the first action that tells, those of its forerunners included.
    """

    state: State
    codes: tuple[str, ...] = ()
    generator: str | None = None
    issuer: str | None = None
    ingredients: tuple[IngredientReading, ...] = ()
    manifest: dict[str, Any] | None = None
    generation: dict[str, Any] | None = None
    problem: str | None = None
    trust_list: str | None = None
    title: str | None = None
    identifier: str | None = None
    source_type: str | None = None
    source_words: str | None = None
    actions: tuple[Action, ...] = ()
    time_stamp: TimeStamp = TimeStamp()
    place: Place | None = None
    failures: tuple[str, ...] = ()

    @property
    def broken_ingredients(self) -> tuple[str, ...]:
        """A sentence part for each file that went into this one, at any depth, and whose record does not hold."""
        found = [pair for item in self.ingredients for pair in item.broken()]
        return tuple(f"{', made from '.join(way)}: {item.problem or 'its record does not hold'}" for way, item in found)

    @property
    def history(self) -> tuple[Action, ...]:
        """The file's own actions, then those of the files that it is or holds a version of, whose records hold."""
        return self.actions + tuple(action for item in self.ingredients for action in item.history)

    def as_json(self) -> dict[str, Any]:
        from studio.provenance.shown import Plain

        return {
            "state": self.state,
            "codes": list(self.codes),
            "findings": [{"code": code, "words": words} for code, words in explain_each(self.codes)],
            "generator": self.generator,
            "issuer": self.issuer,
            "trust_list": self.trust_list,
            "place": self.place,
            "title": self.title,
            "identifier": self.identifier,
            "source_type": self.source_type,
            "source_words": self.source_words,
            "actions": [action.as_json() for action in self.actions],
            "time_stamp": self.time_stamp.as_json(),
            "generation": Plain().data(self.generation),
            "ingredients": [item.as_json() for item in self.ingredients],
        }
