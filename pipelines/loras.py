"""LoRAs over a loaded pipeline: beside its weights, which stay as they are bit for bit, and off again after the run."""

from __future__ import annotations

import logging
import re
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pipelines.lora_files import FIELD, Denoisers, LoRA, digest_of
from pipelines.sampling import DENOISERS
from studio.errors import MissingPackage, StudioError, UnsupportedValue, WeightsMismatch
from studio.provenance.manifest import Adapter

_PREFIXES = ("base_model.model.", "diffusion_model.", "unet.", "transformer.")
_LAYER = re.compile(r"\.(?:lora_[AB]|lora_magnitude_vector)\..*$")
_NAMED_IN_A_WARNING = 3


@dataclass(frozen=True, kw_only=True)
class LoadedLoRAs:
    """What took part. adapters: for the signed file. warnings: a sentence for each LoRA that fits in part."""

    adapters: tuple[Adapter, ...] = ()
    warnings: tuple[str, ...] = ()


@contextmanager
def with_loras(pipeline: Any, loras: Iterable[LoRA]) -> Iterator[LoadedLoRAs]:
    """Let the pipeline's denoisers work with LoRAs for as long as the context lasts.

    Enter it before weights are offloaded, streamed or compiled: what is put beside them travels with them. On the way
    out every module is the one it was. LoRAs of strength 0 are left out.
    Raises `UnsupportedValue` for a LoRA that fits nothing in the model or has other shapes, or names a denoiser the
    model has not; `WeightsMismatch` for a file that changed since it was parsed; `MissingPackage` without peft.
    """
    wanted = [lora for lora in loras if lora.strength != 0]
    if not wanted:
        yield LoadedLoRAs()
        return
    _require_peft()
    found = ((name, getattr(pipeline, name, None)) for name in DENOISERS)
    denoisers = {name: denoiser for name, denoiser in found if denoiser is not None}
    with _put_back(_touched(pipeline, denoisers)):
        try:
            with _silence():
                told = tuple(
                    warning
                    for index, lora in enumerate(wanted)
                    for warning in _load(pipeline, denoisers, lora, adapter=f"lora_{index}")
                )
                _set_strengths(pipeline, denoisers, wanted)
            yield LoadedLoRAs(adapters=tuple(lora.adapter for lora in wanted), warnings=told)
        finally:
            with _silence():
                _unload(pipeline, denoisers)


def _touched(pipeline: Any, denoisers: Mapping[str, Any]) -> list[Any]:
    """Return the networks that a LoRA may be for: some pipelines take them for their text encoders too."""
    names = dict.fromkeys((*denoisers, *getattr(pipeline, "_lora_loadable_modules", ())))
    return [network for name in names if (network := getattr(pipeline, name, None)) is not None]


@contextmanager
def _put_back(networks: Iterable[Any]) -> Iterator[None]:
    """Put back what peft changes beside the layers: its notes, and which weights want gradients.

    The latter decides which of torch's kernels compute, and the last bits of what they find.
    """
    notes = ("peft_config", "_hf_peft_config_loaded")
    found = [(network, {key: vars(network)[key] for key in notes if key in vars(network)}) for network in networks]
    wanting = [weight for network, _ in found for weight in network.parameters() if weight.requires_grad]
    try:
        yield
    finally:
        for network, noted in found:
            for key in notes:
                vars(network).pop(key, None)
            vars(network).update(noted)
        for weight in wanting:
            if not weight.is_inference():  # what was exchanged in a run without gradients cannot want any
                weight.requires_grad_(True)


def _load(pipeline: Any, denoisers: Mapping[str, Any], lora: LoRA, *, adapter: str) -> Iterator[str]:
    if digest_of(lora.path) != lora.sha256:
        raise WeightsMismatch(f"{lora.name} changed while the job waited", field=FIELD, fix="send the request again")
    for name in _targets(denoisers, lora):
        try:
            tensors = (
                _load_by_pipeline(pipeline, name, lora, adapter)
                if hasattr(pipeline, "load_lora_weights")
                else _load_by_peft(denoisers[name], lora, adapter)
            )
            _keep_precision(denoisers[name], tensors, adapter)
        except StudioError:
            raise
        except Exception as error:  # each loader of diffusers and peft raises its own kind
            raise _unfit(lora, f"the LoRA does not fit this model ({_first_line(error)})") from error
        layers, fitting = _layers_of(tensors), _layers_with(denoisers[name], adapter)
        if not fitting and not _is_elsewhere(pipeline, denoisers, adapter):
            raise _unfit(lora, "the LoRA fits no layer of this model")
        if unused := sorted(layers - fitting):
            yield _told(lora, unused, len(layers))


