"""One set of loaded weights behind several pipeline classes of diffusers, one class for each task."""

from __future__ import annotations

import inspect
from typing import Any


def pipeline_as(pipeline: Any, class_name: str) -> Any:
    """Return a pipeline of the named class of diffusers over the same modules; the same one if it is of that class.

    What the classes have in common of their own configuration goes along. Nothing is copied, moved or converted, which
    diffusers' `from_pipe` does.
    """
    import diffusers

    wanted = getattr(diffusers, class_name)
    if isinstance(pipeline, wanted):
        return pipeline
    shared = {**pipeline.config, **pipeline.components}
    names = inspect.signature(wanted.__init__).parameters
    converted = wanted(**{name: shared[name] for name in names if name in shared})
    converted.set_progress_bar_config(disable=True)
    return converted
