#!/usr/bin/env python3
"""Training speed of the models of `cambium bench train-124m` and `train-350m` in PyTorch, compiled, with
flash attention and fused AdamW: the peer of tests/gpu/run.

    peer_torch.py 124m|350m [SECONDS]

Prints one JSON line. Needs torch and a GPU.
"""
import json
import os
import statistics
import sys
import time

import torch

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "bench"))
import peer_torch as small  # the same model, on a larger scale

MODELS = {"124m": dict(layers=12, d=768, heads=12), "350m": dict(layers=24, d=1024, heads=16)}
ROWS, T, VOCAB = 16, 1024, 50304


def main():
    name = sys.argv[1]
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 10.0
    small.T = T
    torch.manual_seed(1)
    torch.set_float32_matmul_precision("high")
    model = small.Model(vocab=VOCAB, frozen=False, **MODELS[name]).cuda()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.1, fused=True)
    compiled = torch.compile(model)
    ids = torch.randint(0, VOCAB, (ROWS, T + 1), device="cuda")
    times = []

    def step():
        start = time.perf_counter()
        with torch.autocast("cuda", torch.bfloat16):
            loss = compiled(ids[:, :-1], ids[:, 1:])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        torch.cuda.synchronize()
        return time.perf_counter() - start

    for _ in range(10):
        step()
    end = time.perf_counter() + seconds
    while len(times) < 5 or time.perf_counter() < end:
        times.append(step())
    print(json.dumps({
        "bench": "train-" + name, "peer": "torch " + torch.__version__, "dtype": "bfloat16",
        "tokens_per_second": ROWS * T / statistics.median(times),
        "peak_bytes": torch.cuda.max_memory_allocated(),
    }))


if __name__ == "__main__":
    main()
