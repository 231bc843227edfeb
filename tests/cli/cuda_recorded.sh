#!/usr/bin/env bash
# Passes that are recorded on a GPU, with other work between them that wants more memory: training
# with evaluations and samples, growing with evaluations, decoding with scores. On the emulated GPU,
# or on a real one, as tests/cli/cuda.sh.
set -u
. tests/support/flow.sh
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
P=${CUDA_PROGRAM:-${CAMBIUM%/*}/tests/emulated/cambium}
C=$CAMBIUM
if [ ! -x "$P" ]; then
    echo "skip - the emulated GPU is not part of this build ($P)"
    exit $bad
fi
export ASAN_OPTIONS="${ASAN_OPTIONS:-}:detect_leaks=0" OMP_NUM_THREADS=1 CAMBIUM_EMULATE_PROCESSORS=132
cd "$folder" || exit 1
awk 'BEGIN { for (d = 0; d < 40; d++) { for (i = 0; i < 60; i++) printf "%d ", (d * 7 + i) % 97; printf "\f" } }' >a.txt
check "a table" flow_table t.h5 --corpus a.txt --vocab-size 300 --dim 32
check "a pack" "$C" pack -t t.h5 a.txt --validation 0.1 -o a.pack -q

run="--batch 2 --context 16 --heads 2 --kv-heads 1 --log-every 1 --eval-tokens 64 --lr 5e-3 -t t.h5 --data a.pack -q"
train() { # program, device, type, folder
    # shellcheck disable=SC2086
    "$1" train --device "$2" --dtype "$3" --layers 2 --tokens $((32 * 10)) --eval-every 4 -o "$4" $run
}
grow() { # program, device, folder
    # shellcheck disable=SC2086
    "$1" grow --device "$2" --dtype bfloat16 --stages 1+1 --tokens $((32 * 10)) --eval-every 3 -o "$3" $run
}
losses() { # folder: of steps and of evaluations
    sed -nE 's/.*"event":"(train|eval)".*"loss":([0-9.e+-]+).*/\1 \2/p' "$1/metrics.jsonl"
}
near() { # folders, lines at least, largest relative difference of a loss
    paste <(losses "$1") <(losses "$2") | awk -v least="$3" -v most="$4" '
        { d = ($2 - $4) / $2; d = d < 0 ? -d : d; if (!(d <= worst)) worst = d; if ($1 != $3) worst = 1e9 }
        END { printf "%d losses differ by at most %.2g\n", NR, worst; exit !(NR >= least && worst <= most) }'
}
for type in bfloat16 float32; do
    check "train with evaluations on the CPU, $type" train "$C" cpu $type cpu-$type
    check "train with evaluations on the GPU, $type" train "$P" cuda $type cuda-$type
done
check "the losses are those of the CPU, bfloat16" near cpu-bfloat16 cuda-bfloat16 13 1e-2
check "the losses are those of the CPU, float32" near cpu-float32 cuda-float32 13 2e-4
check "grow with evaluations on the CPU" grow "$C" cpu cpu-grow
check "grow with evaluations on the GPU" grow "$P" cuda cuda-grow
check "the losses are those of the CPU, growing" near cpu-grow cuda-grow 26 1e-2
exit $bad
