"""A checkpoint's pipeline without its weights: the real classes, built from configurations on the meta device."""

from __future__ import annotations

import importlib
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any


def build_meta_pipeline(folder: Path, dtype: Any, dtypes: Mapping[str, Any], left_out: Collection[str] = ()) -> Any:
    """Return the diffusers pipeline of a folder in the hub's layout, its networks on the meta device.

    Only ``model_index.json`` and the networks' ``config.json`` are read; tokenizers and processors are left out.
    dtype: of all networks but those in `dtypes`, by name. left_out: components that the generator does without.
    """
    import diffusers
    import torch

    index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
    pipeline_class = getattr(diffusers, index["_class_name"])
    given: dict[str, Any] = {}
    for name, described in index.items():
        if name.startswith("_"):
            continue
        if name in left_out:
            given[name] = None
        elif isinstance(described, list):
            library, class_name = described
            given[name] = _component(folder / name, library, class_name, dtypes.get(name, dtype))
        else:
            given[name] = described
    with torch.device("meta"):
        return pipeline_class(**given)


def _component(folder: Path, library: str | None, class_name: str | None, dtype: Any) -> Any:
    if library is None or class_name is None:
        return None
    import torch

    kind = _class_of(library, class_name)
    if kind is None:
        return None
    if "Scheduler" in class_name:
        return kind.from_pretrained(folder, local_files_only=True)
    if not issubclass(kind, torch.nn.Module):
        return None
    with torch.device("meta"):
        # Some layers make single numbers where the context has no say.
        return _network(kind, folder).to(device="meta", dtype=dtype).eval()


def _network(kind: Any, folder: Path) -> Any:
    if hasattr(kind, "load_config"):  # diffusers
        return kind.from_config(kind.load_config(folder, local_files_only=True))
    return kind._from_config(kind.config_class.from_pretrained(folder, local_files_only=True))


def _class_of(library: str, class_name: str) -> Any:
    package = library if library in ("diffusers", "transformers") else f"diffusers.pipelines.{library}"
    return getattr(importlib.import_module(package), class_name, None)
