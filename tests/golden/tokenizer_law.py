#!/usr/bin/env python3
"""The tokenizer's law: whatever parts a tokenizer.json is made of, Cambium reads it as Hugging Face's
`tokenizers` does, or refuses it by name. Forms are drawn at random: normalizers, pre-tokenizers,
added tokens and their flags, settings of the model. Needs `tokenizers`:

    python3 tests/golden/tokenizer_law.py check CAMBIUM FOLDER SEED COUNT
    python3 tests/golden/tokenizer_law.py golden SEED COUNT >tests/golden/tokenizer_forms.jsonl

`check`: COUNT forms from SEED on; ids with and without special tokens, texts decoded, and the file
that `export` writes, read by both again. `golden`: small forms with the ids of some texts, one object
a line, which the unit test reads without Python.
"""
import json
import os
import random
import resource
import subprocess
import sys

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

TEXT = [
    "The cambium is the layer of a tree that adds one ring at a time, year after year.",
    "It's the tissue that a graft is joined by; we'll say that they've grown together.",
    "Дерево растёт медленно, а кольца дерева считают годы: 1999, 2024.",
    "树木生长很慢,年轮记录年份:1999年。 café déjà  vu   naïve",
]
PARTS = [" ", " ", "  ", "   ", "the", "The", "tree", " tree", "ring", "12", "345", ".", ",", "'s", "!!", "\t", "é", "e\u0301", "café",
         "cafe\u0301", "дерев", "ё", "树", "年轮", "😀", "\u00a0", "\u3000", "▁", "▁▁", "İ", "ﬁ", "Ａ", "½", "²", "한", "<s>", "</s>", "<tool>", "<", "s>",
         "_", "-", "ab", "x", "Zz", "\u0301", "the tree", "<mask>", "user", "Ⅷ", "#", "\u200d", "(", "\u1112\u1161\u11ab"]
WORDS = ["<tool>", "café", "the", " the", "  ", "    ", "ring", "Tree", "12", "ab", "the tree", "tree ", "éé", "▁ring", "x", "user", "ﬁ"]
LINES = ["\n", "\n\n", "a\nb", " \n x"]
PATTERNS = [r"\p{N}{1,3}", r"\s+", r"[^\r\n\p{L}\p{N}]?\p{L}+", r" ?[^\s\p{L}\p{N}]+[\r\n]*", r"\w+", r"(?i:the)|\p{Han}+", r"\d",
            r"'s|'t| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+", r"[一-龥]+", r"e*", r"(?=[A-Z])", r"\s?\S+", r"[\s\p{P}]", r"\p{L}|\p{M}"]
BEHAVIORS = ["isolated", "removed", "contiguous", "merged_with_previous", "merged_with_next"]


def one_split(rng):
    pattern = rng.choice([Regex(rng.choice(PATTERNS)), rng.choice([" ", "e", "the", ".", "▁"])])
    return pre_tokenizers.Split(pattern, rng.choice(BEHAVIORS), rng.random() < 0.25)


def one_step(rng):
    return rng.choice([lambda: one_split(rng), lambda: one_split(rng), lambda: pre_tokenizers.Digits(rng.random() < 0.5),
                       lambda: pre_tokenizers.Punctuation(rng.choice(BEHAVIORS)), pre_tokenizers.Whitespace, pre_tokenizers.WhitespaceSplit])()


def metaspace(rng):
    return pre_tokenizers.Metaspace("▁", rng.choice(["first", "always", "never"]), rng.random() < 0.5)


def one_normalizer(rng):
    return rng.choice([normalizers.NFC, normalizers.NFD, normalizers.NFKC, normalizers.NFKD, normalizers.Lowercase, normalizers.StripAccents,
                       lambda: normalizers.Strip(rng.random() < 0.5, rng.random() < 0.5), lambda: normalizers.Replace("e", "ee"),
                       lambda: normalizers.Replace(Regex(r" {2,}"), " "), lambda: normalizers.Replace(Regex(r"\p{N}"), "#")])()


def sequence(kind, parts):
    return None if not parts else parts[0] if len(parts) == 1 else kind.Sequence(parts)


