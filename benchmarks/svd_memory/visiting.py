"""Streamed weights on the meta device, where their memory comes and goes as on a GPU. Imports torch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from pipelines.weight_stream import WeightStream


class VisitingWeights(WeightStream):
    """The studio's weight stream, with memory of the right size in place of the weights that arrive.

    torch lets no parameter change from the CPU to the meta device, so the weights themselves stay where they are; they
    were made before anybody counted.
    """

    def __init__(self) -> None:
        super().__init__(torch.device("meta"))
        self._guests: dict[Any, list[torch.Tensor]] = {}

    def open(self, network: Any) -> None:
        self._homes = {tensor: tensor for tensor in (*network.parameters(), *network.buffers())}

    def _bring(self, part: Any) -> None:
        if part not in self._ready:
            self._ready[part] = None
            self._guests[part] = [torch.empty_like(tensor) for tensor in self._tensors(part)]

    def _send_home(self, part: Any) -> None:
        self._ready.pop(part, None)
        self._guests.pop(part, None)


@contextmanager
def visit_leaf_by_leaf(network: Any) -> Iterator[None]:
    """Let the weights of each layer be there while it computes, as diffusers' group offload by leaves does."""
    guests: dict[Any, list[torch.Tensor]] = {}

    def come(leaf: Any, _given: Any) -> None:
        guests[leaf] = [torch.empty_like(tensor) for tensor in (*leaf.parameters(False), *leaf.buffers(False))]

    def go(leaf: Any, _given: Any, _made: Any) -> None:
        guests.pop(leaf, None)

    leaves = [part for part in network.modules() if not any(True for _ in part.children())]
    hooks = [hook for leaf in leaves for hook in (leaf.register_forward_pre_hook(come), leaf.register_forward_hook(go))]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
