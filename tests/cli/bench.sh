#!/usr/bin/env bash
# The verb bench: its list, one quick measurement as JSON, and a wrong name.
set -u
bad=0
check() { # what, status
    if [ "$2" = 0 ]; then echo "ok - $1"; else echo "not ok - $1"; bad=1; fi
}

"$CAMBIUM" bench --list | grep -q '^train-b '
check "the list names the measurements" $?

line=$("$CAMBIUM" bench products --seconds 0.05 --json)
echo "$line" | grep -q '"name":"products"' && echo "$line" | grep -qE '"gflops":[0-9]'
check "a measurement prints one JSON object" $?

words=tests/golden/hf_llama/tokenizer.json
line=$("$CAMBIUM" bench tokenize --model "$words" --seconds 0.01 --json)
echo "$line" | grep -q '"tokens":260' && echo "$line" | grep -qE '"han_mb_per_second":[1-9]'
check "tokenizing is measured" $?
line=$("$CAMBIUM" bench embed --model "$words" --seconds 0.01 --json)
echo "$line" | grep -q '"tokens":260' && echo "$line" | grep -qE '"whole_seconds":[0-9]+\.[0-9]'
check "the making of a table is measured" $?
"$CAMBIUM" bench tokenize --model Makefile 2>&1 | grep -q "not a Cambium file"
check "a model that is none is refused" $?

"$CAMBIUM" bench prodcts 2>&1 | grep -q "did you mean 'products'"
check "a wrong name gets a suggestion" $?
exit $bad
