#!/usr/bin/env python3
"""`cambium eval` and lm-evaluation-harness on the same weights: the same prompts, the same choices, the
same accuracy. Run by tests/cli/eval_peer.sh, or by hand:

    check_lm_eval.py find                  exit status 3 when lm_eval, torch or transformers is not installed
    check_lm_eval.py DATA HF_FOLDER ITEMS [EVERY]
                                           asks the harness what the items file of `cambium eval
                                           --save-items` says was asked, by its own tasks; DATA is the folder
                                           that --data named. EVERY 10: of each task the 10th question, the
                                           20th, ..., for a task that the harness would take hours for
    check_lm_eval.py find served           as find, for the next
    check_lm_eval.py DATA HF_FOLDER ITEMS URL
                                           the same of the model that `cambium serve` serves at URL, whose
                                           tokenizer is in HF_FOLDER: log-probabilities by echo

The harness's own task files are used; only where they get their documents from is changed, since the files
here have the same questions in another form. (CommonsenseQA is left out: these files lack its fifth answer.
Of XQuAD the written texts are compared. The harness scores them by the English rule in every language, the
program xquad_zh by one for Chinese: that F1 differs.)

Exit status 1 when a prompt differs, accuracy by more than 0.5 points, or more than 1 % of the choices."""
import collections
import csv
import importlib.util
import json
import os
import re
import string
import sys
import tempfile
import time
import types
import urllib.request

POINTS, SAME = 0.5, 0.99
LOG_P = 2e-3  # of a whole answer, from a server: the same products in other batches

if sys.argv[1] == "find":
    wanted = ("lm_eval", "transformers") + (("aiohttp", "tenacity") if "served" in sys.argv else ("torch",))
    missing = [n for n in wanted if not importlib.util.find_spec(n)]
    if missing:
        print("not installed: " + ", ".join(missing))
    sys.exit(3 if missing else 0)

data, hf_folder, items_file = sys.argv[1:4]
url = next((a for a in sys.argv[4:] if a.startswith("http")), None)
every = int(sys.argv[4]) if len(sys.argv) > 4 and not url else 1
os.environ["HF_HUB_OFFLINE"] = os.environ["HF_DATASETS_OFFLINE"] = "1"
import lm_eval  # noqa: E402
import lm_eval.tasks  # noqa: E402
import yaml  # noqa: E402

HARNESS = os.path.join(os.path.dirname(lm_eval.__file__), "tasks")
FILES = {"arc_easy": "arc/arc_easy.yaml", "arc_challenge": "arc/arc_challenge.yaml",
         "openbookqa": "openbookqa/openbookqa.yaml", "boolq": "super_glue/boolq/default.yaml",
         "copa": "super_glue/copa/default.yaml", "lambada_openai": "lambada/lambada_openai.yaml",
         **{f"xquad_{c}": f"xquad/xquad_{c}.yaml" for c in ("en", "ru", "zh")}}


