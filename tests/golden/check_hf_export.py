#!/usr/bin/env python3
"""Loads an exported folder with `transformers` and compares its logits with those of the program:

    check_hf_export.py FOLDER LOGITS.npy     (ids are (37 i + 11) mod vocabulary)

Prints the largest difference relative to the largest logit; exit status 1 above 1e-4, 3 when torch
or transformers is not installed."""
import sys
import warnings

try:
    import numpy as np
    import torch
    import transformers
except ImportError as error:
    print(error)
    sys.exit(3)

warnings.filterwarnings("ignore")
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
folder, golden = sys.argv[1], np.load(sys.argv[2])
model = transformers.AutoModelForCausalLM.from_pretrained(
    folder, trust_remote_code=True, torch_dtype=torch.float32).eval()
n, vocabulary = golden.shape
ids = torch.tensor([[(37 * i + 11) % vocabulary for i in range(n)]])
with torch.no_grad():
    logits = model(ids).logits[0].float().numpy()
# Rules that mix probabilities give log-probabilities: compare up to a constant per position.
if sys.argv[3:] == ["--shift"]:
    logits = logits - logits.max(-1, keepdims=True)
    golden = golden - golden.max(-1, keepdims=True)
error = np.abs(logits - golden).max() / np.abs(golden).max()
tokenizer = transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=True)
assert tokenizer.decode(tokenizer.encode("hello", add_special_tokens=False)) == "hello"
with torch.no_grad():
    text = model.generate(ids[:, :4], max_new_tokens=5, do_sample=False)
assert text.shape[1] == 9 or text[0, -1] == model.config.eos_token_id
print(f"largest difference {error:.2g} of the largest logit")
sys.exit(1 if error > 1e-4 else 0)
