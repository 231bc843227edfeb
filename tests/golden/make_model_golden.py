#!/usr/bin/env python3
"""Makes model.txt: forward, loss and every gradient of small models in float64, by PyTorch.

    python3 tests/golden/make_model_golden.py > tests/golden/model.txt

The only use of PyTorch in the project: tests read the text file. Written from the definition of the
model (design section 5), not from the C code. Every line is a keyword, names or sizes, numbers.
"""
import json
import math
import torch

torch.set_default_dtype(torch.float64)
BASE = dict(vocab_size=13, n_embed=8, d_model=8, n_layers=2, n_heads=2, n_kv_heads=2, head_dim=6,
            d_ff=10, context=5, embedding="learned", embed_scale=1.0, norm="layer", norm_eps=1e-5,
            act="gelu", bias_qkv=False, bias_out=True, bias_ffn=True, bias_head=True,
            norm_bias=True, tied_head=False, rope_base=10000.0, lora_rank=0, lora_alpha=0.0,
            dropout=0.0)
CASES = {
    "layer_gelu_biases": dict(bias_qkv=True, rope_base=100.0),
    "rms_swiglu_gqa_tied": dict(norm="rms", norm_bias=False, act="swiglu", n_heads=4, head_dim=2,
                                bias_out=False, bias_ffn=False, bias_head=False, tied_head=True),
    "narrow_table": dict(n_embed=4, embed_scale=1.5, norm_bias=False),
    "lora": dict(lora_rank=2, lora_alpha=3.0, norm="rms", norm_bias=False, n_heads=2,
                 n_kv_heads=1, act="swiglu"),
    "lora_gelu": dict(lora_rank=3, lora_alpha=1.0),
}
BATCH, T = 2, 5


def make_params(c, gen):
    C, F, V = c["d_model"], c["d_ff"], c["vocab_size"]
    Q, K = c["n_heads"] * c["head_dim"], c["n_kv_heads"] * c["head_dim"]
    gated = c["act"] == "swiglu"
    shapes = {"embedding": (V, c["n_embed"])}
    for l in range(c["n_layers"]):
        block = {"attn_norm": (C,), "attn_norm_bias": (C,) if c["norm_bias"] else None,
                 "attn_q": (Q, C), "attn_q_bias": (Q,) if c["bias_qkv"] else None,
                 "attn_k": (K, C), "attn_k_bias": (K,) if c["bias_qkv"] else None,
                 "attn_v": (K, C), "attn_v_bias": (K,) if c["bias_qkv"] else None,
                 "attn_out": (C, Q), "attn_out_bias": (C,) if c["bias_out"] else None,
                 "ffn_norm": (C,), "ffn_norm_bias": (C,) if c["norm_bias"] else None,
                 "ffn_gate": (F, C) if gated else None,
                 "ffn_up": (F, C), "ffn_up_bias": (F,) if c["bias_ffn"] else None,
                 "ffn_down": (C, F), "ffn_down_bias": (C,) if c["bias_ffn"] else None}
        for name, shape in block.items():
            if shape is None:
                continue
            shapes[f"blocks/{l}/{name}"] = shape
            if c["lora_rank"] and len(shape) == 2:
                shapes[f"blocks/{l}/{name}_lora_a"] = (c["lora_rank"], shape[1])
                shapes[f"blocks/{l}/{name}_lora_b"] = (shape[0], c["lora_rank"])
    shapes["final_norm"] = (C,)
    if c["norm_bias"]:
        shapes["final_norm_bias"] = (C,)
    if not c["tied_head"]:
        shapes["head"] = (V, C)
    if c["bias_head"]:
        shapes["head_bias"] = (V,)
    params = {}
    for name, shape in shapes.items():
        values = torch.randn(shape, generator=gen) * 0.4
        if name.endswith("_norm"):
            values = 1.0 + 0.5 * values
        # float32 values, so that the C side starts from exactly these numbers.
        params[name] = values.float().double().requires_grad_(True)
    return params


