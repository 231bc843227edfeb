#!/usr/bin/env python3
"""Makes tests/golden/hf_llama: a tiny Llama in two safetensors shards, as `transformers` saves it,
and the logits that `transformers` computes with it. Needs torch, transformers and tokenizers:

    python3 tests/golden/make_hf_llama.py tests/golden/hf_llama
"""
import os
import sys

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM

folder = sys.argv[1]
torch.manual_seed(20)
config = LlamaConfig(vocab_size=264, hidden_size=24, intermediate_size=40, num_hidden_layers=2,
                     num_attention_heads=6, num_key_value_heads=2, max_position_embeddings=64,
                     rms_norm_eps=1e-6, rope_theta=500.0, tie_word_embeddings=False,
                     bos_token_id=None, eos_token_id=None, pad_token_id=None)
model = LlamaForCausalLM(config).eval()
with torch.no_grad():
    for parameter in model.parameters():
        parameter.add_(0.25 * torch.randn(parameter.shape))
model.save_pretrained(folder, max_shard_size="40KB")
if os.path.exists(os.path.join(folder, "generation_config.json")):
    os.remove(os.path.join(folder, "generation_config.json"))

alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
vocab = {c: i for i, c in enumerate(alphabet)}
merges = [("h", "e"), ("he", "l"), ("l", "o"), ("hel", "lo")]
for left, right in merges:
    vocab.setdefault(left + right, len(vocab))
tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges))
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
tokenizer.decoder = decoders.ByteLevel()
tokenizer.save(os.path.join(folder, "tokenizer.json"))

ids = torch.tensor([[(i * 37 + 11) % 264 for i in range(20)]])
with torch.no_grad():
    logits = model(ids).logits[0].numpy().astype("<f4")
np.save(os.path.join(folder, "logits.npy"), logits)
