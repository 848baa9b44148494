"""VBench's measure of consistency: how much each frame's features are like those of the frame before and the first."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


class Likeness:
    """Rates features as they come: (max(0, cos(f_t, f_t-1)) + max(0, cos(f_t, f_0))) / 2 for each frame but the first.

    VBench, arXiv:2311.17982, subject and background consistency; vbench/subject_consistency.py.
    """

    def __init__(self) -> None:
        self._first: torch.Tensor | None = None
        self._before: torch.Tensor | None = None

    def rate(self, features: torch.Tensor) -> list[float | None]:
        """Return a figure in [0, 1] for each of the next frames, None for the clip's first. features: (n, d)."""
        import torch

        features = torch.nn.functional.normalize(features.float(), dim=-1)
        first = features[0] if self._first is None else self._first
        before = torch.cat([first[None] if self._before is None else self._before[None], features[:-1]])
        figures: list[float | None] = [
            float(figure)
            for figure in ((features * before).sum(-1).clamp(0, 1) + (features @ first).clamp(0, 1)).div(2).tolist()
        ]
        if self._first is None:
            figures[0] = None
        self._first, self._before = first, features[-1]
        return figures
