"""A blind, keyed, invisible video watermark: 64 bits in the luma of every frame, readable without the original.

Spread spectrum (Cox et al. 1997, https://doi.org/10.1109/83.650120): a codeword is scattered by the key over a tile of
32 x 32 chips, the tile is repeated over the frame, and the same faint pattern is added to all frames, with a few waves
by which the reader finds the tile again after the picture was cropped, scaled or turned. The reader averages over time
and tiles. The mark proves nothing by itself: only a signed manifest that names it does.
"""

from studio.provenance.watermark.detector import MAX_FRAMES, WatermarkDetector
from studio.provenance.watermark.embedder import WatermarkEmbedder, natural_grain
from studio.provenance.watermark.pattern import UNITS, Grain
from studio.provenance.watermark.reading import (
    ALGORITHM,
    FULL_BITS,
    SHORT_BITS,
    WatermarkReading,
    WatermarkRecord,
    random_payload,
)

__all__ = [
    "ALGORITHM",
    "FULL_BITS",
    "MAX_FRAMES",
    "SHORT_BITS",
    "UNITS",
    "Grain",
    "WatermarkDetector",
    "WatermarkEmbedder",
    "WatermarkReading",
    "WatermarkRecord",
    "natural_grain",
    "random_payload",
]