def parts_of(rng, kind):
    """The normalizers, the pre-tokenizers and the decoder."""
    before = [one_normalizer(rng) for _ in range(rng.choice([0, 0, 1, 2]))]
    steps = [one_step(rng) for _ in range(rng.choice([0, 0, 1, 1, 2]))]
    replace = decoders.Replace("▁", " ")
    if kind == "bytes":
        return before, steps + [pre_tokenizers.ByteLevel(add_prefix_space=rng.random() < 0.4, use_regex=rng.random() < 0.6)], decoders.ByteLevel()
    if kind == "llama":
        prefix = rng.random() < 0.7
        before += ([normalizers.Prepend("▁")] if prefix else []) + [normalizers.Replace(" ", "▁")]
        strip = [decoders.Strip(" ", 1, 0)] if prefix and rng.random() < 0.8 else []
        return before, steps if rng.random() < 0.3 else [], decoders.Sequence([replace, decoders.ByteFallback(), decoders.Fuse()] + strip)
    if kind == "metaspace":
        one = metaspace(rng)
        scheme = one.prepend_scheme
        strip = [decoders.Strip(" ", 1, 0)] if scheme != "never" else []
        late = [one_step(rng) for _ in range(rng.choice([0, 0, 0, 1]))]
        decoder = rng.choice([decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace("▁", scheme)]), decoders.Sequence([replace, decoders.ByteFallback(), decoders.Fuse()] + strip)])
        # Which piece is the text's first is a matter of taste once its first character has become several, and some have gone.
        early = steps[:0 if any("NFK" in type(step).__name__ for step in before) else rng.choice([0, 0, 1])]
        return before, early + [one] + late, decoder
    return before, steps, decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])


def trained(rng, kind, small):
    before, steps, decoder = parts_of(rng, kind)
    tokenizer = Tokenizer(models.BPE())
    if before:
        tokenizer.normalizer = sequence(normalizers, before)
    if steps:
        tokenizer.pre_tokenizer = sequence(pre_tokenizers, steps)
    tokenizer.decoder = decoder
    whole = kind == "bytes" and rng.random() < 0.5 and not small
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet()) if whole else ["▁"] if kind in ["llama", "metaspace"] else []
    trainer = trainers.BpeTrainer(vocab_size=len(alphabet) + rng.choice([60, 120]), show_progress=False, initial_alphabet=alphabet)
    tokenizer.train_from_iterator(rng.sample(TEXT, 2) if small else TEXT, trainer)
    return json.loads(tokenizer.to_str())


def random_form(seed, small=False):
    """A tokenizer.json, as an object."""
    rng = random.Random(seed)
    kind = rng.choice(["bytes", "bytes", "llama", "metaspace", "metaspace", "characters"])
    form = trained(rng, kind, small)
    model = form["model"]
    old = model["vocab"]
    vocab = {"<unk>": 0, "<s>": 1, "</s>": 2}
    fallback = kind != "bytes" and not small and rng.random() < 0.5
    if fallback:
        for byte in range(256):
            vocab[f"<0x{byte:02X}>"] = len(vocab)
    for token in old:
        vocab.setdefault(token, len(vocab))
    model.update(vocab=vocab, byte_fallback=fallback, ignore_merges=rng.random() < 0.2)
    if rng.random() < 0.6:
        model.update(unk_token="<unk>", fuse_unk=rng.random() < 0.5)
    form["added_tokens"] = []
    tokenizer = Tokenizer.from_str(json.dumps(form))
    flags = lambda: {name: rng.random() < share for name, share in [("single_word", 0.15), ("lstrip", 0.2), ("rstrip", 0.2), ("normalized", 0.5)]}
    for name in ["<unk>", "<s>", "</s>"]:
        tokenizer.add_special_tokens([AddedToken(name, special=True, **(flags() if rng.random() < 0.3 else {"normalized": False}))])
    for name in rng.sample(WORDS, rng.choice([0, 1, 2, 4])):
        chosen = flags()
        # Where a normalizer leaves nothing of a name, the library finds it everywhere, up to the end of memory.
        chosen["normalized"] = chosen["normalized"] and not name.isspace()
        tokenizer.add_tokens([AddedToken(name, special=False, **chosen)])
    return json.loads(tokenizer.to_str())


def byte_level(prefix=False, regex=False):
    return pre_tokenizers.ByteLevel(add_prefix_space=prefix, use_regex=regex)


