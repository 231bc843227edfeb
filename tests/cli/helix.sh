#!/usr/bin/env bash
# Decoding over ranks: a merged model says the same on threads, on processes and on one rank, and a
# rank that dies ends the run.
. tests/support/flow.sh
. tests/support/two_experts.sh
bin=$(cd "$(dirname "$CAMBIUM")" && pwd)
top=$PWD
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder" || exit 1
C=$CAMBIUM
check "two experts are made and merged" two_experts grow --stages 1+1 --tokens 6K
printf '1 2 3 \na d g \n90 91 92 93 94 95 96 0 1 2 3 4 5 6 7 8 9 10 11 \n' >prompts.txt
infer=(infer both.h5 --prompts prompts.txt --json -n 60 --temperature 0 --weights float32)
# Log-probabilities may differ in their last digits.
texts() { sed 's/"logprobs":\[[^]]*\],*//; s/"expert_weights":\[[^}]*\]\]*,*//'; }
"$C" "${infer[@]}" | texts >alone.json
same() { # arguments...: the texts of one rank
    "$C" "${infer[@]}" "$@" | texts >ranks.json
    [ "$(wc -l <ranks.json)" = 3 ] && diff alone.json ranks.json
}
for r in 2 3 4 8; do check "$r ranks say what one says" same --ranks $r; done
for g in kvp=4 kvp=2,tpa=2 tpa=4,ep=2 kvp=2,tpa=2,ep=2; do
    check "the grid $g says what one rank says" same --ranks 4 --grid $g
done
check "without overlap the same" same --ranks 4 --grid kvp=4 --hopb off
check "blocks of another size, too" same --ranks 4 --grid kvp=4 --kv-block 1
sampled() {
    local s=(infer both.h5 -p '1 2 ' -n 40 --temperature 1 --seed 3 --weights float32)
    [ "$("$C" "${s[@]}")" = "$("$C" "${s[@]}" --ranks 4)" ]
}
check "a sampled text is the same, too" sampled
scored() {
    head -c 900 a.txt >held.txt
    local e=(eval both.h5 --tasks bpb --data held.txt --weights float32)
    "$C" "${e[@]}" >one && "$C" "${e[@]}" --ranks 4 --grid kvp=2,ep=2 >four && diff one four
}
check "bits per byte over ranks are those of one" scored
check "eight-bit weights and caches run in shards" "$C" infer both.h5 -p '1 2 ' -n 10 --weights int8 --kv int8 --ranks 4
check "more heads than there are is refused" misused_with "works" "$C" infer both.h5 -p x --ranks 8 --grid tpa=8
check "a grid for other ranks is refused" misused_with "must both be that" "$C" infer both.h5 -p x --ranks 4 --grid kvp=3
check "what auto is, and why, is told" says "--grid auto is kvp=1,tpa=2,tpf=2,ep=1: the rule's and the planner's choice" "$C" infer a/model.h5 -p '1 2' -n 2 --ranks 2 --verbose
check "long contexts are cut evenly" says "--grid auto is kvp=3,tpa=1,tpf=3,ep=1: the planner's" "$C" infer both.h5 -p '1 2' -n 2 --ranks 3 --context 16K --batch 1 --verbose
check "a grid without ranks is refused" misused_with "give --ranks" "$C" infer both.h5 -p x --grid kvp=2
check "too long a text is one clear error" fails_with "leaves no room in a context of 4" "$C" infer both.h5 -p '1 2 3 4 5 6 7 8' --context 4 --ranks 4
# ---- memory ----
room() { "$C" "$@" -p '1 2 ' -n 4 >/dev/null; }
check "a context within --memory decodes" room infer both.h5 --context 4K --memory 100M --ranks 2
check "a context beyond it is refused" fails_with "--memory allows 100 MB; give a shorter --context" "$C" infer both.h5 -p '1 2 ' --context 1M --memory 100M
check "the same over ranks" fails_with "--memory allows 100 MB" "$C" infer both.h5 -p '1 2 ' --context 1M --memory 100M --ranks 4
check "by itself it is what the machine has free" fails_with "free here are" "$C" infer both.h5 -p '1 2 ' --context 2G
check "weights beyond it are refused" fails_with "the weights do not fit" "$C" infer both.h5 -p '1 2 ' --memory 10K
check "a server refuses, too" fails_with "do not fit" "$C" serve both.h5 --port 0 --context 1M --memory 100M
check "an evaluation refuses, too" fails_with "do not fit" "$C" eval both.h5 --data held.txt --context 1M --memory 100M
check "memory is a number of bytes" misused_with "--memory is 0 or more" "$C" infer both.h5 -p x --memory=-1
head -c 60000 both.h5 >cut.h5
check "a file that is cut is one clear error" fails_with "cut.h5" "$C" infer cut.h5 -p x --ranks 4