def squad_words(text):
    kept = "".join(c for c in text.lower() if c not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", kept).split()


def squad_exact(reference, answer):
    return int(squad_words(reference) == squad_words(answer))


def squad_f1(reference, answer):
    a, b = squad_words(reference), squad_words(answer)
    common = sum((collections.Counter(a) & collections.Counter(b)).values())
    return float(a == b) if not a or not b else 2 * common / (len(a) + len(b))


# The harness's XQuAD takes its scores from a module that transformers has no more since version 5.
if not importlib.util.find_spec("transformers.data.metrics"):
    scores = types.ModuleType("transformers.data.metrics.squad_metrics")
    scores.compute_exact, scores.compute_f1 = squad_exact, squad_f1
    sys.modules["transformers.data.metrics"] = types.ModuleType("transformers.data.metrics")
    sys.modules["transformers.data.metrics"].squad_metrics = scores
    sys.modules[scores.__name__] = scores


def letters(n):
    return [chr(ord("A") + i) for i in range(n)]


def arc(q):
    return {"question": q["query"].removeprefix("Question: "),
            "choices": {"text": q["choices"], "label": letters(len(q["choices"]))},
            "answerKey": letters(9)[q["gold"]]}


def openbookqa(q):
    return {"question_stem": q["query"], "choices": {"text": q["choices"], "label": letters(4)},
            "answerKey": letters(4)[q["gold"]]}


def boolq(q):
    passage, question = q["query"].removeprefix("Passage: ").rsplit("\nQuestion: ", 1)
    return {"passage": passage, "question": question.removesuffix("?"), "label": q["gold"]}


def copa(q):
    premise, connector = q["query"].rsplit(", ", 1)
    return {"premise": premise + ".", "question": {"because": "cause", "therefore": "effect"}[connector],
            "choice1": q["choices"][0], "choice2": q["choices"][1], "label": q["gold"]}


def lambada(q):
    return {"text": q["context"] + " " + q["continuation"]}


FORMS = {"arc_easy": arc, "arc_challenge": arc, "openbookqa": openbookqa, "boolq": boolq, "copa": copa,
         "lambada_openai": lambada}


def find(name):
    for folder in (data, *(os.path.join(data, part) for part in ("choice", "mmlu", "squad"))):
        if os.path.exists(os.path.join(folder, name)):
            return os.path.join(folder, name)
    sys.exit(f"{name} is not below {data}")


def mmlu_rows(path):
    with open(path, newline="", encoding="utf-8") as f:
        return [{"question": r[0], "choices": r[1:5], "answer": "ABCD".index(r[5])} for r in csv.reader(f)]


def xquad_rows(path):
    with open(path, encoding="utf-8") as f:
        paragraphs = [p for article in json.load(f)["data"] for p in article["paragraphs"]]
    return [{"id": q["id"], "context": p["context"], "question": q["question"],
             "answers": {"text": [a["text"] for a in q["answers"]]}} for p in paragraphs for q in p["qas"]]


def documents(task):
    """Split name -> documents in the form that the harness's data set has."""
    if task.startswith("mmlu_"):
        subject = task.removeprefix("mmlu_")
        return {s: mmlu_rows(find(f"{s}/{subject}_{s}.csv")) for s in ("dev", "test")}
    if task.startswith("xquad_"):
        return {"validation": xquad_rows(find(task.replace("_", ".") + ".json"))}
    name = "openbook_qa" if task == "openbookqa" else task
    with open(find(name + ".jsonl"), encoding="utf-8") as f:
        rows = [FORMS[task](json.loads(line)) for line in f]
    return {"validation" if task in ("boolq", "copa") else "test": rows}


def task_config(task, folder):
    """A task file that includes the harness's and reads local documents."""
    files = {}
    for split, rows in documents(task).items():
        files[split] = os.path.join(folder, f"{task}.{split}.jsonl")
        with open(files[split], "w", encoding="utf-8") as f:
            f.writelines(json.dumps(r) + "\n" for r in rows)
    source = f"mmlu/default/{task}.yaml" if task.startswith("mmlu_") else FILES[task]
    config = {"include": os.path.join(HARNESS, source), "task": task + "_here", "tag": None,
              "dataset_path": "json", "dataset_name": None, "training_split": None,
              "dataset_kwargs": {"data_files": files}}
    if task.startswith("xquad_"):  # as many tokens as are written here
        config["generation_kwargs"] = {"until": ["\n"], "do_sample": False, "temperature": 0.0, "max_gen_toks": 48}
    if "validation" not in files:
        config["validation_split"] = None
    path = os.path.join(folder, task + "_here.yaml")
    with open(path, "w", encoding="utf-8") as f:
        yaml.safe_dump(config, f)
    return task + "_here"


def indices(task, items):
    """Of items among the documents of their file; ids are SUBJECT/ROW or ROW, rows from 1, or XQuAD's own."""
    if task.startswith("xquad_"):
        rows = {row["id"]: i for i, row in enumerate(documents(task)["validation"])}
        return [rows[item["id"]] for item in items]
    return [int(item["id"].rsplit("/", 1)[-1]) - 1 for item in items]


def add_choice(t, item, sample, by_characters):
    """Answers by their log-probabilities."""
    answers = [(float(r[0]), str(r[1]) == "True") for r in sample["filtered_resps"]] \
        if isinstance(sample["filtered_resps"][0], (list, tuple)) else [sample["filtered_resps"]]
    theirs = [a[0] for a in answers]
    t["worst"] = max(t["worst"], max(abs(a - b) for a, b in zip(theirs, item["logprobs"])))
    if len(theirs) > 1:
        t["same"] += max(range(len(theirs)), key=lambda i: theirs[i]) == item["answer"]
    else:
        t["same"] += answers[0][1] == bool(item["correct"])
    t["there"] += sample["acc"]
    if by_characters:
        t["norm"] += item["correct_per_byte"]
        t["norm_there"] += sample["acc_norm"]


def add_written(t, item, sample):
    """An answer that was written: exact match, and F1 in the second pair of columns."""
    t["same"] += sample["filtered_resps"][0].strip() == item["answer"]
    t["there"] += sample["exact_match"]
    t["norm"] += item["score"]
    t["norm_there"] += sample["f1"]


def tally(task, ours, samples, by_characters):
    """What one run of the harness shows beside our items; `ours` in the order of the documents."""
    samples = sorted(samples, key=lambda s: s["doc_id"])
    t = dict(n=len(ours), fine=len(samples) == len(ours), same=0, worst=0.0, right=0, there=0, norm=0, norm_there=0)
    if not t["fine"]:
        print(f"{task}: {len(ours)} items, {len(samples)} samples")
    for item, sample in zip(ours, samples):
        requests = [sample["arguments"][k] for k in sorted(sample["arguments"])] \
            if isinstance(sample["arguments"], dict) else sample["arguments"]
        prompt = requests[0]["arg_0"] if isinstance(requests[0], dict) else requests[0][0]
        if prompt != item["prompt"] and t["fine"]:
            print(f"{task}, {item['id']}: the prompts differ:\n{item['prompt']!r}\n{prompt!r}")
            t["fine"] = False
        t["right"] += item["correct"]
        if "logprobs" in item:
            add_choice(t, item, sample, by_characters)
        else:
            add_written(t, item, sample)
    return t


def report(task, t, two, seconds):
    """One line of the table; whether all is well."""
    n = t["n"]
    print(f"{task:22} {n:6}  {100 * t['right'] / n:6.2f} {100 * t['there'] / n:6.2f}   {100 * t['same'] / n:6.2f} %"
          f"   {t['worst']:.1e}"
          + (f"   {100 * t['norm'] / n:6.2f} {100 * t['norm_there'] / n:6.2f}" if two else "")
          + f"   {n / seconds:.2f} questions/s there", flush=True)
    fine = t["fine"] and (not url or (t["worst"] <= LOG_P and t["same"] == n and t["right"] == t["there"]))
    return fine and t["same"] >= SAME * n and abs(t["right"] - t["there"]) <= POINTS / 100 * n


with open(items_file, encoding="utf-8") as f:
    header, *items = map(json.loads, f)
if url:
    from lm_eval.models.openai_completions import LocalCompletionsAPI
    model = LocalCompletionsAPI(base_url=url + "/v1/completions", tokenizer=hf_folder, tokenizer_backend="huggingface",
                                model=json.load(urllib.request.urlopen(url + "/v1/models"))["data"][0]["id"],
                                batch_size=4, max_length=2048, max_retries=1)
else:
    from lm_eval.models.huggingface import HFLM
    model = HFLM(pretrained=hf_folder, dtype="float32", device="cpu", batch_size=8)
bad = 0
print(f"{'':22} {'':6}  accuracy (ours, theirs), same choice, largest difference of log p, per byte/char or F1")
for task in header["tasks"]:
    ours = [i for i in items if i["task"] == task][every - 1::every]
    by_characters = task in ("arc_easy", "arc_challenge", "openbookqa")
    # The harness knows the subjects of mmlu as tasks of their own.
    parts = {"mmlu_" + g: [i for i in ours if i["group"] == g] for g in dict.fromkeys(i["group"] for i in ours)} \
        if task == "mmlu" else {task: ours}
    total, begun = None, time.monotonic()
    for part, part_items in parts.items():
        with tempfile.TemporaryDirectory() as folder:
            name = task_config(part, folder)
            manager = lm_eval.tasks.TaskManager(include_path=folder, include_defaults=False)
            out = lm_eval.simple_evaluate(model=model, tasks=[name], task_manager=manager, log_samples=True,
                                          num_fewshot=header["shots"][task],
                                          samples={name: indices(part, part_items)},
                                          bootstrap_iters=0, verbosity="ERROR")
        t = tally(part, part_items, out["samples"][name], by_characters)
        total = t if total is None else {k: max(total[k], v) if k == "worst" else total[k] and v if k == "fine"
                                         else total[k] + v for k, v in t.items()}
    bad |= not report(task, total, by_characters or task.startswith("xquad_"), time.monotonic() - begun)
sys.exit(bad)
