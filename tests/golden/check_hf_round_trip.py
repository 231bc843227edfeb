#!/usr/bin/env python3
"""Tiny models of `transformers`, and folders that it loads and saves, for test_hf_round_trip:

    check_hf_round_trip.py make OUT           OUT/NAME for every family and setting that import reads
    check_hf_round_trip.py save OUT FOLDER... loads each folder and saves it as OUT/NAME

Exit status 3 when torch or transformers is not installed."""
import os
import sys
import warnings

try:
    import torch
    import transformers
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
except ImportError as error:
    print(error)
    sys.exit(3)

warnings.filterwarnings("ignore")
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()

BASE = dict(vocab_size=300, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
            num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=128,
            bos_token_id=None, eos_token_id=None, pad_token_id=None)
LLAMA3 = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=32, rope_theta=5e5)
YARN = dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=32, rope_theta=1e4)
CASES = {
    "llama": ("Llama", {}),
    "llama_biases": ("Llama", dict(attention_bias=True, head_dim=16)),
    "llama_tied": ("Llama", dict(tie_word_embeddings=True)),
    "llama_linear": ("Llama", dict(rope_parameters=dict(rope_type="linear", factor=2.0,
                                                        rope_theta=1e4))),
    "llama_llama3": ("Llama", dict(rope_parameters=LLAMA3)),
    "llama_yarn": ("Llama", dict(rope_parameters=YARN)),
    "llama_yarn_fast": ("Llama", dict(rope_parameters={**YARN, "beta_fast": 16.0, "beta_slow": 2.0,
                                                       "attention_factor": 1.25})),
    "llama_half": ("Llama", dict(dtype="bfloat16")),
    "mistral": ("Mistral", dict(sliding_window=None)),
    "mistral_window": ("Mistral", dict(sliding_window=128)),
    "qwen2": ("Qwen2", {}),
    "qwen2_tied": ("Qwen2", dict(tie_word_embeddings=True, use_sliding_window=False)),
}


def tokenizer_of(family):
    vocab = {c: i for i, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    for pair in (("h", "e"), ("he", "l"), ("l", "o"), ("hel", "lo")):
        vocab.setdefault("".join(pair), len(vocab))
    merges = [("h", "e"), ("he", "l"), ("l", "o"), ("hel", "lo")]
    if family == "Qwen2":  # has a form of its own, which AutoTokenizer gives back whatever it finds
        return transformers.Qwen2TokenizerFast(vocab=vocab, merges=merges)
    inner = Tokenizer(models.BPE(vocab=vocab, merges=merges))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    inner.add_special_tokens(["<s>", "</s>"])
    return transformers.PreTrainedTokenizerFast(tokenizer_object=inner, bos_token="<s>",
                                                eos_token="</s>")


def make(out):
    for name, (family, settings) in CASES.items():
        torch.manual_seed(len(name))
        config = getattr(transformers, family + "Config")(**{**BASE, **settings})
        model = getattr(transformers, family + "ForCausalLM")(config)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.25 * torch.randn(parameter.shape))
        if settings.get("dtype"):
            model = model.to(torch.bfloat16)
        model.save_pretrained(os.path.join(out, name), max_shard_size="30KB")
        tokenizer_of(family).save_pretrained(os.path.join(out, name))


def save(out, folders):
    for folder in folders:
        to = os.path.join(out, os.path.basename(folder))
        load = dict(trust_remote_code=True)
        transformers.AutoModelForCausalLM.from_pretrained(folder, **load).save_pretrained(to)
        transformers.AutoTokenizer.from_pretrained(folder, **load).save_pretrained(to)


if sys.argv[1] == "make":
    make(sys.argv[2])
else:
    save(sys.argv[2], sys.argv[3:])
