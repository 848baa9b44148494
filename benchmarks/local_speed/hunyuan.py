"""One forward of HunyuanVideo-1.5 with padded texts, stock and without the padding. Imports torch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch

from benchmarks.local_speed.bench import Bench
from benchmarks.local_speed.networks import hunyuan_transformer
from benchmarks.local_speed.pairing import Work, as_it_is
from pipelines.exact.hunyuan_text import without_padding

SECTION = "HunyuanVideo-1.5"


def rows(bench: Bench) -> Iterator[dict[str, Any]]:
    """Measure stock beside itself, and the trimmed forward beside stock."""
    transformer = hunyuan_transformer(bench)
    forward = partial(_forward, transformer, _inputs(bench, transformer))

    @contextmanager
    def trimmed() -> Iterator[Work]:
        with without_padding(transformer):
            yield forward

    yield {"section": SECTION} | bench.compare("stock", as_it_is(forward), as_it_is(forward))
    yield {"section": SECTION} | bench.compare("without padding", as_it_is(forward), trimmed)


def _forward(transformer: Any, given: dict[str, Any]) -> torch.Tensor:
    result: torch.Tensor = transformer(**given, return_dict=False)[0]
    return result


def _inputs(bench: Bench, transformer: Any) -> dict[str, Any]:
    config, dtype = transformer.config, transformer.dtype
    (tokens, meant), (tokens_2, meant_2) = bench.size.hunyuan_tokens
    return {
        "hidden_states": bench.random(*bench.size.hunyuan_latents, dtype=dtype),
        "timestep": torch.full((1,), 500.0, device=bench.device),
        "encoder_hidden_states": bench.random(1, tokens, config.text_embed_dim, dtype=dtype),
        "encoder_attention_mask": _mask(bench, tokens, meant),
        "encoder_hidden_states_2": bench.random(1, tokens_2, config.text_embed_2_dim, dtype=dtype),
        "encoder_attention_mask_2": _mask(bench, tokens_2, meant_2),
        # Text-to-video brings zeros for the picture it has not.
        "image_embeds": torch.zeros(1, 729, config.image_embed_dim, device=bench.device, dtype=dtype),
    }


def _mask(bench: Bench, tokens: int, meant: int) -> torch.Tensor:
    return (torch.arange(tokens, device=bench.device) < meant)[None].to(torch.int64)
