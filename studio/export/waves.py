"""Sound into a WAV file; used by the gate's own modules and by nothing else."""

from __future__ import annotations

import hashlib
import wave
from pathlib import Path

import numpy as np

from studio.errors import SealFailed
from studio.export.ffmpeg import disk_faults
from studio.media import Sound

_SCALE = 2**15 - 1
# A WAV file counts its bytes in 32 bits.
_MAX_BYTES = 2**32 - 2**16


def write_wav(sound: Sound, destination: Path) -> str:
    """Write sound as 16-bit PCM, piece by piece, and return the SHA-256 of its samples, 64 hex digits.

    Raises `DiskFull` or `SealFailed`, or whatever reading the sound raises.
    """
    digest = hashlib.sha256()
    size_bytes = 0
    with disk_faults(), open(destination, "wb") as file, wave.open(file, "wb") as target:
        target.setnchannels(sound.channels)
        target.setsampwidth(2)
        target.setframerate(sound.sample_rate)
        for block in sound.blocks():
            pcm = np.rint(np.nan_to_num(block).clip(-1.0, 1.0) * _SCALE).astype("<i2", order="C").tobytes()
            size_bytes += len(pcm)
            if size_bytes > _MAX_BYTES:
                raise SealFailed("the sound is too long for a WAV file", field="end", allowed="at most 4 GiB")
            digest.update(pcm)
            target.writeframesraw(pcm)
        if size_bytes == 0:
            raise SealFailed("there is no sound in this part", field="start")
    return digest.hexdigest()
