"""An amount of money, as people write it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

MONEY_WORDS = 'an amount and a currency, such as "5 USD" or "2.50 EUR"'
_MONEY = re.compile(r"\s*(\d{1,9}(?:\.\d{1,6})?)\s*([A-Za-z]{3})\s*", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Money:
    """amount: not negative, in units of `currency` (three capital letters, ISO 4217)."""

    amount: float
    currency: str

    @classmethod
    def parse(cls, text: str) -> Money:
        """Read what people write. Raises ValueError."""
        found = _MONEY.fullmatch(text)
        if found is None:
            raise ValueError(f"not a sum of money; allowed: {MONEY_WORDS}")
        return cls(amount=float(found[1]), currency=found[2].upper())

    @classmethod
    def from_json(cls, data: Mapping[str, Any] | None) -> Money | None:
        """Return what a job's row says, None where it says nothing."""
        if data is None or data.get("amount") is None or data.get("currency") is None:
            return None
        return cls(amount=float(data["amount"]), currency=str(data["currency"]).upper())

    def as_json(self) -> dict[str, Any]:
        """Return the parts as a JSON object."""
        return {"amount": self.amount, "currency": self.currency}

    def rounded(self) -> Money:
        """Return it in whole cents, unless it is so little that they would hide it."""
        return replace(self, amount=round(self.amount, 2)) if self.amount >= 0.1 else self

    def __str__(self) -> str:
        digits = 2 if round(self.amount, 2) == round(self.amount, 6) else 4
        return f"{self.amount:.{digits}f} {self.currency}"
