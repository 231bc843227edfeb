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

model=$(mktemp)
trap 'rm -f "$model"' EXIT
"$CAMBIUM" import tests/golden/hf_llama -o "$model" -q >/dev/null
bytes() { "$CAMBIUM" bench "$@" --model "$model" --seconds 0.01 --json | sed -nE 's/.*"(step_bytes|ranks_bytes_read)":([0-9.]+).*/\2/p'; }
# As many positions more, as many bytes more.
more() { awk -v a="$1" -v b="$2" -v c="$3" 'BEGIN { exit !(b > a && b - a == c - b) }'; }
more "$(bytes decode --fill-kv 1 --context 3000)" "$(bytes decode --fill-kv 1 --context 6000)" "$(bytes decode --fill-kv 1 --context 9000)"
check "a synthetic context is decoded" $?
more "$(bytes helix --ranks 2 --context 3000)" "$(bytes helix --ranks 2 --context 6000)" "$(bytes helix --ranks 2 --context 9000)"
check "and over ranks" $?
plan=$("$CAMBIUM" bench plan --context 512 --seconds 0.01 --json)
lacks=
for case in one kvp2 tpa2 helix lockstep tp; do
    for what in predicted_seconds measured_seconds seconds_ratio predicted_bytes measured_bytes bytes_ratio; do
        echo "$plan" | grep -qE "\"${case}_$what\":[0-9.e-]*[1-9]" || lacks="$lacks ${case}_$what"
    done
done
[ -z "$lacks" ] || echo "# no$lacks"
[ -z "$lacks" ]
check "the planner is compared with steps" $?
"$CAMBIUM" bench helix --ranks 2 --grid kvp=3 2>&1 | grep -q "must both be that"
check "a grid for other ranks is refused" $?
"$CAMBIUM" bench helix --context 1G 2>&1 | grep -q "do not fit"
check "a context beyond the memory is refused" $?
"$CAMBIUM" bench prompt --fill-kv 1 2>&1 | grep -q "leave --fill-kv out"
check "a prompt is not filled in" $?

"$CAMBIUM" bench prodcts 2>&1 | grep -q "did you mean 'products'"
check "a wrong name gets a suggestion" $?
exit $bad