# ---- processes ----
. "$top/tests/support/mpi.sh"
. "$top/tests/support/processes.sh"
processes() { # ranks, arguments...
    local ranks=$1
    shift
    (mpi "$ranks" "$C" "${infer[@]}" "$@") | texts >ranks.json
    diff alone.json ranks.json
}
check "2 processes say what one says" processes 2
check "4 processes say what one says" processes 4 --grid kvp=2,tpa=2,ep=2
check "processes without overlap" processes 4 --grid kvp=4 --hopb off
awk 'BEGIN { for (i = 0; i < 8; i++) printf "{\"query\": \"%d %d, because\", \"choices\": [\"%d %d\", \"99\"], \"gold\": 0}\n", i, i + 1, i + 2, i + 3 }' >copa.jsonl
asked() { # the answers to a task, without the last digits of their log-probabilities
    local e=(eval both.h5 --tasks copa --data copa.jsonl --weights float32 -q)
    (mpi 2 "$C" "${e[@]}" --save-items asked.jsonl) >asked 2>&1
    "$C" "${e[@]}" --save-items one.jsonl >/dev/null
    [ "$(wc -l <one.jsonl)" = 9 ] && [ "$(grep -c copa asked)" = 1 ] &&
        diff <(tail -n +2 one.jsonl | sed 's/"logprobs":[^]]*//') <(tail -n +2 asked.jsonl | sed 's/"logprobs":[^]]*//')
}
check "2 processes answer a task's questions as one does" asked
told() { # text, ranks, arguments...: one sentence, and all end
    local text=$1 ranks=$2
    shift 2
    (mpi "$ranks" "$C" "$@") >said 2>&1
    local status=$?
    cat said
    [ $status != 0 ] && [ "$(grep -cF -- "$text" said)" = 1 ]
}
check "an impossible grid is told once" told "works" 4 infer both.h5 -p x --grid tpa=4,ep=4
check "too long a context is told once" told "--memory allows" 4 infer both.h5 -p x --context 1M --memory 100M
check "a broken file is told once" told "cut.h5" 3 infer cut.h5 -p x
# Kills the last rank of an mpirun that writes to `said`: all end soon, and mpirun names it.
ends_with_a_rank() { # process of mpirun
    local ranks # of this mpirun alone: other tests may run beside this one
    ranks=$(children_of "$1")
    kill -KILL "$(echo "$ranks" | tail -n 1)"
    wait "$1"
    local status=$?
    tail -n 5 said
    # shellcheck disable=SC2086
    [ $status != 0 ] && gone $ranks && grep -qE "process rank [0-9]+" said
}
comes() { local i; for i in $(seq 400); do "$@" && return; sleep 0.1; done; return 1; }
# Open MPI 5 hands on whole lines only, and the text is one: four ranks then write it after a while.
writes() { [ -s said ] || { [ "$(children_of "$1" | wc -l)" = 4 ] && [ $SECONDS -ge $(($2 + 5)) ]; }; }
dies() {
    (mpi 4 "$C" infer both.h5 -p '1 2 ' -n 100000 --ignore-end --grid kvp=4) >said 2>&1 &
    local pid=$!
    comes writes $pid $SECONDS
    ends_with_a_rank $pid
}
check "a rank that is killed ends the run" dies
dies_serving() {
    (mpi 3 "$C" serve both.h5 --port 0 --grid kvp=3 --context 110K --kv-tokens 120K --timeout 300) >said 2>&1 &
    local pid=$! port
    comes grep -q '^serving' said
    port=$(sed -n 's/^serving .*:\([0-9]*\)$/\1/p' said)
    curl -sS -N --max-time 90 "http://127.0.0.1:$port/v1/completions" -d '{"prompt":"1 2 ","max_tokens":100000,"ignore_eos":true,"stream":true}' >stream 2>&1 &
    local client=$!
    comes [ -s stream ]
    ends_with_a_rank $pid || return 1
    wait $client # its connection ends
    grep -q '"text"' stream && ! grep -q DONE stream
}
check "and ends a server in the middle of a stream" dies_serving
exit $bad
