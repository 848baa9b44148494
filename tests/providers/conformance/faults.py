"""What a test makes go wrong at the server."""

from __future__ import annotations

from dataclasses import dataclass

CREATE_FAULTS = (
    "400",
    "401",
    "402",
    "404",
    "429",
    "429 retry-after",
    "500",
    "502 html",
    "503",
    "reset before",
    "reset after",
    "truncated",
    "cut",
    "silence",
)
"""``reset before``: the line is reset before the order is looked at; ``reset after``: when the job exists.
``truncated``: a whole answer with half of its JSON. ``cut``: the line ends before the answer does.
``silence``: the job exists, and nothing is ever answered."""

POLL_FAULTS = ("429", "429 retry-after", "500", "503", "reset", "truncated", "cut", "404")

RESULT_FAULTS = (
    "gone",
    "short",
    "long",
    "empty",
    "partial",
    "html",
    "html as mp4",
    "zip",
    "huge",
    "gzip",
    "500",
    "reset",
    "drip",
    "redirect metadata",
    "redirect loopback",
    "redirect file",
    "redirect loop",
)
"""``gone``: 403, as presigned addresses answer when they have run out. ``short``: the line ends before the clip does.
``long``: the body goes on where the declared length ends. ``partial``: 206 with a part. ``huge``: says ten gigabytes.
``gzip``: a packed bomb. ``drip``: whole, but in slow chunks without a length."""


@dataclass(frozen=True, kw_only=True)
class Faults:
    """What goes wrong, in the words above; nothing by default.

    create: of every order. polls, results, cancels: one word for each of the first requests of that kind, an empty
    word for one that goes well; cancels takes the words of polls and ``409``.
    always: whether the last words of polls and results go on for ever.
    invented: a word put among the documented ones. ending: how jobs end, ``done``, ``failed`` or ``moderated``.
    hasty: jobs are over after the first answer about them, so that whoever cancels then is too late.
    brief: jobs go to their last word but one at once, for demonstrations.
    """

    create: str = ""
    polls: tuple[str, ...] = ()
    results: tuple[str, ...] = ()
    cancels: tuple[str, ...] = ()
    always: bool = False
    invented: str = ""
    ending: str = "done"
    hasty: bool = False
    brief: bool = False

    def of(self, does: str, number: int) -> str:
        """Return what goes wrong with the request of a kind with this number, counted from 0."""
        if does == "create":
            return self.create
        words = {"poll": self.polls, "result": self.results, "cancel": self.cancels}.get(does, ())
        if number < len(words):
            return words[number]
        return words[-1] if self.always and words and does != "cancel" else ""
