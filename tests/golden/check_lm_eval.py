#!/usr/bin/env python3
"""`cambium eval` and lm-evaluation-harness on the same weights: the same prompts, the same choices, the
same accuracy. Run by tests/cli/eval_peer.sh, or by hand:

    check_lm_eval.py find                  exit status 3 when lm_eval, torch or transformers is not installed
    check_lm_eval.py DATA HF_FOLDER ITEMS  asks the harness what the items file of `cambium eval
                                           --save-items` says was asked, by its own tasks; DATA is the folder
                                           that --data named

The harness's own task files are used; only where they get their documents from is changed, since the files
here have the same questions in another form. (CommonsenseQA is left out: these files lack its fifth answer.)

Exit status 1 when a prompt differs, accuracy by more than 0.5 points, or more than 1 % of the choices."""
import csv
import importlib.util
import json
import os
import sys
import tempfile
import time

POINTS, SAME = 0.5, 0.99

if sys.argv[1] == "find":
    missing = [n for n in ("lm_eval", "torch", "transformers") if not importlib.util.find_spec(n)]
    if missing:
        print("not installed: " + ", ".join(missing))
    sys.exit(3 if missing else 0)

data, hf_folder, items_file = sys.argv[1:4]
os.environ["HF_HUB_OFFLINE"] = os.environ["HF_DATASETS_OFFLINE"] = "1"
import lm_eval  # noqa: E402
import lm_eval.tasks  # noqa: E402
import yaml  # noqa: E402
from lm_eval.models.huggingface import HFLM  # noqa: E402

HARNESS = os.path.join(os.path.dirname(lm_eval.__file__), "tasks")
FILES = {"arc_easy": "arc/arc_easy.yaml", "arc_challenge": "arc/arc_challenge.yaml",
         "openbookqa": "openbookqa/openbookqa.yaml", "boolq": "super_glue/boolq/default.yaml",
         "copa": "super_glue/copa/default.yaml", "lambada_openai": "lambada/lambada_openai.yaml"}


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
    for folder in (data, os.path.join(data, "choice"), os.path.join(data, "mmlu")):
        if os.path.exists(os.path.join(folder, name)):
            return os.path.join(folder, name)
    sys.exit(f"{name} is not below {data}")


def mmlu_rows(path):
    with open(path, newline="", encoding="utf-8") as f:
        return [{"question": r[0], "choices": r[1:5], "answer": "ABCD".index(r[5])} for r in csv.reader(f)]


def documents(task):
    """Split name -> documents in the form that the harness's data set has."""
    if task.startswith("mmlu_"):
        subject = task.removeprefix("mmlu_")
        return {s: mmlu_rows(find(f"{s}/{subject}_{s}.csv")) for s in ("dev", "test")}
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
    if "validation" not in files:
        config["validation_split"] = None
    path = os.path.join(folder, task + "_here.yaml")
    with open(path, "w", encoding="utf-8") as f:
        yaml.safe_dump(config, f)
    return task + "_here"


def compare(task, ours, samples, by_characters):
    """One line of the table; whether all is well."""
    samples = sorted(samples, key=lambda s: s["doc_id"])
    if len(samples) != len(ours):
        print(f"{task}: {len(ours)} items, {len(samples)} samples")
        return False
    fine, same, worst, right, right_there, norm, norm_there = True, 0, 0.0, 0, 0, 0, 0
    for item, sample in zip(ours, samples):
        requests = [sample["arguments"][k] for k in sorted(sample["arguments"])] \
            if isinstance(sample["arguments"], dict) else sample["arguments"]
        prompt = requests[0]["arg_0"] if isinstance(requests[0], dict) else requests[0][0]
        if prompt != item["prompt"] and fine:
            print(f"{task}, {item['id']}: the prompts differ:\n{item['prompt']!r}\n{prompt!r}")
            fine = False
        answers = [(float(r[0]), str(r[1]) == "True") for r in sample["filtered_resps"]] \
            if isinstance(sample["filtered_resps"][0], (list, tuple)) else [sample["filtered_resps"]]
        theirs = [a[0] for a in answers]
        worst = max(worst, max(abs(a - b) for a, b in zip(theirs, item["logprobs"])))
        if len(theirs) > 1:
            choice = max(range(len(theirs)), key=lambda i: theirs[i])
            same += choice == item["answer"]
        else:
            same += answers[0][1] == bool(item["correct"])
        right += item["correct"]
        right_there += sample["acc"]
        if by_characters:
            norm += item["correct_per_byte"]
            norm_there += sample["acc_norm"]
    n = len(ours)
    print(f"{task:22} {n:6}  {100 * right / n:6.2f} {100 * right_there / n:6.2f}   {100 * same / n:6.2f} %"
          f"   {worst:.1e}" + (f"   {100 * norm / n:6.2f} {100 * norm_there / n:6.2f}" if by_characters else ""))
    return fine and same >= SAME * n and abs(right - right_there) <= POINTS / 100 * n


with open(items_file, encoding="utf-8") as f:
    header, *items = map(json.loads, f)
started = time.monotonic()
model = HFLM(pretrained=hf_folder, dtype="float32", device="cpu", batch_size=8)
bad = 0
print(f"{'':22} {'':6}  accuracy (ours, theirs), same choice, largest difference of log p, per byte/char")
for task in header["tasks"]:
    with tempfile.TemporaryDirectory() as folder:
        name = task_config(task, folder)
        manager = lm_eval.tasks.TaskManager(include_path=folder, include_defaults=False)
        begun = time.monotonic()
        out = lm_eval.simple_evaluate(model=model, tasks=[name], task_manager=manager, log_samples=True,
                                      num_fewshot=header["shots"][task], limit=header["settings"]["limit"] or None,
                                      bootstrap_iters=0, verbosity="ERROR")
        ours = [i for i in items if i["task"] == task]
        bad |= not compare(task, ours, out["samples"][name], task in ("arc_easy", "arc_challenge", "openbookqa"))
        print(f"{'':22} {len(ours) / (time.monotonic() - begun):.2f} questions/s under the harness", flush=True)
sys.exit(bad)