def published():
    """Forms that published families have, by name."""
    llama = [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    spaces = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    words = Regex(r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
    isolated = lambda pattern: pre_tokenizers.Split(pattern, "isolated")
    runs = [(" " * n, {"normalized": False}) for n in [2, 3, 4, 8]]
    tool, strip = [("<tool>", {"normalized": True})], [decoders.Strip(" ", 1, 0)]
    # name, kind, normalizers, pre-tokenizers, decoders, flags of the special tokens, added tokens
    return [
        ("Llama 2 as it was", "llama", llama, [], spaces + strip, {"normalized": True}, tool),
        ("Llama 2 and a tool", "llama", llama, [], spaces + strip, {}, tool),
        ("Llama 2 of transformers 5", "llama", [], [pre_tokenizers.Metaspace("▁", "first", False)], spaces + strip, {}, tool),
        ("Mistral", "llama", [], [pre_tokenizers.Metaspace("▁", "always", False)], spaces + strip, {}, []),
        ("Metaspace in words", "llama", [], [pre_tokenizers.Metaspace("▁", "first", True)], [decoders.ByteFallback(), decoders.Metaspace("▁", "first")], {}, []),
        ("Phi 3", "llama", llama, [], spaces + strip, {"rstrip": True}, []),
        ("Gemma", "llama", [normalizers.Replace(" ", "▁")], [pre_tokenizers.Split(" ", "merged_with_previous")], spaces, {}, runs),
        ("Qwen 2 and a word", "bytes", [normalizers.NFC()], [isolated(words), byte_level()], [decoders.ByteLevel()], {}, [("café", {"normalized": True})]),
        ("GPT-NeoX", "bytes", [normalizers.NFC()], [byte_level(regex=True)], [decoders.ByteLevel()], {}, runs),
        ("Falcon", "bytes", [], [pre_tokenizers.Punctuation("contiguous"), byte_level(regex=True), pre_tokenizers.Digits(False),
                                 isolated(Regex("[0-9][0-9][0-9]"))], [decoders.ByteLevel()], {}, []),
        ("GPT-4 by way of Xenova", "bytes", [], [pre_tokenizers.Split(words, "removed", True), byte_level()], [decoders.ByteLevel()], {}, []),
        ("DeepSeek", "bytes", [], [isolated(Regex(r"[\r\n]")), isolated(Regex(r"\s?\p{L}+")), isolated(Regex(r"\s?\p{P}+")),
                                   isolated(Regex("[一-龥ࠀ-一가-퟿]+")), pre_tokenizers.Digits(True), byte_level()], [decoders.ByteLevel()], {}, []),
        ("a word and its relatives", "bytes", [], [byte_level(True, True)], [decoders.ByteLevel()], {"lstrip": True},
         [("ring", {"single_word": True}), ("tree", {"lstrip": True, "rstrip": True}), ("the tree", {"normalized": True})]),
    ]


def published_form(one):
    name, kind, before, steps, after, flags, added = one
    tokenizer = Tokenizer(models.BPE())
    if before:
        tokenizer.normalizer = sequence(normalizers, before)
    if steps:
        tokenizer.pre_tokenizer = sequence(pre_tokenizers, steps)
    tokenizer.decoder = sequence(decoders, after)
    alphabet = ["▁"] if kind == "llama" else sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=len(alphabet) + 60, show_progress=False, initial_alphabet=alphabet)
    tokenizer.train_from_iterator(TEXT, trainer)
    form = json.loads(tokenizer.to_str())
    fallback = [f"<0x{byte:02X}>" for byte in range(256)] if kind == "llama" else []
    vocab = {}
    for token in ["<unk>", "<s>", "</s>"] + fallback + list(form["model"]["vocab"]):
        vocab.setdefault(token, len(vocab))
    if kind == "bytes" and added and added[0][0].isspace():  # the vocabulary has the same runs, and they lose
        for run in ["Ġ", "ĠĠ"]:
            vocab.setdefault(run * 2, len(vocab))
            if [run, run] not in form["model"]["merges"]:
                form["model"]["merges"].append([run, run])
    form["model"].update(vocab=vocab, byte_fallback=kind == "llama", unk_token="<unk>" if kind == "llama" else None)
    tokenizer = Tokenizer.from_str(json.dumps(form))
    tokenizer.add_special_tokens([AddedToken(token, special=True, **{"normalized": False, **flags}) for token in ["<unk>", "<s>", "</s>"]])
    for content, chosen in added:
        tokenizer.add_tokens([AddedToken(content, special=False, **{"normalized": False, **chosen})])
    return json.loads(tokenizer.to_str())


def random_texts(seed, lines):
    rng = random.Random(seed + 1_000_000)
    parts = PARTS + (LINES if lines else [])
    return ["".join(rng.choice(parts) for _ in range(rng.randint(1, 14))) for _ in range(12 if lines else 60)] + TEXT[:1 if lines else 4] + [" ", "  a"]


def ids_in(tokenizer, text):
    try:
        return tokenizer.encode(text, add_special_tokens=False).ids
    except BaseException as fault:  # a panic of the library's own
        if type(fault).__name__ != "PanicException":
            raise
        return None


def ids_of(tokenizer, texts, specials):
    tokenizer.encode_special_tokens = not specials
    return [ids_in(tokenizer, text) for text in texts]


def is_exact(form, text, specials):
    """Where the two differ on purpose: without special tokens, a piece that is one's name is not that token here."""
    return specials or not form["model"]["ignore_merges"] or not any(name in text for name in ["<s>", "</s>", "<unk>"])


def decodable(form, ids):
    """ByteLevel's decoder takes letters of added tokens for bytes; here they are the letters. And special tokens that are
    found in normalised text are shown there, not left out."""
    bytes_ = form["decoder"]["type"] == "ByteLevel"
    odd = {token["id"] for token in form["added_tokens"] if (bytes_ and not token["content"].isascii()) or (token["special"] and token["normalized"])}
    return not odd.intersection(ids)


def run(cambium, path, lines, *options):
    text = "".join(line + "\n" for line in lines)
    done = subprocess.run([cambium, "tokenize", path, *options], input=text.encode(), capture_output=True)
    return done.stdout.decode("utf-8", "surrogateescape").split("\n")[:-1] if done.returncode == 0 else done.stderr.decode()


def check_file(cambium, path, form, tokenizer, texts, what, seed):
    for specials in [False, True]:
        want = ids_of(tokenizer, texts, specials)
        got = run(cambium, path, texts, *(["--specials"] if specials else []))
        if isinstance(got, str):
            return got
        for text, ids, line in zip(texts, want, got):
            assert ids is None or not is_exact(form, text, specials) or json.loads(line) == ids, \
                f"seed {seed}, {what}, specials {specials}: {text!r} is {ids}, not {line}\n{describe(form)}"
    lists = [ids for ids in want if ids and decodable(form, ids)]
    got = run(cambium, path, [json.dumps(ids) for ids in lists], "--decode")
    for ids, text in zip(lists, got):
        right = tokenizer.decode(ids, skip_special_tokens=True)
        assert "\ufffd" in right or text == right, f"seed {seed}, {what}: {ids} says {right!r}, not {text!r}\n{describe(form)}"
    return None


def describe(form):
    small = {key: value for key, value in form.items() if key in ["added_tokens", "normalizer", "pre_tokenizer", "decoder"]}
    small["model"] = {key: value for key, value in form["model"].items() if key not in ["vocab", "merges"]}
    return json.dumps(small, ensure_ascii=False)


def check_form(cambium, folder, seed, form):
    """Why the form is refused, or None."""
    path, out = os.path.join(folder, "tokenizer.json"), os.path.join(folder, "written.json")
    texts = random_texts(seed, False)
    with open(path, "w") as file:
        json.dump(form, file, ensure_ascii=False)
    tokenizer = Tokenizer.from_file(path)
    why = check_file(cambium, path, form, tokenizer, texts, "read", seed)
    if why:
        return why.split(": ", 3)[-1].strip()
    done = subprocess.run([cambium, "export", path, "--format", "tokenizer", "-o", out], capture_output=True)
    if done.returncode != 0:
        return "export: " + done.stderr.decode().split(": ", 2)[-1].strip()
    again = Tokenizer.from_file(out)
    for specials in [False, True]:
        for text, x, y in zip(texts, ids_of(tokenizer, texts, specials), ids_of(again, texts, specials)):
            assert x == y or not is_exact(form, text, specials), f"seed {seed}, written: {text!r} is {x}, not {y}\n{describe(form)}"
    why = check_file(cambium, out, form, again, texts, "written and read", seed)
    assert not why, f"seed {seed}: {why}"
    return None


def check(cambium, folder, first, count):
    refused = {}
    for seed, one in enumerate(published()):
        why = check_form(cambium, folder, seed, published_form(one))
        assert not why, f"{one[0]}: {why}"
    for seed in range(first, first + count):
        why = check_form(cambium, folder, seed, random_form(seed))
        if why:
            refused[why] = seed
    for why, seed in refused.items():
        print(f"refused: {why} (seed {seed})")
    print(f"{count} forms from seed {first}, {len(refused)} kinds of refusal")


def record(name, form, texts):
    tokenizer = Tokenizer.from_str(json.dumps(form))
    texts = [text for text in texts if is_exact(form, text, False) and ids_in(tokenizer, text) is not None]
    one = {"name": name, "tokenizer": form, "texts": texts, "ids": ids_of(tokenizer, texts, False), "special_ids": ids_of(tokenizer, texts, True)}
    one["decoded"] = [tokenizer.decode(ids) if decodable(form, ids) else None for ids in one["special_ids"]]
    print(json.dumps(one, ensure_ascii=False, separators=(",", ":")))


def golden(first, count):
    for seed, one in enumerate(published()):
        record(one[0], published_form(one), random_texts(seed, True) + ["<tool> <tool><tool", "cafe\u0301 café", "a  b    c", "tree     trees"])
    for seed in range(first, first + count):
        record(f"seed {seed}", random_form(seed, True), random_texts(seed, True))


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
    if sys.argv[1] == "check":
        check(sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
    else:
        golden(int(sys.argv[2]), int(sys.argv[3]))
