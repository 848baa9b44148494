"""One embedding of the time for a whole clip, where Wan 2.2's TI2V models are given one for each token.

Their pipelines tell the denoiser a time for every token (``expand_timesteps``): 0 for the tokens of a given first
picture, the step's for all others. In text-to-video all are the same, and a table of 6 x inner channels for each token,
added anew in each block, is the same row again and again: 1 GiB at 121 frames of 1280x704, twice that in float32.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pipelines.replaced_forward import Forward, replaced_forward


@contextmanager
def one_timestep(transformer: Any) -> Iterator[None]:
    """Give the denoiser the first token's time as that of the clip. Only for runs in which all tokens have the same.

    The model has this form for its 2.1 kin: timestep (B,) instead of (B, tokens).
    """

    def over(forward: Forward) -> Forward:
        def collapsed(*given: Any, **named: Any) -> Any:
            timestep = named.get("timestep")
            if timestep is not None and timestep.ndim == 2:
                named = named | {"timestep": timestep[:, 0]}
            return forward(*given, **named)

        return collapsed

    with replaced_forward(transformer, over):
        yield
