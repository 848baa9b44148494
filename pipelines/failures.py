"""Torch's failures as sentences that name the resource that ran out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from studio.errors import EnvironmentFault, GenerationFailed, OutOfMemory, StudioError, WeightsMismatch

# Libraries that ask for memory themselves say so in words of their own.
RAM_SHORTAGES = ("not enough memory", "can't allocate memory", "can't start new thread", "Cannot allocate memory")
DEVICE_SHORTAGES = ("CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")


@contextmanager
def torch_failures(doing: str) -> Iterator[None]:
    """Turn what torch and diffusers raise into the studio's errors. doing: such as ``sampling``."""
    import torch

    try:
        yield
    except StudioError:
        raise
    except torch.OutOfMemoryError as error:
        raise _out_of_device_memory(doing) from error
    except MemoryError as error:
        raise _out_of_ram(doing) from error
    except RuntimeError as error:
        if any(words in str(error) for words in DEVICE_SHORTAGES):
            raise _out_of_device_memory(doing) from error
        # torch's CPU allocator has no error class of its own
        if any(words in str(error) for words in RAM_SHORTAGES):
            raise _out_of_ram(doing) from error
        raise GenerationFailed(f"the model failed while {doing} ({_first_line(error)})") from error
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise GenerationFailed(f"the model failed while {doing} ({_first_line(error)})") from error


@contextmanager
def loading_failures(model: str) -> Iterator[None]:
    """Turn unreadable weights into a sentence with the command that mends them."""
    try:
        with torch_failures("loading"):
            yield
    except EnvironmentFault:
        raise
    except Exception as error:  # truncated files, missing tensors, odd configurations: each reader raises its own kind
        raise WeightsMismatch(
            f"the weights of {model} cannot be loaded ({_first_line(error)})",
            fix=f"`studio models pull {model}` fetches them again; reinstall the studio if they ship with it",
        ) from error


def _out_of_device_memory(doing: str) -> OutOfMemory:
    return OutOfMemory(
        f"GPU memory ran out while {doing}", fix="choose fewer frames or a smaller size, or set STUDIO_DEVICE=cpu"
    )


def _out_of_ram(doing: str) -> OutOfMemory:
    return OutOfMemory(
        f"RAM ran out while {doing}", fix="choose fewer frames or a smaller size, or close other programs"
    )


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