def _targets(denoisers: Mapping[str, Any], lora: LoRA) -> list[str]:
    if lora.denoisers is Denoisers.BOTH:
        return list(denoisers)
    if "transformer_2" not in denoisers:
        raise UnsupportedValue(
            "this model has one denoiser",
            field=FIELD,
            got=f"{lora.denoisers}:{lora.name}",
            fix=f"leave out {lora.denoisers}:",
        )
    return ["transformer" if lora.denoisers is Denoisers.HIGH else "transformer_2"]


def _load_by_pipeline(pipeline: Any, name: str, lora: LoRA, adapter: str) -> dict[str, Any]:
    """Load with diffusers' loader, which knows the formats of other trainers. Returns the tensors by peft's names."""
    from diffusers.utils import convert_unet_state_dict_to_peft

    place = {"load_into_transformer_2": True} if name == "transformer_2" else {}
    given = _for_loader(pipeline, name, lora)
    known = pipeline.lora_state_dict(*given["file"], **given["where"])
    known = known[0] if isinstance(known, tuple) else known
    prefix = "unet" if name == "unet" else "transformer"
    own = {key.removeprefix(f"{prefix}."): value for key, value in known.items() if key.startswith(f"{prefix}.")}
    if own and not any("lora_A" in key for key in own):
        own = convert_unet_state_dict_to_peft(own)
    pipeline.load_lora_weights(*given["file"], **given["where"], adapter_name=adapter, **place)
    return own


def _for_loader(pipeline: Any, name: str, lora: LoRA) -> dict[str, Any]:
    """Return the arguments for diffusers' loader: the file, or its tensors where their names lack the network's."""
    from safetensors.torch import load_file

    where = {"weight_name": lora.path.name, "local_files_only": True, "use_safetensors": True}
    given = load_file(lora.path)
    tensors = {
        key.removeprefix("base_model.model.").removeprefix("diffusion_model."): value for key, value in given.items()
    }
    modules = {key for key, _ in getattr(pipeline, name).named_modules()}
    if not any(_layer_of(key) in modules for key in tensors):
        return {"file": (str(lora.path.parent),), "where": where}
    prefix = "unet" if name == "unet" else "transformer"
    return {"file": ({f"{prefix}.{key}": value for key, value in tensors.items()},), "where": {}}


def _load_by_peft(denoiser: Any, lora: LoRA, adapter: str) -> dict[str, Any]:
    """Load where diffusers has no loader: Stable Video Diffusion. Returns the tensors by peft's names.

    Takes names as peft and diffusers write them, with or without the network's, and ``alpha`` as kohya-ss does.
    """
    from diffusers.utils import convert_unet_state_dict_to_peft
    from peft import LoraConfig, inject_adapter_in_model, set_peft_model_state_dict
    from safetensors.torch import load_file

    tensors = {_bare(key): value for key, value in load_file(lora.path).items()}
    alphas = {key.removesuffix(".alpha"): float(value) for key, value in tensors.items() if key.endswith(".alpha")}
    tensors = {key: value for key, value in tensors.items() if not key.endswith(".alpha")}
    if not any("lora_A" in key for key in tensors):
        tensors = convert_unet_state_dict_to_peft(tensors)
    modules = {name for name, _ in denoiser.named_modules()}
    fitting = {key: value for key, value in tensors.items() if _layer_of(key) in modules}
    if not fitting:
        raise _unfit(lora, "the LoRA fits no layer of this model")
    ranks = {_layer_of(key): int(value.shape[0]) for key, value in fitting.items() if ".lora_A." in key}
    scales = {layer: alphas.get(layer, float(rank)) for layer, rank in ranks.items()}
    configuration = LoraConfig(
        r=_usual(ranks),
        lora_alpha=_usual(scales),
        rank_pattern={f"^{layer}": rank for layer, rank in ranks.items()},
        alpha_pattern={f"^{layer}": scale for layer, scale in scales.items()},
        target_modules=sorted(ranks),
    )
    inject_adapter_in_model(configuration, denoiser, adapter_name=adapter, state_dict=fitting)
    set_peft_model_state_dict(denoiser, fitting, adapter)
    return tensors


