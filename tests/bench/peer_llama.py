#!/usr/bin/env python3
"""Speed of llama.cpp (the package llama-cpp-python) on a GGUF file, for comparison with
`cambium bench decode --model FILE --context N` on the same weights:

  peer_llama.py MODEL.gguf [--context N] [--kv f16|q8_0] [--flash] [--seconds S] [--threads T]

Prints prompt tokens per second (512 at once) and new tokens per second behind N tokens. Long
contexts are really read, which takes minutes."""
import argparse
import json
import os
import time

import llama_cpp

options = argparse.ArgumentParser()
options.add_argument("model")
options.add_argument("--context", type=int, default=512)
options.add_argument("--kv", choices=["f16", "q8_0"], default="f16")
options.add_argument("--flash", action="store_true")
options.add_argument("--seconds", type=float, default=10.0)
options.add_argument("--threads", type=int, default=os.cpu_count())
o = options.parse_args()
PROMPT, STEPS = 512, 16
kv = {"f16": llama_cpp.GGML_TYPE_F16, "q8_0": llama_cpp.GGML_TYPE_Q8_0}[o.kv]
model = llama_cpp.Llama(o.model, n_ctx=o.context + 2 * PROMPT, n_batch=PROMPT, n_ubatch=PROMPT,
                        n_threads=o.threads, n_threads_batch=o.threads, flash_attn=o.flash,
                        type_k=kv, type_v=kv, verbose=False)


def tokens(count, salt=0):
    return [((i + salt) * 37 + 11) % model.n_vocab() for i in range(count)]


def median(times):
    return sorted(times)[len(times) // 2]


def timed(ids):
    start = time.perf_counter()
    model.eval(ids)
    return time.perf_counter() - start


def read_prompt():
    model.reset()
    return timed(tokens(PROMPT))


read_prompt()
prompts = [read_prompt() for _ in range(5)]
if o.context > PROMPT:
    model.eval(tokens(o.context - PROMPT, PROMPT))
steps = []
end = time.perf_counter() + o.seconds
while time.perf_counter() < end or len(steps) < STEPS:
    model.n_tokens = o.context  # what came behind it is forgotten
    steps += [timed([id]) for id in tokens(STEPS)]
print(json.dumps({"peer": "llama.cpp", "model": os.path.basename(o.model), "threads": o.threads,
                  "context": o.context, "kv": o.kv, "flash": o.flash,
                  "prompt_tokens_per_second": PROMPT / median(prompts),
                  "tokens_per_second": 1.0 / median(steps)}))
