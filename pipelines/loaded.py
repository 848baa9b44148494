"""A model with its weights, for as long as a session lasts: how they are kept, where they are, what is beside them."""

from __future__ import annotations

import copy
import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pipelines.failures import loading_failures, torch_failures
from pipelines.lora_files import LoRA
from pipelines.loras import with_loras
from pipelines.placement import Placement
from pipelines.plan import MemoryPlan
from pipelines.quantised import Storage, quantise_pipeline, require_storage
from pipelines.residency import Residence


class LoadedModel:
    """One diffusers pipeline on one device.

    model: its id, for people. load: reads the weights into main memory, anew at each call. folder: where they are.
    adapted: names of networks whose layers an adapter computes.
    """

    residence: Residence

    def __init__(
        self, model: str, load: Callable[[], Any], *, folder: Path, placement: Placement, adapted: tuple[str, ...]
    ) -> None:
        self.folder = folder
        self.placement = placement
        self._model = model
        self._load = load
        self._adapted = adapted
        self.pipeline: Any = None
        self._open()

    def _open(self) -> None:
        self._is_whole = False
        if self.pipeline is not None:  # what is read anew would take its memory twice
            self.pipeline = None
            del self.residence
            gc.collect()
        with loading_failures(self._model):
            self.pipeline = self._load()
        self.pipeline.set_progress_bar_config(disable=True)
        self.residence = Residence(self.pipeline, self.placement, self._adapted)
        self._scheduler = copy.deepcopy(self.pipeline.scheduler)
        self._storage: Storage | None = None
        self._is_whole = True

    def keep_weights_as(self, storage: Storage | None) -> None:
        """Have the weights in eight bits, or as they came: they are loaded anew where another job had them otherwise.

        Raises `MissingPackage` or `UnsupportedValue` where this machine cannot.
        """
        if self._is_whole and storage is self._storage:
            return
        if storage is not None:
            require_storage(storage, self.placement.device)
        if self._storage is not None or not self._is_whole:
            self._open()
        if storage is None:
            return
        self.residence.dissolve()
        self._is_whole = False  # until all is done; a change that fails midway is no way to keep weights
        with loading_failures(self._model):
            quantise_pipeline(self.pipeline, storage, compute_dtype=self.placement.dtype)
        self._storage, self._is_whole = storage, True

    def arrange(self, plan: MemoryPlan) -> None:
        """Bring the weights to where a plan has them; the run begins with a scheduler that remembers nothing."""
        self.pipeline.scheduler = copy.deepcopy(self._scheduler)
        self.residence.arrange(plan.residency)

    @contextmanager
    def with_loras(self, loras: tuple[LoRA, ...], note: Callable[[str], None]) -> Iterator[None]:
        """Have LoRAs beside the weights, which are in main memory when they come and when they go."""
        if not loras:
            yield
            return
        with torch_failures("loading LoRAs"):
            self.residence.dissolve()
        with with_loras(self.pipeline, loras) as loaded:
            for warning in loaded.warnings:
                note(warning)
            try:
                yield
            finally:
                self.residence.dissolve()

    @contextmanager
    def untouched(self) -> Iterator[None]:
        """Leave nothing of a failed run for the next."""
        try:
            yield
        except BaseException:
            with suppress(Exception):  # what failed is what has to be told
                self.pipeline.maybe_free_model_hooks()
                if hasattr(self.pipeline.vae, "clear_cache"):
                    self.pipeline.vae.clear_cache()
            free_memory()
            raise


def free_memory() -> None:
    """Give back what nothing refers to any more, on the device too."""
    import torch

    gc.collect()  # hooks and the modules they are on refer to each other
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
