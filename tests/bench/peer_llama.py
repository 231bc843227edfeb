#!/usr/bin/env python3
"""Speed of llama.cpp (the package llama-cpp-python) on a GGUF file, for comparison with
`cambium bench decode --model` on the same weights:

  peer_llama.py MODEL.gguf [SECONDS] [THREADS]

Prints prompt tokens per second (512 at once) and new tokens per second behind that prompt."""
import json
import os
import sys
import time

from llama_cpp import Llama

path = sys.argv[1]
seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 10.0
threads = int(sys.argv[3]) if len(sys.argv) > 3 else os.cpu_count()
PROMPT = 512
model = Llama(path, n_ctx=1024, n_batch=PROMPT, n_threads=threads, n_threads_batch=threads, verbose=False)
prompt = [(i * 37 + 11) % model.n_vocab() for i in range(PROMPT)]


def median(times):
    return sorted(times)[len(times) // 2]


def timed(tokens):
    start = time.perf_counter()
    model.eval(tokens)
    return time.perf_counter() - start


def read_prompt():
    model.reset()
    return timed(prompt)


read_prompt()
prompts, steps = [], []
end = time.perf_counter() + seconds
while time.perf_counter() < end or len(prompts) < 3:
    prompts.append(read_prompt())
    steps += [timed([prompt[i]]) for i in range(64)]
print(json.dumps({"peer": "llama.cpp", "model": os.path.basename(path), "threads": threads,
                  "prompt_tokens_per_second": PROMPT / median(prompts),
                  "tokens_per_second": 1.0 / median(steps)}))
