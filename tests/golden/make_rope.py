#!/usr/bin/env python3
"""Makes rope.jsonl: rotary frequencies and attention factors as `transformers` computes them, of models whose files name
a scaling and of plain ones that are stretched when they are loaded.

    python3 tests/golden/make_rope.py >tests/golden/rope.jsonl
"""
import json

from transformers import LlamaConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

LLAMA3 = {"rope_type": "llama3", "low_freq_factor": 1.0, "high_freq_factor": 4.0}
CASES = [
    (10000.0, 64, 8192, {"rope_type": "linear", "factor": 4.0}),
    (500000.0, 128, 131072, LLAMA3 | {"factor": 8.0, "original_max_position_embeddings": 8192}),
    (500000.0, 64, 131072, LLAMA3 | {"factor": 32.0, "original_max_position_embeddings": 8192}),
    (1000000.0, 128, 131072, {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}),
    (10000.0, 64, 65536, {"rope_type": "yarn", "factor": 16.0, "original_max_position_embeddings": 4096,
                          "beta_fast": 20.0, "beta_slow": 2.0, "attention_factor": 1.25}),
]
# What --rope-scaling makes of a model that has none: the kind, the factor, and how transformers names it. Fixed ntk is
# "dynamic" of factor 1 at a text as long as the stretched context.
STRETCHED = [
    (100000.0, 64, 8192, "linear", 2.0),
    (100000.0, 64, 8192, "yarn", 2.0),
    (1000000.0, 128, 32768, "yarn", 3.5),
    (100000.0, 64, 8192, "ntk", 2.0),
    (10000.0, 128, 4096, "ntk", 7.5),
]


def frequencies(base, head, context, scaling, length=None):
    config = LlamaConfig(hidden_size=head, num_attention_heads=1, head_dim=head, max_position_embeddings=context,
                         rope_theta=base, rope_parameters=scaling | {"rope_theta": base})
    inv_freq, factor = ROPE_INIT_FUNCTIONS[scaling["rope_type"]](config, "cpu", length)
    return {"inv_freq": [float(x) for x in inv_freq], "attention": factor}


for base, head, context, scaling in CASES:
    print(json.dumps({"rope_theta": base, "head_dim": head, "max_position_embeddings": context, "rope_scaling": scaling}
                     | frequencies(base, head, context, scaling)))
for base, head, context, kind, factor in STRETCHED:
    scaling = {"rope_type": kind, "factor": factor}
    if kind == "yarn":
        scaling["original_max_position_embeddings"] = context
    if kind == "ntk":
        scaling = {"rope_type": "dynamic", "factor": 1.0}
    found = frequencies(base, head, context, scaling, int(factor * context) if kind == "ntk" else None)
    print(json.dumps({"rope_theta": base, "head_dim": head, "max_position_embeddings": context,
                      "extension": {"scaling": kind, "factor": factor}} | found))
