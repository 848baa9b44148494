"""The watermark's code: payload bits, a checksum, and enough redundancy to survive a lossy codec."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from studio.provenance.watermark.reading import FULL_BITS, SHORT_BITS

# The rate-1/4 code of constraint length 15 that the Galileo probe carried (Dolinar, TDA Progress Report 42-95, 1988).
_MEMORY = 14
_GENERATORS = (0o46321, 0o51271, 0o63667, 0o70535)
_RATE = len(_GENERATORS)


@dataclass(frozen=True)
class Code:
    """One length of payload. payload_bits, check_bits: whole bytes."""

    payload_bits: int
    check_bits: int

    @property
    def message_bits(self) -> int:
        return self.payload_bits + self.check_bits

    @property
    def coded_bits(self) -> int:
        return _RATE * (self.message_bits + _MEMORY)

    def encode(self, payload: int) -> NDArray[np.float32]:
        """Return the codeword of a payload. -> (coded_bits,) of -1.0 and 1.0. payload: 0 .. 2**payload_bits - 1."""
        if not 0 <= payload < 1 << self.payload_bits:
            raise ValueError(f"payload: expected 0 .. 2**{self.payload_bits} - 1, got {payload}")
        return np.asarray(self.encode_all([payload])[0], np.float32)

    def encode_all(self, payloads: Sequence[int]) -> NDArray[np.float32]:
        """Return the codewords of many payloads at once. -> (n, coded_bits)."""
        size = self.payload_bits // 8
        data = b"".join(self._with_check(payload.to_bytes(size, "big")) for payload in payloads)
        messages = np.unpackbits(np.frombuffer(data, np.uint8)).reshape(len(payloads), self.message_bits)
        parities = (messages.astype(np.float32) @ _generator_matrix(self.message_bits)) % 2
        return np.asarray(2 * parities - 1, np.float32)

    def decode(self, soft: NDArray[np.floating]) -> int | None:
        """Return the payload of a received codeword, or None if its checksum is wrong.

        soft: (coded_bits,) any scale; the sign is the bit, the size how sure it is.
        A codeword of pure noise is accepted with probability 2**-check_bits.
        """
        message = np.packbits(_most_likely(soft)[: self.message_bits]).tobytes()
        data = message[: self.payload_bits // 8]
        return int.from_bytes(data, "big") if message == self._with_check(data) else None

    def _with_check(self, data: bytes) -> bytes:
        return data + zlib.crc32(data).to_bytes(4, "big")[: self.check_bits // 8]


FULL = Code(FULL_BITS, 32)
# For pictures too small for the long one. So short an identifier means something only if the library knows it.
SHORT = Code(SHORT_BITS, 24)
CODES = (FULL, SHORT)


@cache
def _generator_matrix(message_bits: int) -> NDArray[np.float32]:
    """Return the code as a matrix over {0, 1}. -> (message_bits, coded_bits)."""
    taps = np.array(
        [[(generator >> (_MEMORY - delay)) & 1 for generator in _GENERATORS] for delay in range(_MEMORY + 1)]
    )
    matrix = np.zeros((message_bits, message_bits + _MEMORY, _RATE), np.float32)
    for bit in range(message_bits):
        matrix[bit, bit : bit + _MEMORY + 1] = taps
    return matrix.reshape(message_bits, -1)


@cache
def _sent() -> NDArray[np.intp]:
    """Return the four bits that are sent on the way from state 2 * i to state i, as a number. -> (2**13,)

    A state holds the last bits, the newest on top: states 2 * i and 2 * i + 1 lead to i by a zero, and by a one to
    i + 2**13. As each generator has its first and its last tap, another newest bit turns all four bits around, and so
    does another oldest one: these 2**13 tell of all 2**15 ways.
    """
    window = np.arange(1 << (_MEMORY - 1)) << 1
    bits = np.stack([np.bitwise_count(window & generator) & 1 for generator in _GENERATORS], axis=-1)
    return np.asarray(bits @ (1 << np.arange(_RATE)), np.intp)


def _most_likely(soft: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Viterbi's algorithm on soft bits, two states and the two they lead to at a time. -> (message and tail bits,)"""
    words = (np.arange(1 << _RATE)[:, None] >> np.arange(_RATE)) & 1
    metrics = (np.asarray(soft, np.float32).reshape(-1, _RATE) @ (2 * words.T - 1)).astype(np.float32)
    gains = np.take(metrics, _sent(), axis=1)  # by row: an index would lay them out by column, five times slower to add
    half = gains.shape[1]
    score = np.full((2, half), -np.inf, np.float32)
    score[0, 0] = 0.0
    choices = np.empty((len(gains), 2, half), np.bool_)
    for step, gain in enumerate(gains):
        even, odd = score.reshape(half, 2).T.copy()
        from_even, from_odd = np.stack([even + gain, even - gain]), np.stack([odd - gain, odd + gain])
        np.greater(from_odd, from_even, out=choices[step])
        np.maximum(from_even, from_odd, out=score)
    bits = np.empty(len(gains), np.uint8)
    state = 0  # the tail brought the encoder back there
    for step in range(len(gains) - 1, -1, -1):
        bits[step] = state >> (_MEMORY - 1)
        state = ((state << 1) & (2 * half - 1)) | int(choices[step].flat[state])
    return bits
