"""Micro-wan's words: a word-level tokenizer with a real <unk>, and a small UMT5 text encoder.

Prompts are lower-cased and stripped of punctuation; every word outside the vocabulary becomes <unk>, so a program
can tell a user which words the model never saw. An empty prompt is the end token alone.
"""

from __future__ import annotations

import re
from typing import get_args

import torch
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import Tensor
from transformers import PreTrainedTokenizerFast, UMT5Config, UMT5EncoderModel

from weights.training.world import Background, Colour, Motion, Shape, Size

MAX_SEQUENCE_LENGTH = 16
"""Tokens. The longest sentence of the world takes 11, its end included."""
PAD, END, UNKNOWN = "<pad>", "</s>", "<unk>"
SPELLINGS = {r"\ban\b": "a", r"\bgrey\b": "gray", r"\bmedium\b": ""}
"""Rewritten before the vocabulary is looked up: other spellings of the same sentence."""


def vocabulary() -> dict[str, int]:
    """Token to id: the three special tokens, then the world's words in order of appearance."""
    words = ["a", "on", "background"]
    for kind in (Size, Colour, Shape, Motion, Background):
        words += [word for value in get_args(kind) for word in value.split() if word != "medium"]
    return {token: index for index, token in enumerate(dict.fromkeys([PAD, END, UNKNOWN, *words]))}


def build_tokenizer() -> PreTrainedTokenizerFast:
    """The tokenizer as transformers loads it from `tokenizer.json`."""
    tokenizer = Tokenizer(models.WordLevel(vocabulary(), unk_token=UNKNOWN))
    rewrites = [normalizers.Replace(Regex(spelling), word) for spelling, word in SPELLINGS.items()]
    no_punctuation = normalizers.Replace(Regex(r"[^\w\s]+"), " ")
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Lowercase(), no_punctuation, *rewrites]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {END}", special_tokens=[(END, vocabulary()[END])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        unk_token=UNKNOWN,
        model_max_length=MAX_SEQUENCE_LENGTH,
        padding_side="right",
        clean_up_tokenization_spaces=False,
    )


def build_text_encoder() -> UMT5EncoderModel:
    """An untrained text encoder of two layers, 96 wide, about 0.2 M parameters."""
    configuration = UMT5Config(
        vocab_size=len(vocabulary()),
        d_model=96,
        d_kv=32,
        d_ff=192,
        num_layers=2,
        num_heads=3,
        relative_attention_num_buckets=16,
        relative_attention_max_distance=32,
        dropout_rate=0.0,
        feed_forward_proj="gated-gelu",
        pad_token_id=vocabulary()[PAD],
        eos_token_id=vocabulary()[END],
        use_cache=False,
    )
    return UMT5EncoderModel(configuration)


def tokenize(prompts: list[str]) -> Tensor:
    """Ids of the world's own sentences, padded: (B, 16) int64. The quick way of training, equal to the tokenizer's."""
    ids = vocabulary()
    rows = torch.full((len(prompts), MAX_SEQUENCE_LENGTH), ids[PAD], dtype=torch.int64)
    for row, prompt in zip(rows, prompts, strict=True):
        tokens = [ids[word] for word in re.findall(r"\w+", prompt)] + [ids[END]]
        row[: len(tokens)] = torch.tensor(tokens)
    return rows


def embed_tokens(text_encoder: UMT5EncoderModel, token_ids: Tensor) -> Tensor:
    """Embeddings (B, 16, 96) of (B, 16) ids, zero where padded: what `WanPipeline` gives the transformer."""
    mask = token_ids != vocabulary()[PAD]
    hidden: Tensor = text_encoder(token_ids, mask.long()).last_hidden_state
    return hidden * mask.unsqueeze(-1)
