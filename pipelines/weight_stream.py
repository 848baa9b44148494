"""Brings the weights of a network to the device part by part, the next one while the present one computes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class WeightStream:
    """Weights that stay in main memory and visit the device.

    On CUDA they are pinned and travel on a stream of their own, ahead of the part that computes: the order of the
    parts is learned in the first pass. Elsewhere the same happens without haste.
    """

    def __init__(self, device: Any) -> None:
        self._device = device
        self._homes: dict[Any, Any] = {}  # parameter or buffer -> its values in main memory
        self._next: dict[Any, Any] = {}
        self._ready: dict[Any, Any] = {}  # part -> event after which its weights have arrived
        self._last: Any = None
        self._courier: Any = None
        self._done: deque[Any] = deque()  # events after which parts that were sent home are no longer read

    def open(self, network: Any) -> None:
        """Take charge of a network's weights."""
        import torch

        is_cuda = self._device.type == "cuda"
        self._courier = torch.cuda.Stream(self._device) if is_cuda else None  # type: ignore[no-untyped-call]
        for tensor in (*network.parameters(), *network.buffers()):
            home = tensor.data.to("cpu")
            self._homes[tensor] = _pinned(home) if is_cuda else home
            tensor.data = self._homes[tensor]

    def close(self) -> None:
        """Leave all weights in main memory."""
        for tensor, home in self._homes.items():
            tensor.data = home
        self._homes, self._next, self._ready, self._last = {}, {}, {}, None
        self._done.clear()

    @contextmanager
    def held(self, part: Any) -> Iterator[None]:
        """Have the weights of a part of the network on the device."""
        if not self._homes:
            yield
            return
        self._bring(part)
        self._await(part)
        if self._last is not None:
            self._next.setdefault(self._last, part)
        self._last = part
        if (coming := self._next.get(part)) is not None and coming is not part:
            self._bring(coming)
        try:
            yield
        finally:
            self._send_home(part)

    def _bring(self, part: Any) -> None:
        import torch

        if part in self._ready:
            return
        if self._courier is None:
            for tensor in self._tensors(part):
                tensor.data = self._homes[tensor].to(self._device, copy=True)
            self._ready[part] = None
            return
        # The program runs ahead of the device: without this, part upon part would wait there for its turn.
        while len(self._done) > 1:
            self._done.popleft().synchronize()
        with torch.cuda.stream(self._courier):
            for tensor in self._tensors(part):
                tensor.data = self._homes[tensor].to(self._device, non_blocking=True)
            self._ready[part] = self._courier.record_event()

    def _await(self, part: Any) -> None:
        import torch

        if (arrived := self._ready[part]) is not None:
            computing = torch.cuda.current_stream(self._device)
            computing.wait_event(arrived)
            for tensor in self._tensors(part):
                tensor.data.record_stream(computing)  # its memory is given to nobody before the layer is done

    def _send_home(self, part: Any) -> None:
        import torch

        if self._ready.pop(part, None) is not None:
            self._done.append(torch.cuda.current_stream(self._device).record_event())
        for tensor in self._tensors(part):
            tensor.data = self._homes[tensor]

    def _tensors(self, part: Any) -> Iterator[Any]:
        return (tensor for tensor in (*part.parameters(), *part.buffers()) if tensor in self._homes)


def _pinned(home: Any) -> Any:
    """Return a tensor in memory that the device can fetch by itself; as it is where a system allows no more of that."""
    try:
        return home.pin_memory()
    except RuntimeError:
        return home
