"""Loads a check's network from safetensors on disk, whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from studio.errors import WeightsMismatch


def load_network(kind: Any, folder: Path, device: Any, **options: Any) -> Any:
    """Return a transformers model in float32 on the device, in evaluation mode.

    kind: its class. Raises `WeightsMismatch` when the file lacks a tensor: transformers would fill it with random
    numbers, and what is measured with those means nothing.
    """
    import torch

    model, found = kind.from_pretrained(
        folder,
        use_safetensors=True,
        local_files_only=True,
        dtype=torch.float32,
        output_loading_info=True,
        ignore_mismatched_sizes=True,  # they are refused below, by name
        **options,
    )
    if unfit := sorted({*found["missing_keys"], *(key for key, *_ in found["mismatched_keys"])}):
        raise WeightsMismatch(
            "these weights are not those of the network that the check measures with",
            field=str(folder),
            got=f"no fitting tensor for {', '.join(unfit[:3])}",
            fix="the repository does not hold what this version of the studio expects; update the studio",
        )
    return model.to(device).eval()


def keep_quiet() -> None:
    """Keep transformers' reports and progress bars off the terminal."""
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
