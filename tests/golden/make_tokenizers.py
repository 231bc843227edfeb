#!/usr/bin/env python3
"""Makes tokenizers.jsonl: small tokenizers of each supported form, trained by Hugging Face's
`tokenizers`, with the ids that it gives to some texts. Needs that package:

    python3 tests/golden/make_tokenizers.py >tests/golden/tokenizers.jsonl

One object a line: name, tokenizer (the tokenizer.json itself), texts, ids.
"""
import json
import random

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

TEXT = [
    "The cambium is the layer of a tree that adds one ring at a time, year after year.",
    "It's the tissue that a graft is joined by; we'll say that they've grown together, I'd guess.",
    "Камбий — это слой дерева, который каждый год прибавляет по одному кольцу.",
    "Деревья растут медленно, а кольца дерева считают годы: 1999, 2000, 2024 год.",
    "形成层是树木每年增加一圈年轮的那一层。树木生长很慢,年轮记录年份:1999年、2000年、2024年。",
    "for (i = 0; i < 128; i++)  {\tsum += ring[i];   }  // 3.14159",
]
TEST = TEXT + [
    "", " ", "   ", "a  b   c    ", "   tree trees Tree's", "\t\ttree\t\r\n\n  ring\n", "12345678 9 0.5%",
    "a 5  66   777 \u00b2\u00bd\u2167", "x\u00a0y\u3000z\u2003 \u2003w\u0085v\u2028u\u180eq", "😀👍🏽 e\u0301é ſ 'ſ I'ſ",
    "a" * 200, "the" * 60, "年" * 90, "树木tree дерево树 木", "!!!...???—«»", "नमस्ते 한국어 عربى ١٢٣", "\x00\x01\x7f",
    "и\u0306 ё е\u0308 \u1fd3 \u212b \u2126 \u1112\u1161\u11ab 한 a\u0301\u0323\u0306 \u0301x \u0958",
    "\ufffe\ue000𝒳", "<tool> <tool><tool", "ring(ring)ring[ring]",
]
rng = random.Random(20)
PARTS = [" ", " ", " ", "a", "the", "tree", "1", "23", ".", "'s", "'ll", "\t", "\n", "é", "ж", "дерев", "树", "木年", "😀", "\u00a0"]
TEST += ["".join(rng.choice(PARTS) for _ in range(rng.randint(2, 30))) for _ in range(40)]

LLAMA3 = Regex(r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
               r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = Regex(r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|"
              r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
HAN = Regex("[一-龥぀-ゟ゠-ヿ]+")
WORDS = Regex("[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+")


def trained(pre=None, normalizer=None, bytes_first=True, size=420):
    tokenizer = Tokenizer(models.BPE())
    if pre:
        tokenizer.pre_tokenizer = pre
    if normalizer:
        tokenizer.normalizer = normalizer
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet()) if bytes_first else []
    trainer = trainers.BpeTrainer(vocab_size=size, show_progress=False, initial_alphabet=alphabet)
    tokenizer.train_from_iterator(TEXT, trainer)
    return json.loads(tokenizer.to_str())


def added(number, content, special):
    return {"id": number, "content": content, "single_word": False, "lstrip": False, "rstrip": False,
            "normalized": False, "special": special}


def llama():
    form = trained(None, normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]),
                   False, 150)
    vocab = {"<unk>": 0, "<s>": 1, "</s>": 2}
    for byte in range(256):
        vocab[f"<0x{byte:02X}>"] = len(vocab)
    for token in form["model"]["vocab"]:
        vocab[token] = len(vocab)
    form["model"].update(vocab=vocab, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    form["added_tokens"] = [added(i, name, True) for i, name in enumerate(["<unk>", "<s>", "</s>"])]
    return form


def characters():
    form = trained(pre_tokenizers.Split(Regex(r"\s?\S+"), "isolated"), None, False, 150)
    form["model"]["vocab"]["<unk>"] = len(form["model"]["vocab"])
    form["model"]["unk_token"] = "<unk>"
    return form


def whole_words():
    form = trained(pre_tokenizers.Sequence([pre_tokenizers.Split(LLAMA3, "isolated"), byte_level(False, False)]))
    vocab = form["model"]["vocab"]
    for word in ["Ġgraft", "Ġjoined", "tissue"]:  # no merges lead to these
        vocab.setdefault(word, len(vocab))
    form["model"]["ignore_merges"] = True
    for content, special in [("<|begin_of_text|>", True), ("<tool>", False), ("    ", False)]:
        form["added_tokens"].append(added(len(vocab) + len(form["added_tokens"]), content, special))
    return form


def byte_level(prefix, regex):
    return pre_tokenizers.ByteLevel(add_prefix_space=prefix, use_regex=regex)


def isolated(*patterns):
    return [pre_tokenizers.Split(pattern, "isolated") for pattern in patterns]


FORMS = {
    "gpt2": trained(byte_level(False, True)),
    "gpt2 with a prefix space": trained(byte_level(True, True)),
    "bytes without a pattern": trained(byte_level(False, False)),
    "llama3": whole_words(),
    "digits one by one": trained(pre_tokenizers.Sequence([pre_tokenizers.Digits(True), byte_level(False, True)])),
    "punctuation": trained(pre_tokenizers.Sequence([pre_tokenizers.Punctuation("isolated"), byte_level(False, True)])),
    "three patterns": trained(pre_tokenizers.Sequence(
        isolated(Regex(r"\p{N}{1,3}"), HAN, WORDS) + [byte_level(False, False)])),
    "qwen2": trained(pre_tokenizers.Sequence([pre_tokenizers.Split(QWEN2, "isolated"), byte_level(False, False)]),
                     normalizers.NFC()),
    "llama2": llama(),
    "characters": characters(),
}
for name, form in FORMS.items():
    tokenizer = Tokenizer.from_str(json.dumps(form))
    ids = [tokenizer.encode(text, add_special_tokens=False).ids for text in TEST]
    print(json.dumps({"name": name, "tokenizer": form, "texts": TEST, "ids": ids}, ensure_ascii=False,
                     separators=(",", ":")))
