"""What the user should know about a request, gathered while it is resolved, with what was left out of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from studio.errors import UnsupportedValue


@dataclass
class Remarks:
    """texts: one clause each, beginning with the field. is_dropping: what the model lacks is left out and remarked."""

    is_dropping: bool = False
    texts: list[str] = field(default_factory=list)

    def add(self, text: str) -> None:
        """Remember a remark."""
        self.texts.append(text)

    def lacking(self, error: UnsupportedValue, *, is_private: bool = False) -> None:
        """Refuse what the model lacks by raising `error`, or remark that it is left out.

        is_private: the remark, which goes into the clip's record, does not repeat what was asked for.
        """
        if not self.is_dropping:
            raise error
        self.add(f"{error.field}: {error.message}; {'it' if is_private else error.got} was left out")
