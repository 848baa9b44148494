"""Stable Video Diffusion at its smallest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from studio.request import ResolvedRequest, Role
from tests.pipelines.checkpoints import FamilyCase
from tests.pipelines.checkpoints.material import clip, loaded, picture
from tests.pipelines.conftest import save_svd


def _stock(folder: Path, resolved: ResolvedRequest, rng: Any) -> np.ndarray[Any, Any]:
    options = resolved.options
    return clip(
        loaded("StableVideoDiffusionPipeline", folder)(
            picture(resolved, Role.FIRST_FRAME), height=resolved.height, width=resolved.width,
            num_frames=resolved.num_frames, num_inference_steps=resolved.num_inference_steps,
            min_guidance_scale=options["min_guidance_scale"], max_guidance_scale=resolved.guidance_scale,
            fps=round(resolved.frame_rate), motion_bucket_id=options["motion_bucket_id"],
            noise_aug_strength=options["noise_aug_strength"], decode_chunk_size=resolved.num_frames, generator=rng,
            output_type="np",
        )
    )  # fmt: skip


CASES = [FamilyCase(name="svd", base="svd", save=save_svd, stock=_stock, roles=(Role.FIRST_FRAME,), has_text=False)]
