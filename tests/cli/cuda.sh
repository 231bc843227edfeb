#!/usr/bin/env bash
# Every verb that computes, with --device cuda: on the emulated GPU, or, where CUDA_PROGRAM names a
# program whose plug-in is the real one, on a real GPU (tests/gpu/run does so).
set -u
. tests/support/flow.sh
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
P=${CUDA_PROGRAM:-${CAMBIUM%/*}/tests/emulated/cambium}
C=$CAMBIUM

# The plug-in as it is built for real GPUs.
check "info names the devices, or says why there is none" bash -c "
    '$C' info --devices | grep -qE '^cuda  +(none: .*(driver|GPU|not built)|.*compute capability)'"
if ! "$C" info --devices | grep -q '^cuda  *none'; then
    echo "ok - a GPU is here"
else
    check "without a GPU --device cuda is one clear error" fails_with "no device 'cuda' here" "$C" bench products --device cuda
    check "auto is the CPU then" bash -c "'$C' bench products --seconds 0.01 | grep -q cpu"
fi
if [ ! -x "$P" ]; then
    echo "skip - the emulated GPU is not part of this build ($P)"
    exit $bad
fi
export ASAN_OPTIONS="${ASAN_OPTIONS:-}:detect_leaks=0" OMP_NUM_THREADS=1
cd "$folder" || exit 1
check "the device is there" bash -c "'$P' info --devices | grep -E '^cuda' | grep -v none"

awk 'BEGIN { for (d = 0; d < 40; d++) { for (i = 0; i < 60; i++) printf "%d ", (d * 7 + i) % 97; printf "\f" } }' >a.txt
awk 'BEGIN { for (d = 0; d < 40; d++) { for (i = 0; i < 60; i++) { c = (d * 5 + i * 3) % 26
    printf "%c%c ", 97 + c, 97 + (c * 3 + 1) % 26 } printf "\f" } }' >b.txt
check "a table" flow_table t.h5 --corpus a.txt --corpus b.txt --vocab-size 300 --dim 32
check "packs" bash -c "
    '$C' pack -t t.h5 a.txt --validation 0.1 -o a.pack -q && '$C' pack -t t.h5 b.txt --validation 0.1 -o b.pack -q"

steps=${CUDA_STEPS:-6}
run="--batch 2 --context 16 --heads 2 --kv-heads 1 --save-every 2 --log-every 1 --eval-tokens 64 --lr 5e-3 -t t.h5 -q"
train() { # program, device, type, folder, further options
    local program=$1 device=$2 type=$3 out=$4
    shift 4
    # shellcheck disable=SC2086
    "$program" train --device "$device" --dtype "$type" --layers 2 --tokens $((steps * 32)) --data a.pack -o "$out" $run "$@"
}
losses() { sed -nE 's/.*"event":"train".*"loss":([0-9.e+-]+).*/\1/p' "$1/metrics.jsonl"; }
near() { # folders, largest relative difference of a loss
    paste <(losses "$1") <(losses "$2") | awk -v most="$3" '
        { d = ($1 - $2) / $1; d = d < 0 ? -d : d; if (!(d <= worst)) worst = d }
        END { printf "%d losses differ by at most %.2g\n", NR, worst; exit !(NR >= 2 && worst <= most) }'
}
for type in float32 bfloat16; do
    check "train on the CPU, $type" train "$C" cpu $type cpu-$type
    check "train on the GPU, $type" train "$P" cuda $type cuda-$type
done
check "the losses are those of the CPU, float32" near cpu-float32 cuda-float32 2e-4
check "the losses are those of the CPU, bfloat16" near cpu-bfloat16 cuda-bfloat16 1e-2
again() { train "$P" cuda float32 again --deterministic && cmp again/model.h5 cuda-float32/model.h5; }
check "a second run gives the same bits" again
interrupted() {
    # shellcheck disable=SC2086
    (exec "$P" train --device cuda --dtype float32 --layers 2 --tokens $((steps * 32)) --data a.pack -o cut $run) &
    local pid=$!
    until grep -q '"step":3' cut/metrics.jsonl 2>/dev/null || ! kill -0 $pid 2>/dev/null; do sleep 0.02; done
    kill -9 $pid 2>/dev/null
    wait $pid 2>/dev/null
    train "$P" cuda float32 cut --resume || return
    cmp cut/model.h5 cuda-float32/model.h5
}
check "killed and resumed, the file is the same to the last bit" interrupted

# shellcheck disable=SC2086
for l in a b; do check "grow $l on the GPU" "$P" grow --device cuda --stages 1+1 --tokens 128 --data $l.pack -o $l --dtype float32 $run; done
check "merge, verified on the GPU" "$P" merge a/model.h5 b/model.h5 --rule bayes --device cuda -o ab.h5
text() { "$1" infer ab.h5 --device "$2" --weights "$3" --prompt "1 2 3" --temperature 0 --max-tokens 8 -q "${@:4}"; }
same_text() { [ -n "$(text "$C" cpu "$1")" ] && [ "$(text "$C" cpu "$1")" = "$(text "$P" cuda "$1")" ]; }
check "a merged model says the same on both" same_text float32
check "and with int8 weights" same_text int8
same_over_ranks() { [ "$(text "$C" cpu float32)" = "$(text "$P" cuda float32 --ranks 4 --grid "$1")" ]; }
for grid in kvp=4 tpa=1,kvp=4,ep=2; do check "and over four ranks, $grid" same_over_ranks $grid; done
measured() { "$1" eval ab.h5 --device "$2" --weights float32 --data a.txt --limit 2 --json | grep -o '"bits_per_byte":[^,}]*' | head -n 1; }
same_measure() {
    local on_cpu on_gpu
    on_cpu=$(measured "$C" cpu) on_gpu=$(measured "$P" cuda)
    echo "$on_cpu $on_gpu"
    awk -v a="${on_cpu#*:}" -v b="${on_gpu#*:}" 'BEGIN { d = (a - b) / a; exit !(a > 0 && d * d < 1e-8) }'
}
check "eval measures the same on both" same_measure
awk 'BEGIN { for (i = 0; i < 3; i++) printf "{\"query\": \"%d %d, because\", \"choices\": [\"%d %d\", \"99\"], \"gold\": 0}\n", i, i + 1, i + 2, i + 3 }' >copa.jsonl
answers() { # to a task's questions, without the last digits of their log-probabilities
    "$1" eval ab.h5 --device "$2" --tasks copa --data copa.jsonl --weights float32 --save-items "$2.jsonl" -q >/dev/null &&
        tail -n +2 "$2.jsonl" | sed 's/"logprobs":[^]]*//'
}
same_answers() {
    answers "$C" cpu >on-cpu && answers "$P" cuda >on-gpu && [ "$(wc -l <on-cpu)" = 3 ] && diff on-cpu on-gpu
}
check "a task's questions are answered the same on both" same_answers

# Which library did the work is said, and --require makes its absence an error.
emulated_libraries() {
    check "info names the library of each kind of work, or why there is none" bash -c "
        '$P' info --devices >said; cat said; grep -q 'products by emulated cuBLASLt 0.0.0' said &&
        grep -q 'attention by own kernels (cuDNN 9 was not found' said"
    check "and so does a run's first line" bash -c "
        '$P' train --device cuda --dtype bfloat16 --steps 1 --data a.pack -o told ${run% -q} 2>&1 | head -n 1 >said; cat said
        grep -q 'computing on cuda in bfloat16: products by emulated cuBLASLt 0.0.0, attention by own kernels (cuDNN' said"
    check "and a measurement" says '"made_by":{"products":"emulated cuBLASLt 0.0.0"}' \
        "$P" bench int8-error --model ab.h5 --device cuda --dtype float32 --seconds 0.01 --json
    trains() { # shellcheck disable=SC2086
        "$P" train --device cuda --steps 1 --data a.pack $run "$@"
    }
    check "a library that is there can be required" trains -o required --require cublaslt
    check "one that is not is an error with a remedy" fails_with "set LD_LIBRARY_PATH" trains -o r1 --require cublaslt,cudnn
    check "and names it" fails_with "--require cudnn: cuDNN 9 was not found" "$P" infer ab.h5 --device cuda --require cudnn --prompt a
    check "work that it refuses is an error, too" fails_with "products by cuBLASLt is required, but the emulated cuBLASLt takes multiples of 4" \
        trains -o r2 --d-ff 66 --require cublaslt
    with_cudnn() { CAMBIUM_EMULATE_CUDNN=1 "$@"; }
    check "training with both libraries" with_cudnn train "$P" cuda bfloat16 cudnn --require cublaslt,cudnn
    check "gives the CPU's losses" near cpu-bfloat16 cudnn 1e-2
    check "and its plan counts what they take" with_cudnn says ", libraries and kernels " trains --dry-run
    check "a required library on the CPU is an error" fails_with "the device in use is cpu" \
        "$P" bench products --device cpu --require cublaslt
    check "one that does not exist is a wrong use" misused_with "not 'blas'" "$P" bench products --device cuda --require blas
}
if "$P" info --devices | grep -q emulated; then
    emulated_libraries
    # shellcheck disable=SC2086
    check "too little memory is an error with a remedy" env CAMBIUM_EMULATE_MEMORY=400000 bash -c "
        . '$OLDPWD/tests/support/flow.sh'; fails_with 'use a smaller' '$P' train --device cuda --layers 2 --tokens 64 --data a.pack -o small $run ||
        fails_with 'are free' '$P' train --device cuda --layers 2 --tokens 64 --data a.pack -o small $run"
fi
exit $bad
