"""A cheap look at latents, by a linear map from latent channels to colours.

The map is measured once for each VAE: a picture of flat colour patches is encoded and the latents are regressed
onto the colours, so that no table of magic numbers is needed for any model. The idea that latent channels are close
to linear in colour is from the "latent2RGB" practice of diffusion front ends.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from studio.media import Preview

if TYPE_CHECKING:
    import torch

PATCHES = 8


@dataclass(frozen=True)
class LatentPreview:
    """weights: (C + 1, 3) float32, the last row is the offset. edge: shorter side of the preview in pixels."""

    weights: NDArray[np.float32]
    edge: int = 128

    @classmethod
    def measure(cls, encode: Callable[[torch.Tensor], torch.Tensor], *, scale: int) -> LatentPreview:
        """Fit the map. encode: (1, 3, H, W) in [-1, 1] -> (C, h, w) latents as the denoiser sees them.

        scale: pixels for each latent position along a side.
        """
        import torch

        rng = np.random.default_rng(0)
        colours = rng.uniform(-1, 1, size=(PATCHES, PATCHES, 3)).astype(np.float32)
        pixels = np.repeat(np.repeat(colours, 2 * scale, axis=0), 2 * scale, axis=1)
        with torch.no_grad():
            latents = encode(torch.from_numpy(pixels).permute(2, 0, 1)[None])
        channels = latents.shape[0]
        samples = latents.float().cpu().numpy().reshape(channels, PATCHES, 2, PATCHES, 2).mean((2, 4))
        inputs = np.concatenate([samples.reshape(channels, -1).T, np.ones((PATCHES**2, 1), np.float32)], axis=1)
        # A ridge keeps channels that carry no colour from being fitted to chance.
        gram = inputs.T @ inputs + 1e-2 * np.eye(channels + 1, dtype=np.float32)
        weights = np.linalg.solve(gram, inputs.T @ colours.reshape(-1, 3))
        return cls(weights.astype(np.float32))

    def render(self, latents: torch.Tensor) -> Preview:
        """Return a small picture of one latent frame. latents: (C, h, w)."""
        values = latents.detach().float().cpu().numpy()
        channels, height, width = values.shape
        colours = values.reshape(channels, -1).T @ self.weights[:-1] + self.weights[-1]
        small = ((colours.reshape(height, width, 3) + 1) * 127.5).clip(0, 255).round().astype(np.uint8)
        factor = max(1, self.edge // min(height, width))
        return Preview(image=small.repeat(factor, axis=0).repeat(factor, axis=1))
