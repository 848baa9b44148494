"""What is known of a mark: as it was put in, and as it was read."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

ALGORITHM = "org.localvideostudio.watermark.2"
FULL_BITS = 64
SHORT_BITS = 24


@dataclass(frozen=True)
class WatermarkRecord:
    """A mark that was read back. algorithm: reverse-DNS name. confidence: in [0, 1]. bits: length of the payload."""

    algorithm: str
    payload: int
    confidence: float
    bits: int = FULL_BITS

    @property
    def identifier(self) -> str:
        """The payload in hex digits, as the library's index knows it."""
        return f"{self.payload:0{self.bits // 4}x}"


@dataclass(frozen=True, kw_only=True)
class WatermarkReading:
    """What a reader found.

    payload: None unless detected. bits: its length. confidence: share of the codeword read rightly, in [0, 1].
    transform: what was done to the picture since, in plain words such as ``mirrored``; None if nothing.
    with_index: True if it was too faint to be read alone, and recognised as one of the known identifiers.
    """

    detected: bool
    payload: int | None
    confidence: float
    bits: int = FULL_BITS
    transform: str | None = None
    with_index: bool = False

    @property
    def identifier(self) -> str | None:
        """The payload in hex digits, as the library's index knows it."""
        return None if self.payload is None else f"{self.payload:0{self.bits // 4}x}"


NOTHING_FOUND = WatermarkReading(detected=False, payload=None, confidence=0.0)


def random_payload(bits: int = FULL_BITS) -> int:
    """Return a fresh identifier of this length; never 0."""
    return secrets.randbelow((1 << bits) - 1) + 1
