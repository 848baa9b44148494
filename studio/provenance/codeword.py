"""The watermark's code: 64 payload bits, a checksum, and enough redundancy to survive a lossy codec."""

from __future__ import annotations

import zlib
from functools import cache

import numpy as np
from numpy.typing import NDArray

PAYLOAD_BITS = 64
_CHECK_BITS = 32
_MEMORY = 6  # constraint length 7
_GENERATORS = (0o171, 0o133)  # the rate-1/2 code of the Voyager probes
_MESSAGE_BITS = PAYLOAD_BITS + _CHECK_BITS
CODED_BITS = len(_GENERATORS) * (_MESSAGE_BITS + _MEMORY)


def encode(payload: int) -> NDArray[np.float32]:
    """Return the codeword of a payload. -> (CODED_BITS,) of -1.0 and 1.0.

    payload: 0 .. 2**64 - 1.
    """
    if not 0 <= payload < 1 << PAYLOAD_BITS:
        raise ValueError(f"payload: expected 0 .. 2**64 - 1, got {payload}")
    data = payload.to_bytes(PAYLOAD_BITS // 8, "big")
    message = np.unpackbits(np.frombuffer(data + zlib.crc32(data).to_bytes(4, "big"), np.uint8))
    return _convolve(message)


def decode(soft: NDArray[np.float64]) -> int | None:
    """Return the payload of a received codeword, or None if its checksum is wrong.

    soft: (CODED_BITS,) any scale; the sign is the bit, the size how sure it is.
    A codeword of pure noise is accepted with probability 2**-32.
    """
    message = np.packbits(_most_likely(soft)[:_MESSAGE_BITS]).tobytes()
    data, check = message[: PAYLOAD_BITS // 8], message[PAYLOAD_BITS // 8 :]
    return int.from_bytes(data, "big") if zlib.crc32(data) == int.from_bytes(check, "big") else None


def _convolve(message: NDArray[np.uint8]) -> NDArray[np.float32]:
    padded = np.concatenate([message, np.zeros(_MEMORY, np.uint8)])  # the tail brings the encoder back to state 0
    taps = [[(generator >> (_MEMORY - delay)) & 1 for delay in range(_MEMORY + 1)] for generator in _GENERATORS]
    streams = [np.convolve(padded, tap)[: len(padded)] & 1 for tap in taps]
    return (2.0 * np.stack(streams, axis=1).reshape(-1) - 1.0).astype(np.float32)


@cache
def _trellis() -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return for each state its two predecessors (64, 2), and the signs sent on the way (64, 2, 2)."""
    states = np.arange(1 << _MEMORY)
    newest = states >> (_MEMORY - 1)  # a state holds the last six bits, the newest on top
    before = ((states[:, None] << 1) & ((1 << _MEMORY) - 1)) | np.arange(2)
    window = (newest[:, None] << _MEMORY) | before
    parities = np.stack([np.bitwise_count(window & generator) & 1 for generator in _GENERATORS], axis=-1)
    return before, 2.0 * parities - 1.0


def _most_likely(soft: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Viterbi's algorithm on soft bits. -> (message and tail bits,) of 0 and 1."""
    before, signs = _trellis()
    received = np.asarray(soft, np.float64).reshape(-1, len(_GENERATORS))
    score = np.full(len(before), -np.inf)
    score[0] = 0.0
    choices = np.empty((len(received), len(before)), np.int64)
    for step, pair in enumerate(received):
        candidates = score[before] + signs @ pair
        choices[step] = np.argmax(candidates, axis=1)
        score = np.take_along_axis(candidates, choices[step][:, None], axis=1)[:, 0]
    bits = np.empty(len(received), np.uint8)
    state = 0
    for step in range(len(received) - 1, -1, -1):
        bits[step] = state >> (_MEMORY - 1)
        state = before[state, choices[step, state]]
    return bits