def norm(c, p, name, x):
    if c["norm"] == "layer":
        return torch.nn.functional.layer_norm(x, (x.shape[-1],), p[name], p.get(name + "_bias"),
                                              c["norm_eps"])
    return x / torch.sqrt(x.pow(2).mean(-1, keepdim=True) + c["norm_eps"]) * p[name]


def linear(c, p, name, x):
    y = x @ p[name].T
    if name + "_bias" in p:
        y = y + p[name + "_bias"]
    if name + "_lora_a" in p:
        y = y + c["lora_alpha"] / c["lora_rank"] * (x @ p[name + "_lora_a"].T
                                                    @ p[name + "_lora_b"].T)
    return y


def rotate(c, x):  # (B, T, H, D), pairs (i, i + D / 2)
    half = c["head_dim"] // 2
    freq = c["rope_base"] ** (-torch.arange(half) / half)
    angle = torch.arange(x.shape[1])[:, None] * freq
    cos, sin = torch.cos(angle)[None, :, None], torch.sin(angle)[None, :, None]
    a, b = x[..., :half], x[..., half:]
    return torch.cat([a * cos - b * sin, a * sin + b * cos], -1)


def forward(c, p, ids):
    B, n = ids.shape
    H, K, D = c["n_heads"], c["n_kv_heads"], c["head_dim"]
    x = c["embed_scale"] * p["embedding"][ids]
    x = x.repeat_interleave(c["d_model"] // c["n_embed"], -1)
    for l in range(c["n_layers"]):
        at = f"blocks/{l}/"
        y = norm(c, p, at + "attn_norm", x)
        q = rotate(c, linear(c, p, at + "attn_q", y).view(B, n, H, D))
        k = rotate(c, linear(c, p, at + "attn_k", y).view(B, n, K, D)).repeat_interleave(H // K, 2)
        v = linear(c, p, at + "attn_v", y).view(B, n, K, D).repeat_interleave(H // K, 2)
        score = torch.einsum("bihd,bjhd->bhij", q, k) / math.sqrt(D)
        score = score.masked_fill(torch.ones(n, n).triu(1).bool(), -math.inf)
        mixed = torch.einsum("bhij,bjhd->bihd", score.softmax(-1), v).reshape(B, n, H * D)
        x = x + linear(c, p, at + "attn_out", mixed)
        y = norm(c, p, at + "ffn_norm", x)
        up = linear(c, p, at + "ffn_up", y)
        if c["act"] == "swiglu":
            act = torch.nn.functional.silu(linear(c, p, at + "ffn_gate", y)) * up
        else:
            act = torch.nn.functional.gelu(up)
        x = x + linear(c, p, at + "ffn_down", act)
    y = norm(c, p, "final_norm", x)
    logits = y @ (p["embedding"] if c["tied_head"] else p["head"]).T
    return logits + p["head_bias"] if "head_bias" in p else logits


def numbers(values):
    return " ".join("%.9g" % v for v in values.detach().reshape(-1).tolist())


def main():
    for index, (name, changes) in enumerate(CASES.items()):
        c = dict(BASE, **changes)
        gen = torch.Generator().manual_seed(index + 1)
        p = make_params(c, gen)
        ids = torch.randint(0, c["vocab_size"], (BATCH, T), generator=gen)
        targets = torch.randint(0, c["vocab_size"], (BATCH, T), generator=gen)
        targets[1, 2] = -1
        logits = forward(c, p, ids)
        loss = torch.nn.functional.cross_entropy(logits.view(BATCH * T, -1), targets.view(-1),
                                                 ignore_index=-1)
        loss.backward()
        print("case", name)
        print("config", json.dumps(c))
        print("tokens", BATCH, T)
        print("ids", numbers(ids))
        print("targets", numbers(targets))
        print("loss", "%.12g" % loss.item())
        print("logits", numbers(logits))
        for path, value in p.items():
            print("param", path, value.numel(), numbers(value))
            print("grad", path, value.numel(), numbers(value.grad))
        print("end")


main()
