#!/usr/bin/env python3
"""Makes jinja.jsonl: templates as `jinja2` renders them, set up as in `transformers`, with the clock at a fixed time.
Needs that package:

    python3 tests/golden/make_jinja.py >tests/golden/jinja.jsonl

The first line holds the variables; then one object a line: template, text (null: refused)."""
import json

from jinja_cases import VARIABLES, templates
from jinja_environment import environment

made = environment()
print(json.dumps(VARIABLES, ensure_ascii=False))
for template in templates():
    try:
        text = made.from_string(template).render(**json.loads(json.dumps(VARIABLES)))
    except Exception:
        text = None
    print(json.dumps({"template": template, "text": text}, ensure_ascii=False))
