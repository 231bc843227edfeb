#!/usr/bin/env python3
"""Golden scores of 1,000 made-up answers by the rules of SQuAD's scorers, restated here in Python.

    python3 tests/golden/make_squad_scores.py >tests/golden/squad_scores.jsonl

One object a line: answer, refs, na (score that there is no answer), and [exact, F1] by version 1 (v1),
version 2 (v2) and version 1 with MLQA's rule for Chinese (zh). The last line has the totals of version
2 without and with a threshold, and the best thresholds.
"""
import json
import random
import re
import string
import unicodedata
from collections import Counter

rng = random.Random(7)
WORDS = ["the", "a", "an", "A", "The", "ring", "Rings", "of", "oak", "1,945", "(old)", "x-ray", "Ångström", "İ",
         "ΟΔΟΣ", "an_", "anthem", "a.", "—", "é", "the\u00a0tree", "дуб", "И", "don't", "U.S.", "½", "१२", "thé"]
HAN = list("树木年轮每一圈。，、《》") + ["2024", "DNA", " ", "鿋", "ー"]


def words_rule(text):
    kept = "".join(c for c in text.lower() if c not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", kept).split()


def chinese_rule(text):
    kept = "".join(c for c in text.lower()
                   if c not in string.punctuation and not unicodedata.category(c).startswith("P"))
    return re.sub("([\u4e00-\u9fa5])", r" \1 ", kept).split()


def overlap(answer, ref, empty_agree):
    if empty_agree and not (answer and ref):
        return float(answer == ref)
    common = sum((Counter(answer) & Counter(ref)).values())
    if common == 0:
        return 0.0
    precision, recall = common / len(answer), common / len(ref)
    return 2 * precision * recall / (precision + recall)


def score(rule, answer, refs, version):
    answer, refs = rule(answer), [rule(ref) for ref in refs]
    if version == 2:
        refs = [ref for ref in refs if ref] or [[]]
    exact = max((float(answer == ref) for ref in refs), default=0.0)
    return [exact, max((overlap(answer, ref, version == 2) for ref in refs), default=0.0)]


def text():
    if rng.random() < 0.3:
        return "".join(rng.choice(HAN) for _ in range(rng.randrange(0, 9)))
    return rng.choice([" ", "  ", " "]).join(rng.choice(WORDS) for _ in range(rng.randrange(0, 6)))


def changed(ref):
    kind = rng.randrange(6)
    if kind == 0:
        return ref
    if kind == 1:
        return "The " + ref.upper() + "."
    if kind == 2:
        return ref[:len(ref) // 2]
    if kind == 3:
        return text() + " " + ref
    return text() if kind == 4 else ""


def best_threshold(items, which):
    total = best = sum(not item["refs"] for item in items)
    threshold = 0.0
    for item in sorted(items, key=lambda item: item["na"]):
        total += item["v2"][which] if item["refs"] else -(item["answer"] != "")
        if total > best:
            best, threshold = total, item["na"]
    return [100 * best / len(items), threshold]


def totals(items, threshold):
    scores = [[float(not i["refs"])] * 2 if i["na"] > threshold else i["v2"] for i in items]
    with_answer = [s for s, item in zip(scores, items) if item["refs"]]
    without = [s for s, item in zip(scores, items) if not item["refs"]]
    mean = lambda rows, which: 100 * sum(row[which] for row in rows) / len(rows)
    return [mean(scores, 0), mean(scores, 1), mean(with_answer, 0), mean(with_answer, 1), mean(without, 0)]


def main():
    items = []
    for _ in range(1000):
        refs = [text() for _ in range(rng.choice([0, 1, 1, 1, 2, 3]))]
        refs = [ref for ref in refs if ref]
        answer = changed(rng.choice(refs)) if refs else rng.choice(["", "", "a", text()])
        sure = rng.random() < 0.8
        na = round(rng.uniform(0, 0.6) if bool(refs) == sure else rng.uniform(0.4, 1), 2)
        items.append({"answer": answer, "refs": refs, "na": na, "v1": score(words_rule, answer, refs, 1),
                      "v2": score(words_rule, answer, refs, 2), "zh": score(chinese_rule, answer, refs, 1)})
        print(json.dumps(items[-1], ensure_ascii=False))
    print(json.dumps({"plain": totals(items, 1.0), "half": totals(items, 0.5),
                      "best_exact": best_threshold(items, 0), "best_f1": best_threshold(items, 1)}))


main()
