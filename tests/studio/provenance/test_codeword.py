"""The watermark's code corrects what a codec breaks and never invents a payload."""

from __future__ import annotations

import numpy as np
import pytest

from studio.provenance.codeword import CODED_BITS, decode, encode


@pytest.mark.parametrize("payload", [0, 1, 2**64 - 1, 0x0123456789ABCDEF])
def test_a_clean_codeword_comes_back(payload: int) -> None:
    assert decode(encode(payload).astype(np.float64)) == payload


def test_the_encoder_is_the_voyager_code() -> None:
    """A one after zeros gives the two generators' own digits, 171 and 133 octal, interleaved."""
    from studio.provenance.codeword import _convolve

    message = np.zeros(96, np.uint8)
    message[3] = 1
    response = (_convolve(message)[6:20] > 0).astype(int).reshape(7, 2)
    assert "".join(map(str, response[:, 0])) == f"{0o171:07b}"
    assert "".join(map(str, response[:, 1])) == f"{0o133:07b}"


def test_heavy_noise_is_corrected() -> None:
    rng = np.random.default_rng(1)
    received = [(payload, encode(payload) + rng.normal(0, 0.6, CODED_BITS)) for payload in range(1, 200_000, 4001)]
    assert all(decode(noisy) == payload for payload, noisy in received)


def test_noise_and_silence_hold_no_payload() -> None:
    rng = np.random.default_rng(2)
    assert decode(np.zeros(CODED_BITS)) is None
    assert all(decode(rng.normal(0, 1, CODED_BITS)) is None for _ in range(300))


def test_a_payload_of_more_than_64_bits_is_refused() -> None:
    with pytest.raises(ValueError, match="payload"):
        encode(2**64)
