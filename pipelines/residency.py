"""Where the weights of a pipeline are while it works: on the device, in main memory, or on their way between them.

STAGED uses diffusers' model offload, STREAMED its group offload for networks that run as they are; a network whose
layers are computed by an adapter (`pipelines.exact`) is streamed by `pipelines.weight_stream`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pipelines.placement import Placement
from pipelines.plan import Residency
from pipelines.sampling import DENOISERS
from pipelines.weight_stream import WeightStream

_HOOKS = ("group_offloading", "layer_execution_tracker", "lazy_prefetch_group_offloading")


class Residence:
    """The weights of one loaded pipeline, arranged anew whenever a plan wants them elsewhere.

    streams: names of networks that an adapter computes; `stream_of` gives their parts to it.
    """

    def __init__(self, pipeline: Any, placement: Placement, streams: tuple[str, ...] = ()) -> None:
        self._pipeline = pipeline
        self._device = placement.device
        self._streams = {name: WeightStream(placement.device) for name in streams}
        self._now: Residency | None = None

    def arrange(self, residency: Residency) -> None:
        """Bring the weights to where `residency` has them. May run out of memory; then `arrange` with less works."""
        if residency is self._now:
            return
        self.dissolve()
        match residency:
            case Residency.RESIDENT:
                if self._device.type != "cpu":  # they are there already
                    self._pipeline.to(self._device)
            case Residency.STAGED:
                self._pipeline.enable_model_cpu_offload(device=self._device)
            case Residency.STREAMED:
                self._stream()
        self._now = residency

    def dissolve(self) -> None:
        """Bring all weights back to main memory, without hooks."""
        import torch

        self._now = None
        for stream in self._streams.values():
            stream.close()
        self._pipeline.remove_all_hooks()
        for network in self._networks().values():
            _remove_group_offload(network)
            # Weights in eight bits cannot be moved to where they are already.
            if any(tensor.device.type != "cpu" for tensor in (*network.parameters(), *network.buffers())):
                network.to(torch.device("cpu"))

    def stream_of(self, name: str) -> WeightStream | None:
        """Return what brings the parts of a network to the device; None where its weights are there already."""
        return self._streams.get(name) if self._now is Residency.STREAMED else None

    @contextmanager
    def alone(self, *names: str) -> Iterator[None]:
        """Have some networks whole on the device, and of the others as little as the arrangement allows."""
        networks = [network for name in names if (network := getattr(self._pipeline, name, None)) is not None]
        if self._now is not Residency.STAGED or not networks:
            yield
            return
        self.dissolve()  # if what follows fails, the next plan finds everything at home
        for network in networks:
            network.to(self._device)
        try:
            yield
        finally:
            for network in networks:
                network.to("cpu")
        self.arrange(Residency.STAGED)

    def _stream(self) -> None:
        from diffusers.hooks import apply_group_offloading

        for name, network in self._networks().items():
            if name in self._streams:
                self._streams[name].open(network)
            elif name.startswith("vae"):  # small, and its adapters call its layers one by one
                network.to(self._device)
            else:
                blocks = {"offload_type": "block_level", "num_blocks_per_group": 1} if name in DENOISERS else {}
                apply_group_offloading(
                    network,
                    onload_device=self._device,
                    use_stream=self._device.type == "cuda",
                    low_cpu_mem_usage=True,  # pinned when it travels, not all at once: it would double the main memory
                    **({"offload_type": "leaf_level"} | blocks),
                )

    def _networks(self) -> dict[str, Any]:
        import torch

        return {name: part for name, part in self._pipeline.components.items() if isinstance(part, torch.nn.Module)}


def _remove_group_offload(network: Any) -> None:
    registry = getattr(network, "_diffusers_hook", None)
    if registry is not None:
        for hook in _HOOKS:
            registry.remove_hook(hook, recurse=True)
