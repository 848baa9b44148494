"""Shortcuts taken in micro-wan's training give what the stock classes give."""

from __future__ import annotations

import pytest
import torch

from weights.training.wan_attention import MatrixAttention
from weights.training.wan_text import MAX_SEQUENCE_LENGTH, build_tokenizer, tokenize, vocabulary
from weights.training.wan_transformer import TOKENS_PER_LATENT_FRAME, TextToLatents
from weights.training.wan_vae import LATENT_CHANNELS, build_vae, decode_unclamped, encode_mean
from weights.training.world import all_scenes


def ids_of(prompt: str) -> list[int]:
    encoded = build_tokenizer()(prompt, padding="max_length", max_length=MAX_SEQUENCE_LENGTH, truncation=True)
    ids: list[int] = encoded.input_ids
    return ids


def test_the_tokenizer_knows_every_word_of_the_world() -> None:
    prompts = [scene.prompt for scene in all_scenes()[::37]]
    ids = torch.tensor([ids_of(prompt) for prompt in prompts])
    assert torch.equal(ids, tokenize(prompts))
    assert not (ids == vocabulary()["<unk>"]).any()


@pytest.mark.parametrize(
    "prompt",
    ["A Red circle, moving right on a gray background!", "a medium red circle moving right on a grey background"],
)
def test_case_punctuation_and_spelling_do_not_matter(prompt: str) -> None:
    assert ids_of(prompt) == ids_of("a red circle moving right on a gray background")


def test_foreign_words_become_unknown() -> None:
    assert ids_of("a red elephant").count(vocabulary()["<unk>"]) == 1


def test_an_empty_prompt_is_the_end_token_alone() -> None:
    assert ids_of("") == [vocabulary()["</s>"]] + [vocabulary()["<pad>"]] * (MAX_SEQUENCE_LENGTH - 1)


def test_one_call_for_all_later_frames_equals_the_stock_loop() -> None:
    torch.manual_seed(0)
    vae = build_vae().eval()
    clip = torch.rand(1, 3, 9, 32, 32) * 2 - 1
    with torch.no_grad():
        latents = encode_mean(vae, clip)
        assert torch.allclose(latents, vae.encode(clip).latent_dist.mode(), atol=1e-5)
        decoded = decode_unclamped(vae, latents).clamp(-1, 1)
        assert torch.allclose(decoded, vae.decode(latents).sample, atol=1e-5)


def test_matrix_attention_equals_the_stock_processor() -> None:
    torch.manual_seed(0)
    model = TextToLatents(latent_channels=LATENT_CHANNELS).eval()
    torch.nn.init.normal_(model.transformer.proj_out.weight, std=0.05)
    latents = torch.randn(2, LATENT_CHANNELS, 5, 8, 8)
    timesteps = 1000 * torch.rand(2, 5 * TOKENS_PER_LATENT_FRAME)
    tokens = tokenize([scene.prompt for scene in all_scenes()[:2]])
    with torch.no_grad():
        stock = model(latents, timesteps, tokens)
        model.transformer.set_attn_processor(MatrixAttention())
        assert torch.allclose(model(latents, timesteps, tokens), stock, atol=1e-4)