def _keep_precision(network: Any, tensors: Mapping[str, Any], adapter: str) -> None:
    """Take a LoRA's own numbers where peft has rounded them to the eight bits of the weights beside it."""
    import torch

    for name in _layers_with(network, adapter):
        layer = network.get_submodule(name)
        if layer.get_base_layer().weight.dtype.itemsize > 1:
            continue
        for part in ("lora_A", "lora_B"):
            held = getattr(layer, part)[adapter]
            given = tensors[f"{name}.{part}.weight"]
            held.weight = torch.nn.Parameter(given.to(held.weight.device, network.dtype), requires_grad=False)


def _set_strengths(pipeline: Any, denoisers: Mapping[str, Any], loras: list[LoRA]) -> None:
    from diffusers.utils import set_weights_and_activate_adapters

    names = [f"lora_{index}" for index in range(len(loras))]
    strengths = [lora.strength for lora in loras]
    if hasattr(pipeline, "set_adapters"):
        pipeline.set_adapters(names, strengths)
        return
    for denoiser in denoisers.values():
        set_weights_and_activate_adapters(denoiser, names, strengths)


def _unload(pipeline: Any, denoisers: Mapping[str, Any]) -> None:
    from diffusers.utils import recurse_remove_peft_layers

    if hasattr(pipeline, "unload_lora_weights"):
        pipeline.unload_lora_weights()
        return
    for denoiser in denoisers.values():
        recurse_remove_peft_layers(denoiser)


def _layers_with(network: Any, adapter: str) -> set[str]:
    """Return the names of the layers that an adapter is beside."""
    return {name for name, module in network.named_modules() if adapter in (getattr(module, "lora_A", None) or {})}


def _is_elsewhere(pipeline: Any, denoisers: Mapping[str, Any], adapter: str) -> bool:
    """Say whether the LoRA, which leaves the denoisers alone, is one of the text encoder."""
    names = set(getattr(pipeline, "_lora_loadable_modules", ())) - set(denoisers)
    others = (getattr(pipeline, name, None) for name in names)
    return any(_layers_with(other, adapter) for other in others if other is not None)


def _layers_of(tensors: Mapping[str, Any]) -> set[str]:
    return {_layer_of(key) for key in tensors if _LAYER.search(key)}


def _layer_of(key: str) -> str:
    return _LAYER.sub("", key)


def _bare(key: str) -> str:
    for prefix in _PREFIXES:
        key = key.removeprefix(prefix)
    return key


def _usual(values: Mapping[str, Any]) -> Any:
    return Counter(values.values()).most_common(1)[0][0]


def _told(lora: LoRA, unused: list[str], count: int) -> str:
    some = ", ".join(unused[:_NAMED_IN_A_WARNING]) + (" ..." if len(unused) > _NAMED_IN_A_WARNING else "")
    return f"{FIELD}: {len(unused)} of the {count} layers of {lora.name} are not in this model and do nothing ({some})"


def _unfit(lora: LoRA, message: str) -> UnsupportedValue:
    return UnsupportedValue(message, field=FIELD, got=lora.name, fix="choose one that was trained for this model")


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:160].rstrip(".") if lines else type(error).__name__


def _require_peft() -> None:
    import importlib.util

    if importlib.util.find_spec("peft") is None:
        raise MissingPackage("LoRAs need the package peft", fix="`pip install peft`")


@contextmanager
def _silence() -> Iterator[None]:
    """Keep the loaders' own words from the terminal: what they say is told as errors and warnings of the job."""
    loggers = [logging.getLogger(name) for name in ("diffusers.loaders.peft", "diffusers.loaders.lora_base")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
