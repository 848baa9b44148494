"""Count what torch code takes, operation by operation: memory, floating-point operations, bytes moved.

It works on numbers and on the meta device, where a model of any size runs in seconds without its weights. Imports
torch: import it inside the function that counts.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from math import prod
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

# The caching allocator for CUDA hands out memory in pieces of this many bytes.
PIECE_BYTES = 512

_ATEN = torch.ops.aten
_COMPOSITE = torch._C.DispatchKey.CompositeImplicitAutograd


@dataclass(frozen=True, slots=True)
class Holder:
    """A piece of memory and the operation it came of. dtype: number format by torch's name. num_bytes: allocated."""

    operation: str
    shape: tuple[int, ...]
    dtype: str
    num_bytes: int


@dataclass
class Tally:
    """The memory of one kind of device, in bytes. peak_holders: what was alive at the peak, in order of birth."""

    live_bytes: int = 0
    peak_bytes: int = 0
    peak_holders: tuple[Holder, ...] = ()
    _live: dict[int, tuple[Holder, weakref.ref[Any]]] = field(default_factory=dict, repr=False)

    def add(self, storage: torch.UntypedStorage, tensor: torch.Tensor, operation: str) -> None:
        """Count a storage until it is freed; one that is counted already changes nothing."""
        key = storage._cdata
        if key in self._live:
            return
        holder = Holder(operation, tuple(tensor.shape), str(tensor.dtype)[6:], allocated(storage.nbytes()))
        self._live[key] = holder, weakref.ref(storage, partial(self._forget, key))
        self.live_bytes += holder.num_bytes
        if self.live_bytes > self.peak_bytes:
            self._mark()

    def reset_peak(self) -> None:
        """Let the peak be what is alive now."""
        self._mark()

    def largest(self, number: int = 5) -> list[Holder]:
        """Return the largest pieces of the peak, largest first."""
        return sorted(self.peak_holders, key=lambda holder: -holder.num_bytes)[:number]

    def _mark(self) -> None:
        self.peak_bytes = self.live_bytes
        self.peak_holders = tuple(holder for holder, _ in self._live.values())

    def _forget(self, key: int, _: object) -> None:
        self.live_bytes -= self._live.pop(key)[0].num_bytes


@dataclass(frozen=True, slots=True)
class _Operation:
    name: str
    is_composite: bool
    is_mutable: bool
    overwrites_first: bool
    is_free: bool
    is_own: bool
    flops: Callable[..., int] | None
    is_convolution: bool


