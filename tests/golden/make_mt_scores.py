#!/usr/bin/env python3
"""Golden scores of translations: made-up texts with what sacrebleu 2.6.0 gives for them.

    python3 tests/golden/make_mt_scores.py     (pip install sacrebleu==2.6.0)

Writes mt_scores.jsonl: {"hyp": [...], "refs": [[...], ...], "scores": {signature: score}}, and
mt_tokens.jsonl: {"in": text, "out": {tokenizer: text}}.
"""
import json
import os
import random

from sacrebleu.metrics import BLEU, CHRF, TER
from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a
from sacrebleu.tokenizers.tokenizer_char import TokenizerChar
from sacrebleu.tokenizers.tokenizer_intl import TokenizerV14International
from sacrebleu.tokenizers.tokenizer_ter import TercomTokenizer
from sacrebleu.tokenizers.tokenizer_zh import TokenizerZh

FOLDER = os.path.dirname(os.path.abspath(__file__))
rng = random.Random(11)

LATIN = "the a ring of bark grows each year-end Tree's roots 3.14 1,000 (old) &amp; sap; it's x".split()
CYRILLIC = "Дерево растёт кольцо ЗА кольцом, год 2026-й; кора: «тёмная» № 5 — и".split()
GREEK = "ΟΔΟΣ δέντρο ΣΟΦΙΑ Σ. ΆΝΘΟΣ".split()
HAN = list("树木每年长一圈的皮很老，。新枝在春天发芽「年轮」3％")
ODD = ["İstanbul", "Straße", "①②", "…", "¿qué?", "$5", "€", "½", "a.b", "x-1", "9-", "--", "'s", "ＡＢ",
       "ひらがな", "カナ", "“q”", "🌳", "e\u0301", "\u2003", "\u00a0", "<skipped>", "&lt;b&gt;", "१२", "।"]
SCRIPTS = [(LATIN, " "), (CYRILLIC, " "), (GREEK, " "), (HAN, ""), (LATIN + ODD, " "), (HAN + ODD, "")]


def noisy(words, pool):
    """Shifts, replacements, deletions and insertions."""
    words = list(words)
    for _ in range(rng.randrange(0, 4)):
        if not words:
            break
        kind, i = rng.randrange(4), rng.randrange(len(words))
        if kind == 0:
            n = rng.randrange(1, 5)
            run = words[i:i + n]
            del words[i:i + n]
            at = rng.randrange(len(words) + 1)
            words[at:at] = run
        elif kind == 1:
            words[i] = rng.choice(pool)
        elif kind == 2:
            del words[i]
        else:
            words.insert(i, rng.choice(pool))
    return words


def corpora():
    for number in range(48):
        pool, joint = SCRIPTS[number % len(SCRIPTS)]
        n_refs = 1 + number % 3
        hyps, refs = [], [[] for _ in range(n_refs)]
        for _ in range(rng.randrange(1, 5)):
            words = [rng.choice(pool) for _ in range(rng.choice([0, 1, 2, 3, 5, 8, 13, 30]))]
            hyps.append(joint.join(noisy(words, pool)))
            for r in range(n_refs):
                refs[r].append(joint.join(noisy(words, pool)))
        if number == 0:  # lengths far apart, as in texts that were cut: wide bands in TER
            hyps.append(" ".join(rng.choice(pool) for _ in range(2)))
            for r in range(n_refs):
                refs[r].append(" ".join(rng.choice(pool) for _ in range(160)))
        if number == 6:
            hyps.append(" ".join(rng.choice("ab") for _ in range(120)))  # more shifts than are tried
            for r in range(n_refs):
                refs[r].append(" ".join(rng.choice("ab") for _ in range(90)))
        if number == 12:  # words further from their places than the band of TER is wide
            words = [f"w{i}" for i in range(70)]
            for by in (21, 24, 26, 31):
                hyps.append(" ".join(words[by:] + words[:by]))
                for r in range(n_refs):
                    refs[r].append(" ".join(words))
        yield hyps, refs


def metrics():
    for tokenize in ("13a", "zh", "char", "intl", "none"):
        yield BLEU(tokenize=tokenize)
        yield BLEU(tokenize=tokenize, smooth_method="floor", lowercase=True)
        yield BLEU(tokenize=tokenize, smooth_method="add-k", smooth_value=0.5)
        yield BLEU(tokenize=tokenize, smooth_method="none", effective_order=True)
        yield BLEU(tokenize=tokenize, effective_order=True, lowercase=True)
    yield CHRF()
    yield CHRF(word_order=2)
    yield CHRF(word_order=1, beta=3, char_order=4, whitespace=True)
    yield CHRF(eps_smoothing=True, word_order=2)
    yield CHRF(lowercase=True, word_order=2)
    for normalized in (False, True):
        for no_punct in (False, True):
            for asian in (False, True):
                yield TER(normalized=normalized, no_punct=no_punct, asian_support=asian,
                          case_sensitive=normalized)


def numbers(score):
    if score.name == "BLEU":
        return [score.score, score.bp, score.sys_len, score.ref_len]
    if score.name == "TER":
        return [score.score, score.num_edits, score.ref_length]
    return score.score


def main():
    with open(os.path.join(FOLDER, "mt_scores.jsonl"), "w", encoding="utf-8") as out:
        for hyps, refs in corpora():
            scores = {}
            for metric in metrics():
                score = metric.corpus_score(hyps, refs)
                scores[f"{score.name}|{metric.get_signature()}"] = numbers(score)
            print(json.dumps({"hyp": hyps, "refs": refs, "scores": scores}, ensure_ascii=False),
                  file=out)
    tokenizers = {
        "13a": Tokenizer13a(), "zh": TokenizerZh(), "char": TokenizerChar(),
        "intl": TokenizerV14International(), "ter": TercomTokenizer(),
        "ter-norm-cs": TercomTokenizer(normalized=True, case_sensitive=True),
        "ter-norm-asian": TercomTokenizer(normalized=True, asian_support=True),
        "ter-nopunct": TercomTokenizer(no_punct=True),
    }
    with open(os.path.join(FOLDER, "mt_tokens.jsonl"), "w", encoding="utf-8") as out:
        for number in range(60):
            pool, joint = SCRIPTS[number % len(SCRIPTS)]
            words = [rng.choice(pool + ["\n", "-\n", "\t", " . ", "\u200b"]) for _ in range(12)]
            text = rng.choice([joint, "", " "]).join(words)
            outputs = {name: tokenizer(text) for name, tokenizer in tokenizers.items()}
            print(json.dumps({"in": text, "out": outputs}, ensure_ascii=False), file=out)


main()
