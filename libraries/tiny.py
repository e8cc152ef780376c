"""A language model and a tokenizer of a few thousand parameters, made without a download."""

from __future__ import annotations

from typing import Any

WORDS = ["<pad>", "<eos>", "<unk>", "the", "a", "cat", "dog", "number", "sat", "stood", "on", "under", "mat", "tree"]


def tokenizer() -> Any:
    """Return a tokenizer that knows a few words and numbers."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {word: place for place, word in enumerate([*WORDS, *map(str, range(40))])}
    inner = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>", padding_side="left"
    )


def text_model() -> Any:
    """Return a causal language model with two layers."""
    from transformers import LlamaConfig, LlamaForCausalLM, set_seed

    set_seed(0)

    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(WORDS) + 40,
            hidden_size=16,
            intermediate_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=2,
            max_position_embeddings=64,
            pad_token_id=0,
            eos_token_id=1,
            bos_token_id=1,
        )
    )
