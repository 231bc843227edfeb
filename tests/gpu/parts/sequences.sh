# Work that is recorded once and replayed, with other work between that wants more memory: what is
# recorded must not see its memory go.

# The same losses as without the evaluations, to the last digit.
undisturbed() { # verb, options...
    local verb=$1 way every
    shift
    for way in with without; do
        every=0
        [ $way = without ] || every=$every_steps
        ./cambium "$verb" --device "$device" --batch $rows --context $context --heads 2 --log-every 1 --eval-every $every \
            --eval-tokens $((4 * rows * context)) -t ready/table.h5 --data ready/text.pack -o "$work/$verb-$way" "$@" || return
        sed -nE 's/.*"event":"train".*"loss":([0-9.e+-]+).*/\1/p' "$work/$verb-$way/metrics.jsonl" >"$work/$verb-$way.losses"
    done
    [ "$(wc -l <"$work/$verb-with.losses")" -ge 12 ] && cmp "$work/$verb-with.losses" "$work/$verb-without.losses"
}

part_sequences() {
    export rows=8 context=128
    [ -z "$short" ] || rows=2 context=16
    export -f undisturbed ask asked_together one_two_one
    every_steps=4 try train-evaluate-train 60 undisturbed train --dtype bfloat16 --layers 2 --steps 12
    every_steps=3 try grow-evaluate-grow 60 undisturbed grow --dtype bfloat16 --stages 1+1 --tokens $((8 * rows * context))
    own_kernels train-evaluate-train
    own_kernels grow-evaluate-grow
    # Decode, score, decode; one client, two, one.
    TEST_BACKEND=$device try decode-score-decode 90 ./test_replay
    try one-two-one 60 one_two_one
    [ "$device" = cuda ] || return 0
    # The losses of such runs beside the CPU's, and then every verb.
    export CUDA_PROGRAM=$PWD/cambium CAMBIUM=$PWD/cambium CUDA_STEPS=20 FLOW_TABLE=$PWD/ready/table.h5
    try recorded 90 bash tests/cli/cuda_recorded.sh
    try verbs 120 bash tests/cli/cuda.sh
}
