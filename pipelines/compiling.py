"""torch.compile for denoisers, with what was compiled kept on disk for the next process.

Repeated blocks are compiled once and used by all their copies, where diffusers names them; else the whole forward is.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from pipelines.replaced_forward import Forward
from pipelines.sampling import DENOISERS

_log = logging.getLogger(__name__)

_FOLDERS = {"TORCHINDUCTOR_CACHE_DIR": "inductor", "TRITON_CACHE_DIR": "triton"}
# Dynamo's own bound of eight is soon reached by a worker that makes clips of several sizes, and then it gives up.
_MOST_SHAPES = 64
_COMPILERS = ("c++", "g++", "clang++")


class Compiled:
    """What became of the compiling of one run. warnings: sentences for the job; empty when all went well."""

    def __init__(self) -> None:
        self._warnings: list[str] = []
        self.is_given_up = False

    @property
    def warnings(self) -> tuple[str, ...]:
        return tuple(self._warnings)

    def give_up(self, reason: str) -> None:
        """Go on without compiled code, and say so once."""
        if not self.is_given_up:
            self.is_given_up = True
            self._warnings.append(f"compile: the model runs uncompiled ({reason})")
            _log.warning("%s", self._warnings[-1])


@contextmanager
def compiled(pipeline: Any, folder: Path) -> Iterator[Compiled]:
    """Let the pipeline's denoisers run compiled; where that fails they run as they are, and a warning says so.

    Enter it after weights are arranged and LoRAs loaded, and before a speed profile, whose parts lie over it. Weights
    that are streamed block by block are not compiled. Results differ from eager ones by rounding. The first call for a
    size takes minutes; later ones, in this process or with the same folder, do not. On the way out every module is the
    one it was; compiled code stays in memory for the next run.
    folder: below the studio's home; made private.
    """
    state = Compiled()
    found = [getattr(pipeline, name, None) for name in DENOISERS]
    denoisers = [denoiser for denoiser in found if denoiser is not None]
    if reason := _obstacle(denoisers):
        state.give_up(reason)
        yield state
        return
    with ExitStack() as stack:
        stack.enter_context(_kept_in(folder))
        for denoiser in denoisers:
            for part in _parts(denoiser):
                stack.enter_context(_compiled(part, state))
        yield state


def _obstacle(denoisers: list[Any]) -> str | None:
    """Return why nothing can be compiled here, or None."""
    if any(_is_streamed(denoiser) for denoiser in denoisers):
        return "its weights are streamed"
    if not any(map(shutil.which, (os.environ.get("CXX", ""), *_COMPILERS))):
        return "there is no C++ compiler on this machine; install g++ or clang"
    return None


def _is_streamed(denoiser: Any) -> bool:
    registries = (vars(module).get("_diffusers_hook") for module in denoiser.modules())
    return any(registry.get_hook("group_offloading") is not None for registry in registries if registry is not None)


def _parts(denoiser: Any) -> list[Any]:
    """Return the modules to compile: all copies of a network's repeated blocks, or the network."""
    names = getattr(denoiser, "_repeated_blocks", None) or ()
    return [module for module in denoiser.modules() if type(module).__name__ in names] or [denoiser]


@contextmanager
def _compiled(module: Any, state: Compiled) -> Iterator[None]:
    # accelerate's hooks, which move weights about, keep what they lie over in the first.
    slot = "_old_forward" if "_old_forward" in vars(module) else "forward"
    is_own, own = slot in vars(module), getattr(module, slot)
    setattr(module, slot, _or_eager(own, state))
    try:
        yield
    finally:
        if is_own:
            setattr(module, slot, own)
        else:
            delattr(module, slot)


def _or_eager(forward: Forward, state: Compiled) -> Forward:
    import torch
    from torch._dynamo.exc import TorchDynamoException

    fast = torch.compile(forward, dynamic=False)

    def compiled_or_eager(*arguments: Any, **named: Any) -> Any:
        if not state.is_given_up:
            try:
                return fast(*arguments, **named)
            except TorchDynamoException as error:
                state.give_up(_first_line(error))
        return forward(*arguments, **named)

    return compiled_or_eager


@contextmanager
def _kept_in(folder: Path) -> Iterator[None]:
    """Let the compilers keep their results below a folder, and only for as long as the context lasts."""
    import torch._dynamo.config
    import torch._inductor.config

    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    before = {name: os.environ.get(name) for name in _FOLDERS}
    os.environ.update({name: str(folder / part) for name, part in _FOLDERS.items()})
    bounds = torch._dynamo.config.patch(recompile_limit=_MOST_SHAPES)
    try:
        with bounds, torch._inductor.config.patch(fx_graph_cache=True):
            yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:160].rstrip(".: ") if lines else type(error).__name__
