#!/usr/bin/env python3
"""Writes, in the form of chat.jsonl, what the `transformers` of this machine renders: the templates of chat_cases.py, 200
random ones (seed: CHAT_SEED, or 1), and every *.jinja file of the folder that CHAT_TEMPLATES names. Run by
tests/unit/test_chat_template.c. Exit status 3 where transformers 5 is not installed."""
import glob
import importlib.metadata
import json
import os
import random
import sys

try:
    if int(importlib.metadata.version("transformers").split(".")[0]) < 5:
        sys.exit(3)
    import jinja2  # noqa: F401
except ImportError:
    sys.exit(3)

from chat_cases import REQUESTS, TEMPLATES, apply, fix_clock
from jinja_cases import EXPRESSIONS, VARIABLES

TEXTS = ["", "a", "\n", " ", "  \n  ", "x\n\n  ", "\t", "é", "{", "} ", "<|end|>"]
LOOPS = ["loop.index", "loop.first", "loop.last", "loop.revindex", "loop.length", "loop.cycle('a', 'b')", "loop.changed(x)", "x"]
SOURCES = ["l", "ls", "s", "d", "range(3)", "undef", "u", "e", "messages", "m | map(attribute='role')", "l | reverse", "words.split()"]


class Writer:
    """Random templates: expressions of jinja_cases.py, tags around them, white space between them."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.expressions = [e.strip() for line in EXPRESSIONS.strip().split("\n")[:-3] for e in line.split(" ;; ")]

    def pick(self, *items):
        return self.random.choice(items)

    def tag(self, inside):
        return self.pick("{%", "{%", "{%-", "{%+") + " " + inside + " " + self.pick("%}", "%}", "-%}", "+%}")

    def put(self, expression):
        return self.pick("{{", "{{", "{{-") + " " + expression + " " + self.pick("}}", "}}", "-}}")

    def body(self, depth, loop=False):
        out = ""
        for _ in range(self.pick(1, 1, 2, 3)):
            out += self.pick(*TEXTS)
            if loop and self.random.random() < 0.5:
                out += self.put(self.pick(*LOOPS))
            elif loop and self.random.random() < 0.2:
                out += self.tag("if loop.index > 1") + self.tag(self.pick("break", "continue")) + self.tag("endif")
            else:
                out += self.statement(depth)
        return out + self.pick(*TEXTS)

    def statement(self, depth):
        one = self.pick(*self.expressions)
        kind = self.random.randrange(9) if depth > 0 else 0
        if kind == 1:
            return (self.tag("if " + one) + self.body(depth - 1) + self.pick("", self.tag("else") + self.body(depth - 1))
                    + self.tag("endif"))
        if kind == 2:
            return (self.tag("for x in " + self.pick(*SOURCES) + self.pick("", " if x")) + self.body(depth - 1, True)
                    + self.pick("", self.tag("else") + self.body(0)) + self.tag("endfor"))
        if kind == 3:
            return self.tag("set y = (" + one + ")") + self.put("y | string")
        if kind == 4:
            return self.tag("set y" + self.pick("", " | upper", " | trim")) + self.body(depth - 1) + self.tag("endset") + self.put("y")
        if kind == 5:
            return (self.tag("macro mac(a, b=2)") + self.body(depth - 1) + self.put("a ~ b") + self.tag("endmacro")
                    + self.put(self.pick("mac(1)", "mac(b=3, a=s)", "mac(1, n)")))
        if kind == 6:
            return self.tag("filter " + self.pick("upper", "trim", "indent(2)")) + self.body(depth - 1) + self.tag("endfilter")
        if kind == 7:
            return (self.tag("set ns = namespace(v='')") + self.tag("for m in messages") + self.tag("set ns.v = ns.v ~ m.role[0]")
                    + self.tag("endfor") + self.put("ns.v"))
        if kind == 8:
            return self.pick("{# c #}", "{#- c -#}", "{% raw %}{{ x }}{% endraw %}", self.tag("with x = " + self.pick("n", "l", "s"))
                             + self.body(depth - 1) + self.tag("endwith"))
        return self.put(one)


def foreign():
    folder = os.environ.get("CHAT_TEMPLATES")
    for path in sorted(glob.glob(os.path.join(folder, "*.jinja"))) if folder else []:
        yield open(path, encoding="utf-8", newline="").read()


def show(template, bos="<s>", eos="</s>", first=0):
    """Requests before `first` are not asked: false."""
    texts = [False] * first + [apply(template, request, bos, eos) for request in requests[first:]]
    if not any(isinstance(text, str) and " object at 0x" in text for text in texts):
        print(json.dumps({"style": None, "template": template, "bos": bos, "eos": eos, "texts": texts}))


fix_clock()
# The last is for the random ones.
requests = REQUESTS + [{"messages": REQUESTS[0]["messages"], "variables": VARIABLES}]
print(json.dumps(requests))
for _, template, bos, eos in TEMPLATES:
    show(template, bos, eos)
for template in foreign():
    show(template)
writer = Writer(int(os.environ.get("CHAT_SEED", "1")))
for _ in range(200):
    show(writer.body(2), first=len(REQUESTS))
