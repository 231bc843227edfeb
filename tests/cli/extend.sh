#!/usr/bin/env bash
# Runs that become longer: finished ones go on, plans get further stages, rates go down.
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

. tests/support/flow.sh
cd "$folder" || exit 1
C=$CAMBIUM
same_model() { # two runs: all but what each says of its own way
    "$C" diff "$1/model.h5" "$2/model.h5" >differ || true
    ! grep -v '^/run ' differ | grep '^/'
}

awk 'BEGIN { srand(7); for (d = 0; d < 60; d++) { for (i = 0; i < 120; i++) printf "%d ", (d * 7 + i * rand()) % 97; printf "\f" } }' >a.txt
check "embed makes a table" "$C" embed --corpus a.txt --vocab-size 500 --dim 32 -o t.h5 -q
check "pack" "$C" pack -t t.h5 a.txt --validation 0.1 -o a.pack -q

# ---- train ----
run=(--layers 1 --batch 4 --context 32 --heads 2 --dropout 0.2 --log-every 1 -t t.h5 --data a.pack --lr 1e-2)
even=("${run[@]}" --schedule constant --warmup 0)
check "a run of 40 steps" "$C" train "${even[@]}" --steps 40 -o whole -q
check "one of 15" "$C" train "${even[@]}" --steps 15 -o longer -q
check "goes on to 40" "$C" train "${even[@]}" --steps 40 -o longer --resume -q
check "and is the same" same_model whole longer
check "finished, it stays" says "is finished already" "$C" train "${even[@]}" --steps 40 -o longer --resume
killed() {
    "$C" train "${even[@]}" --steps 15 -o killed -q
    "$C" train "${even[@]}" --steps 40 --save-every 5 -o killed --resume -q &
    until grep -q '"step":30,' killed/metrics.jsonl; do kill -0 $! || break; sleep 0.01; done
    kill -KILL $!
    wait $!
    "$C" train "${even[@]}" --steps 40 -o killed --resume -q && same_model whole killed
}
check "killed on the way it is, too" killed
check "in tokens" "$C" train "${even[@]}" --tokens 5120 -o longer --resume -q
said() { # words, command...: on standard error
    local words=$1
    shift
    "$@" 2>said && grep -qF -- "$words" said
}
check "a change is told" said "--steps is 30 from here on; falls was started with 20" bash -c "
    '$C' train ${run[*]} --steps 20 -o falls -q && '$C' train ${run[*]} --steps 30 -o falls --resume"
check "a lower rate is told" said "--lr is 0.001 from here on" "$C" train "${run[@]}" --lr 1e-3 --steps 36 -o falls --resume
check "and used" bash -c "tail -n 3 falls/metrics.jsonl | sed -n 's/.*\"lr\":\([0-9.e-]*\).*/\1/p' | awk '\$1 > 1e-3 { exit 1 }'"
check "a higher one is refused" fails_with "--lr is 0.02" "$C" train "${run[@]}" --lr 2e-2 --steps 50 -o falls --resume
no_trainer() {
    rm longer/trainer.h5
    fails_with "longer/trainer.h5 has no trainer of the finished stage" "$C" train "${even[@]}" --steps 60 -o longer --resume -q
}
check "without its trainer it cannot" no_trainer

# ---- grow ----
grow=(--batch 4 --context 32 --heads 2 --dropout 0.2 --log-every 1 -t t.h5 --data a.pack --lr 1e-2 --tokens 2K -q)
check "three stages" "$C" grow --stages 1+1+1 "${grow[@]}" -o three
check "two" "$C" grow --stages 1+1 "${grow[@]}" -o two
check "and one more" "$C" grow --stages 1+1+1 "${grow[@]}" -o two --resume
check "are the same file" cmp three/model.h5 two/model.h5
check "fewer are another plan" fails_with "(2 stages, not 3)" "$C" grow --stages 1+1 "${grow[@]}" -o two --resume
plan() { # file, tokens of the last stage, its rate
    printf '%s\n' 'stages:' '  - {blocks: 1, tokens: 2K}' "  - {blocks: 1, tokens: $2, lr: $3, schedule: constant, warmup: 0}" >"$1"
}
plan short.yaml 2K 1e-2
plan long.yaml 20K 1e-2
plan lower.yaml 24K 1e-3
plan less.yaml 1K 1e-3
for cache in off ram; do
    check "a long last stage ($cache)" "$C" grow --plan long.yaml --cache-prefix $cache "${grow[@]}" -o long-$cache
    check "a short one" "$C" grow --plan short.yaml --cache-prefix $cache "${grow[@]}" -o grown-$cache
    check "that grows" "$C" grow --plan long.yaml --cache-prefix $cache "${grow[@]}" -o grown-$cache --resume
    check "is the same" same_model long-$cache grown-$cache
done
check "also at a lower rate, which is told" said "stage 2: lr is 0.001 from here on; it was 0.01" "$C" grow --plan lower.yaml "${grow[@]:0:18}" -o grown-off --resume
check "but not shorter" fails_with "cannot have fewer tokens" "$C" grow --plan less.yaml "${grow[@]}" -o grown-off --resume
printf '%s\n' 'stages:' '  - {blocks: 1, tokens: 2K}' '  - {blocks: 0, train: lora, tokens: 2K}' >lora.yaml
sed 's/lora, tokens: 2K/lora, tokens: 4K/' lora.yaml >lora-long.yaml
check "pairs that are folded" "$C" grow --plan lora.yaml "${grow[@]}" -o lora
check "cannot train on" fails_with "grow on by another stage" "$C" grow --plan lora-long.yaml "${grow[@]}" -o lora --resume
exit $bad