class Counting:
    """Counts all torch operations inside its context. Only storages born inside count as memory; views are free.

    device, host: kinds of device. `memory` is of the first, `host_memory` of the second, where tensors are parked;
    where both are the same, all is in `memory`.
    flops: two for a multiplication with its addition, in matrix products, convolutions and attention.
    convolution_flops: the part of convolutions. traffic_bytes: read and written by operations on the device, each as if
    nothing stayed in a cache. transfer_bytes: copied between device and host. operations: those that compute or move.
    Attention counts as a fused kernel does: the scores are never in memory.
    On the meta device nothing is computed, a copy from there to the host gives numbers without meaning, and no number
    can be asked for.
    """

    def __init__(self, *, device: str = "meta", host: str = "cpu") -> None:
        self.memory = Tally()
        self.host_memory = Tally()
        self.flops = 0
        self.convolution_flops = 0
        self.traffic_bytes = 0
        self.transfer_bytes = 0
        self.operations = 0
        self._device = device
        self._tallies = {host: self.host_memory, device: self.memory}
        self._outlines = _Outlines()
        self._modes = ExitStack()
        self._is_inside_kernel = False

    @property
    def live_bytes(self) -> int:
        return self.memory.live_bytes

    @property
    def peak_bytes(self) -> int:
        return self.memory.peak_bytes

    def reset_peak(self) -> None:
        """Let both peaks be what is alive now."""
        self.memory.reset_peak()
        self.host_memory.reset_peak()

    def reset(self) -> None:
        """Start anew: what is alive stays and is the peak; nothing has been computed or moved yet."""
        self.reset_peak()
        self.flops = self.convolution_flops = self.traffic_bytes = self.transfer_bytes = self.operations = 0

    def __enter__(self) -> Counting:
        for mode in (_Attention(self), _Operations(self)):
            self._modes.enter_context(mode)
        return self

    def __exit__(self, *failure: Any) -> None:
        self._modes.__exit__(*failure)

    def operate(self, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Run one operation, which does not fall apart into others, and count it."""
        if self._is_inside_kernel:
            return func(*args, **kwargs)
        operation = _known(func)
        result = self._parked(func, args, kwargs)
        if result is None:
            result = self._run(operation, func, args, kwargs)
        self._count(operation, args, kwargs, result)
        return result

    def _run(self, operation: _Operation, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        if self._device == "meta" and (operation.is_own or operation.is_mutable):
            return self._outlines.run(func, args, kwargs, is_mutable=operation.is_mutable)
        return func(*args, **kwargs)

    def _parked(self, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Return the copy of a meta tensor in main memory, which torch refuses to make; None for all else.

        It is never written to, so that it takes addresses and no memory.
        """
        if func is _ATEN._to_copy.default and args[0].is_meta:
            device = torch.device(kwargs.get("device") or "meta")
            if device.type != "meta":
                return torch.empty_like(args[0], dtype=kwargs.get("dtype"), device=device)
        if func is _ATEN.copy_.default and args[1].is_meta and not args[0].is_meta:
            return args[0]
        return None

    def _count(self, operation: _Operation, args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Any) -> None:
        given = list(_tensors((*args, *kwargs.values())))
        made = list(_tensors(result if isinstance(result, (tuple, list)) else (result,)))
        known = {tensor.untyped_storage()._cdata for tensor in given}
        fresh = [tensor for tensor in made if self._register(tensor, operation.name, known)]
        is_view = not fresh and not operation.is_mutable
        if is_view or operation.is_free:
            return
        if operation.flops is not None:
            self._compute(operation.flops(args, made[0]), is_convolution=operation.is_convolution)
        read = given[1:] if operation.overwrites_first else given
        self._move(read, made)

    def _register(self, tensor: torch.Tensor, name: str, known: set[int]) -> bool:
        storage = tensor.untyped_storage()
        if storage._cdata in known:
            return False
        if tally := self._tallies.get(tensor.device.type):
            tally.add(storage, tensor, name)
        return True

    def _compute(self, flops: int, *, is_convolution: bool = False) -> None:
        self.flops += flops
        self.convolution_flops += flops * is_convolution

    def _move(self, read: list[torch.Tensor], written: list[torch.Tensor]) -> None:
        kinds = {tensor.device.type for tensor in (*read, *written) if tensor.ndim}
        if len(kinds) > 1:
            self.transfer_bytes += sum(map(_touched, written))
        elif self._device in kinds:
            self.traffic_bytes += sum(map(_touched, read)) + sum(map(_touched, written))
            self.operations += 1

    def attend(self, function: Callable[..., torch.Tensor], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Run or, on the meta device, only outline one attention, and count it as a kernel without scores."""
        given = list(_tensors((*args, *kwargs.values())))
        query, key, value = given[:3]
        self._is_inside_kernel = True
        try:
            result = _outline(query, value) if query.is_meta else function(*args, **kwargs)
        finally:
            self._is_inside_kernel = False
        self._register(result, "attention", set())
        self._compute(2 * prod(query.shape[:-1]) * key.shape[-2] * (query.shape[-1] + value.shape[-1]))
        self._move(given, [result])
        return result


class _Outlines:
    """Remembers what operations gave on the meta device: to find that out anew takes ten times as long.

    Only of operations whose results are memory of their own, or the tensor that they change.
    """

    def __init__(self) -> None:
        self._made: dict[Any, tuple[Any, ...]] = {}
        self._changed: set[Any] = set()

    def run(self, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], *, is_mutable: bool) -> Any:
        """Return what the operation returns."""
        key = func, _signature(args), _signature(tuple(kwargs.items()))
        target = kwargs.get("out", args[0]) if is_mutable else None
        try:
            if key in self._changed:
                return target
            if (known := self._made.get(key)) is not None:
                made = tuple(torch.empty_strided(*like, dtype=dtype, device="meta") for *like, dtype in known)
                return made if len(made) > 1 else made[0]
        except TypeError:  # an argument has no hash
            return func(*args, **kwargs)
        result = func(*args, **kwargs)
        if is_mutable:
            if result is target and target.is_meta:
                self._changed.add(key)
            return result
        made = result if isinstance(result, tuple) else (result,)
        if all(isinstance(tensor, torch.Tensor) and tensor.is_meta for tensor in made):
            self._made[key] = tuple((tensor.shape, tensor.stride(), tensor.dtype) for tensor in made)
        return result


def _signature(value: Any) -> Any:
    """Return what decides shape, strides and number format of a result. Equal numbers of two types differ."""
    if isinstance(value, torch.Tensor):
        return value.shape, value.stride(), value.dtype, value.device.type
    if isinstance(value, (list, tuple)):
        return tuple(map(_signature, value))
    return type(value), value


class _Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees every operation; in inference mode those made of others arrive whole, and are taken apart here."""

    def __init__(self, counting: Counting) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._counting = counting

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if _known(func).is_composite:
            with self:
                return func._op_dk(_COMPOSITE, *args, **(kwargs or {}))
        return self._counting.operate(func, args, kwargs or {})


class _Attention(TorchFunctionMode):
    """Takes attention out of the stream of operations before it falls apart into smaller ones."""

    def __init__(self, counting: Counting) -> None:
        super().__init__()
        self._counting = counting

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func is scaled_dot_product_attention:
            return self._counting.attend(func, args, kwargs or {})
        return func(*args, **(kwargs or {}))


def allocated(num_bytes: int) -> int:
    """Return the bytes that the caching allocator takes for a storage of so many."""
    return -(-num_bytes // PIECE_BYTES) * PIECE_BYTES


def weight_bytes(*modules: torch.nn.Module) -> int:
    """Return the bytes that the parameters and buffers of modules take on a device, each storage once."""
    storages = {
        storage._cdata: storage.nbytes()
        for module in modules
        for tensor in (*module.parameters(), *module.buffers())
        for storage in (tensor.untyped_storage(),)
    }
    return sum(map(allocated, storages.values()))


def _outline(query: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Return what a fused kernel returns: (B, H, N, D), in memory as (B, N, H, D)."""
    *batch, heads, tokens, _ = query.shape
    return query.new_empty((*batch, tokens, heads, value.shape[-1])).transpose(-2, -3)


def _touched(tensor: torch.Tensor) -> int:
    """Return the bytes that reading or writing a whole tensor touches; what is repeated counts once."""
    return min(tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes())


def _tensors(values: Iterable[Any]) -> Iterable[torch.Tensor]:
    for value in values:
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from _tensors(value)


# -- operations ---------------------------------------------------------------------------------------------------


def _product(first: int, args: tuple[Any, ...], result: torch.Tensor) -> int:
    return 2 * result.numel() * int(args[first].shape[-1])


def _convolution(args: tuple[Any, ...], result: torch.Tensor) -> int:
    is_transposed = args[6]
    places: torch.Tensor = args[0] if is_transposed else result
    return 2 * places.numel() * int(prod(args[1].shape[1:]))


_FLOPS: dict[Any, Callable[..., int]] = {
    _ATEN.mm: partial(_product, 0),
    _ATEN.bmm: partial(_product, 0),
    _ATEN.addmm: partial(_product, 1),
    _ATEN.baddbmm: partial(_product, 1),
    _ATEN._int_mm: partial(_product, 0),
    _ATEN._scaled_mm: partial(_product, 0),
    _ATEN.convolution: _convolution,
}
_OVERWRITING = {_ATEN.copy_, _ATEN.fill_, _ATEN.zero_, _ATEN.normal_, _ATEN.uniform_}
_MADE_OF_OTHERS = {_ATEN._unsafe_view, _ATEN._reshape_alias, _ATEN.lift, _ATEN.lift_fresh}
_ALLOCATING = {_ATEN.empty, _ATEN.empty_strided, _ATEN.empty_like, _ATEN.new_empty, _ATEN.new_empty_strided}
_OPERATIONS: dict[Any, _Operation] = {}


def _known(func: Any) -> _Operation:
    return _OPERATIONS.get(func) or _OPERATIONS.setdefault(func, _describe(func))


def _describe(func: Any) -> _Operation:
    packet = func._overloadpacket
    is_alias = packet in _MADE_OF_OTHERS or any(value.alias_info for value in func._schema.returns)
    return _Operation(
        name=packet.__name__,
        is_composite=torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), _COMPOSITE),
        is_mutable=func._schema.is_mutable,
        overwrites_first=packet in _OVERWRITING,
        is_free=packet in _ALLOCATING,
        is_own=not (is_alias or func._schema.is_mutable or func is _ATEN.index.Tensor),  # a mask decides its shape
        flops=_FLOPS.get(packet),
        is_convolution=packet is _ATEN.convolution,
    )
