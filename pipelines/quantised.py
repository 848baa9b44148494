"""Weights kept in eight bits: half of what they take in half precision. Approximate, and chosen by the user alone.

``fp8`` are eight-bit floats of diffusers' layerwise casting, turned back for each layer as it computes. ``int8`` are
whole numbers with a scale for each output channel, by torchao, for linear layers.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from pipelines.sampling import DENOISERS
from studio.errors import MissingPackage, UnsupportedValue

if TYPE_CHECKING:
    import torch

FIELD = "weights_format"
TEXT_ENCODERS = ("text_encoder", "text_encoder_2", "text_encoder_3")

# T5 turns its activations into the format of this layer's weights, and transformers takes the format of a network from
# its embedding: both would be eight bits. What sees pictures is small.
_KEPT = (r"\.wo$", "norm", "patch_embed", "pos_embed", "visual", "vision_tower")

# Where a clip enters and leaves; transformers name theirs as delicate by themselves.
_ENDS_OF_A_UNET = ("^conv_in$", "^conv_out$")


class Storage(StrEnum):
    """How weights are kept."""

    FP8 = "fp8"
    INT8 = "int8"


def require_storage(storage: Storage, device: torch.device) -> None:
    """Make sure that the format works here, before anything is loaded.

    Raises `MissingPackage` without torchao, `UnsupportedValue` where the device does not know the format.
    """
    import torch

    if storage is Storage.INT8:
        if importlib.util.find_spec("torchao") is None:
            raise MissingPackage("weights as int8 need the package torchao", field=FIELD, fix="`pip install torchao`")
        return
    try:
        torch.ones(1, device=device).to(torch.float8_e4m3fn).to(torch.float32)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise UnsupportedValue(
            "this device has no eight-bit floats", field=FIELD, got=f"{storage} on {device.type}", allowed="cpu, cuda"
        ) from error


def quantise_pipeline(pipeline: Any, storage: Storage, *, compute_dtype: torch.dtype) -> None:
    """Keep the weights of a pipeline's denoisers and text encoders in eight bits; the VAE stays as it is.

    There is no way back but to load them again. Do it after loading, and before LoRAs, offloading and compiling.
    compute_dtype: the number format that layers compute in.
    """
    for name in (*DENOISERS, *TEXT_ENCODERS):
        if (network := getattr(pipeline, name, None)) is not None:
            quantise(network, storage, compute_dtype=compute_dtype)


def quantise(network: Any, storage: Storage, *, compute_dtype: torch.dtype) -> None:
    """Keep the weights of one network of diffusers or transformers in eight bits; see `quantise_pipeline`."""
    device = next(network.parameters()).device
    require_storage(storage, device)
    # Layers whose weights are exchanged as they compute cannot want gradients, and none are computed here.
    network.requires_grad_(False)
    if storage is Storage.FP8:
        _store_as_floats(network, compute_dtype)
    else:
        _store_as_whole_numbers(network)


def _store_as_floats(network: Any, compute_dtype: torch.dtype) -> None:
    import torch
    from diffusers.hooks import apply_layerwise_casting
    from diffusers.hooks.layerwise_casting import DEFAULT_SKIP_MODULES_PATTERN

    if hasattr(network, "enable_layerwise_casting"):  # it knows which of its layers are delicate
        network.enable_layerwise_casting(
            storage_dtype=torch.float8_e4m3fn,
            compute_dtype=compute_dtype,
            skip_modules_pattern=(*DEFAULT_SKIP_MODULES_PATTERN, *_ENDS_OF_A_UNET),
        )
        return
    apply_layerwise_casting(
        network,
        storage_dtype=torch.float8_e4m3fn,
        compute_dtype=compute_dtype,
        skip_modules_pattern=_KEPT,
        skip_modules_classes=(torch.nn.Embedding,),
    )


def _store_as_whole_numbers(network: Any) -> None:
    with _silence():
        quantization: Any = importlib.import_module("torchao.quantization")  # it comes without types

        quantization.quantize_(network, quantization.Int8WeightOnlyConfig())


@contextmanager
def _silence() -> Iterator[None]:
    """Keep torchao's remarks on kernels that it does not find for this machine from the terminal."""
    before = logging.root.manager.disable
    logging.disable(max(before, logging.WARNING))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
