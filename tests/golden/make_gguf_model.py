#!/usr/bin/env python3
"""Makes gguf_tiny/: a small random model of the architecture llama in all types that import reads,
written by the Python package `gguf` (model.gguf); its logits from `transformers` on the numbers that
`gguf` reads from the blocks (logits.npy); and what `sentencepiece` makes of some texts with the same
vocabulary (tokens.jsonl). Needs these packages:

    python3 tests/golden/make_gguf_model.py tests/golden/gguf_tiny
"""
import io
import json
import os
import sys

import numpy as np
import sentencepiece
import torch
from gguf import GGML_QUANT_SIZES, GGUFWriter, GGMLQuantizationType as T
from gguf.quants import dequantize, quantize
from transformers import LlamaConfig, LlamaForCausalLM

D, HEADS, KV, HEAD, FF, POSITIONS = 256, 2, 1, 32, 96, 20
TEXT = ["The cambium is the layer of a tree that adds one ring at a time, year after year.",
        "It is the tissue that a graft is joined by; they have grown together.",
        "Деревья растут медленно, а кольца дерева считают годы.",
        "A tree, the tree, the trees: one ring a year in the layer."]
TEST = TEXT + ["", " ", "  two  spaces ", "tree\n\ttree", "年轮 ring 😀", "the" * 20, "unknown Ω ▁ mark"]
out = sys.argv[1]
os.makedirs(out, exist_ok=True)
rng = np.random.default_rng(3)

model = io.BytesIO()
sentencepiece.SentencePieceTrainer.train(
    sentence_iterator=iter(TEXT * 4), model_writer=model, vocab_size=340, model_type="bpe", byte_fallback=True,
    normalization_rule_name="identity", remove_extra_whitespaces=False, unk_id=0, bos_id=1, eos_id=2,
    character_coverage=1.0, hard_vocab_limit=False, minloglevel=2)
pieces = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
V = pieces.vocab_size()
with open(f"{out}/tokens.jsonl", "w", encoding="utf-8") as file:
    for text in TEST:
        file.write(json.dumps({"text": text, "ids": pieces.encode(text)}, ensure_ascii=False) + "\n")

writer = GGUFWriter(f"{out}/model.gguf", "llama")
writer.add_name("tiny")
writer.add_block_count(1)
writer.add_context_length(64)
writer.add_embedding_length(D)
writer.add_feed_forward_length(FF)
writer.add_head_count(HEADS)
writer.add_head_count_kv(KV)
writer.add_key_length(HEAD)
writer.add_value_length(HEAD)
writer.add_rope_dimension_count(HEAD)
writer.add_rope_freq_base(700.0)
writer.add_layer_norm_rms_eps(1e-6)
writer.add_tokenizer_model("llama")
writer.add_token_list([pieces.id_to_piece(i) for i in range(V)])
writer.add_token_scores([pieces.get_score(i) for i in range(V)])
writer.add_token_types([2 if pieces.is_unknown(i) else 3 if pieces.is_control(i) else 6 if pieces.is_byte(i) else 1
                        for i in range(V)])
writer.add_bos_token_id(1)
writer.add_eos_token_id(2)
writer.add_unk_token_id(0)
writer.add_chat_template("{% for m in messages %}<|im_start|>{{ m }}<|im_end|>{% endfor %}")


def blocks(kind, rows, cols):
    """A random matrix in blocks; the K types have no quantiser in `gguf`, so their bytes are random."""
    if kind not in (T.Q4_K, T.Q6_K):
        return quantize(rng.normal(0, 0.1, (rows, cols)).astype(np.float32), kind)
    values, size = GGML_QUANT_SIZES[kind]
    data = rng.integers(0, 256, (rows, cols // values, size), dtype=np.uint8)
    for at in ([0, 2] if kind == T.Q4_K else [208]):
        scale = {0: 3e-4, 2: 2e-3, 208: 5e-5}[at] * rng.uniform(0.5, 1, data.shape[:2])
        data[..., at:at + 2] = scale.astype(np.float16).view(np.uint8).reshape(*data.shape[:2], 2)
    return data.reshape(rows, -1)


state = {}


def add(name, hf, kind, rows, cols, heads=0):
    data = blocks(kind, rows, cols)
    writer.add_tensor(name, data, raw_dtype=kind)
    values = dequantize(data, kind).reshape(rows, cols)
    if heads:  # llama.cpp's order of rows, undone
        values = values.reshape(heads, HEAD // 2, 2, cols).swapaxes(1, 2).reshape(rows, cols)
    state[hf] = torch.tensor(values)


def add_norm(name, hf):
    values = rng.uniform(0.5, 1.5, D).astype(np.float32)
    writer.add_tensor(name, values)
    state[hf] = torch.tensor(values)


add("token_embd.weight", "model.embed_tokens.weight", T.Q6_K, V, D)
add_norm("blk.0.attn_norm.weight", "model.layers.0.input_layernorm.weight")
add("blk.0.attn_q.weight", "model.layers.0.self_attn.q_proj.weight", T.Q4_K, HEADS * HEAD, D, HEADS)
add("blk.0.attn_k.weight", "model.layers.0.self_attn.k_proj.weight", T.F16, KV * HEAD, D, KV)
add("blk.0.attn_v.weight", "model.layers.0.self_attn.v_proj.weight", T.BF16, KV * HEAD, D)
add("blk.0.attn_output.weight", "model.layers.0.self_attn.o_proj.weight", T.Q4_0, D, HEADS * HEAD)
add_norm("blk.0.ffn_norm.weight", "model.layers.0.post_attention_layernorm.weight")
add("blk.0.ffn_gate.weight", "model.layers.0.mlp.gate_proj.weight", T.Q4_1, FF, D)
add("blk.0.ffn_up.weight", "model.layers.0.mlp.up_proj.weight", T.Q8_0, FF, D)
add("blk.0.ffn_down.weight", "model.layers.0.mlp.down_proj.weight", T.Q8_0, D, FF)
add_norm("output_norm.weight", "model.norm.weight")
add("output.weight", "lm_head.weight", T.Q4_K, V, D)
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()

config = LlamaConfig(vocab_size=V, hidden_size=D, intermediate_size=FF, num_hidden_layers=1, num_attention_heads=HEADS,
                     num_key_value_heads=KV, head_dim=HEAD, rms_norm_eps=1e-6, max_position_embeddings=64,
                     rope_theta=700.0, tie_word_embeddings=False)
llama = LlamaForCausalLM(config).eval()
llama.load_state_dict(state)
assert llama.config.rope_parameters["rope_theta"] == 700.0
with torch.no_grad():
    logits = llama(torch.tensor([[(37 * i + 11) % V for i in range(POSITIONS)]])).logits[0].numpy()
np.save(f"{out}/logits.npy", logits.astype(np.float32))
print(V, logits.std())
