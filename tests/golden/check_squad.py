#!/usr/bin/env python3
"""The exact match and F1 that `cambium eval --tasks squad` (or squad2) printed, and those of SQuAD's own
scorer on the same written answers:

    check_squad.py SCORER DATA ITEMS RESULT

SCORER is the data set's evaluate-v1.1.py or evaluate-v2.0.py, DATA the file of questions, ITEMS and RESULT
what `--save-items` and `-o` wrote. Exit status 1 when a number differs by more than the digits printed."""
import json
import os
import subprocess
import sys
import tempfile

scorer, data_file, items_file, result_file = sys.argv[1:]
with open(items_file, encoding="utf-8") as f:
    items = {i["id"]: i for i in list(map(json.loads, f))[1:]}
with open(result_file, encoding="utf-8") as f:
    result, = json.load(f)
with open(data_file, encoding="utf-8") as f:
    data = json.load(f)
for article in data["data"]:
    for paragraph in article["paragraphs"]:
        paragraph["qas"] = [q for q in paragraph["qas"] if q["id"] in items]

version2 = "unanswerable" in result
names = {"exact": "exact", "f1": "f1", "answerable_exact": "HasAns_exact", "answerable_f1": "HasAns_f1",
         "unanswerable": "NoAns_exact", "best_exact": "best_exact", "best_f1": "best_f1",
         "best_exact_threshold": "best_exact_thresh", "best_f1_threshold": "best_f1_thresh"} \
    if version2 else {"exact": "exact_match", "f1": "f1"}
with tempfile.TemporaryDirectory() as folder:
    def put(name, what):
        path = os.path.join(folder, name)
        with open(path, "w", encoding="utf-8") as out:
            json.dump(what, out)
        return path
    command = [sys.executable, scorer, put("data.json", data),
               put("answers.json", {k: i["answer"] for k, i in items.items()})]
    if version2:
        command += ["-n", put("no_answer.json", {k: i["no_answer"] for k, i in items.items()})]
    official = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

bad = False
print(f"{len(items)} answers, {sum(not i['answer'] for i in items.values())} of them empty")
for ours, theirs in names.items():
    if theirs not in official:
        continue
    same = abs(result[ours] - official[theirs]) <= 1e-6 * max(1.0, abs(official[theirs]))
    print(f"{ours:22} {result[ours]:12.6f} {official[theirs]:12.6f}{'' if same else '   DIFFERENT'}")
    bad |= not same
sys.exit(bad)
