"""The watermark's code corrects what a codec breaks and never invents a payload."""

from __future__ import annotations

import numpy as np
import pytest

from studio.provenance.watermark.codeword import CODES, FULL, SHORT, Code


@pytest.mark.parametrize("code", CODES)
def test_a_clean_codeword_comes_back(code: Code) -> None:
    for payload in (0, 1, 2**code.payload_bits - 1, 0x0123456789ABCDEF % 2**code.payload_bits):
        assert code.decode(code.encode(payload)) == payload


def test_the_encoder_is_the_galileo_code() -> None:
    """A one after zeros gives the four generators' own digits, interleaved."""
    from studio.provenance.watermark.codeword import _generator_matrix

    response = _generator_matrix(96)[3].astype(int)[4 * 3 : 4 * 18].reshape(15, 4)
    digits = ["".join(map(str, response[:, column])) for column in range(4)]
    assert digits == [f"{generator:015b}" for generator in (0o46321, 0o51271, 0o63667, 0o70535)]


@pytest.mark.parametrize(("code", "noise"), [(FULL, 1.3), (SHORT, 1.3)])
def test_noise_stronger_than_the_signal_is_corrected(code: Code, noise: float) -> None:
    rng = np.random.default_rng(1)
    payloads = range(1, 200_000, 8001)
    received = [(payload, code.encode(payload) + rng.normal(0, noise, code.coded_bits)) for payload in payloads]
    assert sum(code.decode(noisy) == payload for payload, noisy in received) >= 0.9 * len(received)


def test_noise_and_silence_hold_no_payload() -> None:
    rng = np.random.default_rng(2)
    for code in CODES:
        assert code.decode(np.zeros(code.coded_bits)) is None
        assert all(code.decode(rng.normal(0, 1, code.coded_bits)) is None for _ in range(40))


def test_many_codewords_at_once_are_the_same_as_one_by_one() -> None:
    payloads = [5, 2**63, 77]
    assert np.array_equal(FULL.encode_all(payloads), np.stack([FULL.encode(payload) for payload in payloads]))


def test_a_payload_of_too_many_bits_is_refused() -> None:
    for code in CODES:
        with pytest.raises(ValueError, match="payload"):
            code.encode(2**code.payload_bits)
