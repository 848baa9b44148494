"""Decoding alone: Stable Video Diffusion's VAE and Wan's, stock and ours. Imports torch."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import product
from typing import Any

import torch

from benchmarks.local_speed.bench import Bench, MeasuredStages
from benchmarks.local_speed.networks import svd_pipeline, wan_vae
from benchmarks.local_speed.pairing import as_it_is
from pipelines.exact.decode_svd import decode_frames
from pipelines.exact.decode_wan import decode_wan
from pipelines.kernels.programs import Program, Programs, running
from pipelines.plan import DecodeForm

SECTION = "decode"


def rows(bench: Bench) -> Iterator[dict[str, Any]]:
    """Measure both VAEs: stock beside itself, and each of our forms beside stock."""
    for row in (*_svd_rows(bench), *_wan_rows(bench)):
        yield {"section": SECTION, **row}


def _svd_rows(bench: Bench) -> Iterator[dict[str, Any]]:
    vae = svd_pipeline(bench, MeasuredStages(bench)).vae
    shape = bench.size.shape
    scale = 2 ** (len(bench.size.svd["vae"]["block_out_channels"]) - 1)
    latents = bench.random(shape.num_frames, 4, shape.height // scale, shape.width // scale)

    def stock() -> torch.Tensor:
        frames: torch.Tensor = vae.decode(latents, num_frames=len(latents)).sample
        return frames

    yield bench.compare("SVD, stock", as_it_is(stock), as_it_is(stock))
    for form, program in product(DecodeForm, (Program.TORCH, Program.TRITON)):
        name = f"SVD, {form.value}, programs in {program.value}"
        if program is Program.TRITON and not bench.is_cuda:
            yield {"name": name, "skipped": "programs in Triton need a GPU"}
        else:
            ours = partial(_decoded, vae, latents, form, program)
            yield bench.compare(name, as_it_is(stock), as_it_is(ours))


def _wan_rows(bench: Bench) -> Iterator[dict[str, Any]]:
    vae = wan_vae(bench)
    latents = bench.random(*bench.size.wan_latents, dtype=torch.float32)

    def stock() -> torch.Tensor:
        frames: torch.Tensor = vae.decode(latents).sample[0].transpose(0, 1)
        return frames

    yield bench.compare("Wan, stock", as_it_is(stock), as_it_is(stock))
    for frames_at_once in (None, 4, 1):
        name = f"Wan, {'all frames' if frames_at_once is None else f'{frames_at_once} frames'} at once"
        ours = partial(_decoded_wan, vae, latents, frames_at_once)
        yield bench.compare(name, as_it_is(stock), as_it_is(ours))


def _decoded(vae: Any, latents: torch.Tensor, form: DecodeForm, program: Program) -> torch.Tensor:
    with running(Programs.all(program)):
        return torch.cat(list(decode_frames(vae, latents, form=form)))


def _decoded_wan(vae: Any, latents: torch.Tensor, frames_at_once: int | None) -> torch.Tensor:
    return torch.cat(list(decode_wan(vae, latents, frames_at_once=frames_at_once)))
