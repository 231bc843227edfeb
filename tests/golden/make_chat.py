#!/usr/bin/env python3
"""Makes chat.jsonl: conversations as `transformers` (5.24) renders them with chat templates, the clock at a fixed time. Needs
that package:

    python3 tests/golden/make_chat.py >tests/golden/chat.jsonl

The first line holds the requests; then one object a line: style (of this program, that renders plain messages alike; null:
none), template, bos, eos, and the texts of the requests (null: refused)."""
import json

from chat_cases import REQUESTS, TEMPLATES, apply, fix_clock

fix_clock()
print(json.dumps(REQUESTS, ensure_ascii=False))
for style, template, bos, eos in TEMPLATES:
    texts = [apply(template, request, bos, eos) for request in REQUESTS]
    print(json.dumps({"style": style, "template": template, "bos": bos, "eos": eos, "texts": texts}, ensure_ascii=False))
