#!/usr/bin/env bash
# A text goes on from its KV snapshot: in another process, over other ranks, after a kill.
. tests/support/flow.sh
bin=$(cd "$(dirname "$CAMBIUM")" && pwd)
top=$PWD
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder" || exit 1
C=$CAMBIUM
awk 'BEGIN { for (d = 0; d < 60; d++) { for (i = 0; i < 120; i++) printf "%d ", (d * 7 + i) % 97; printf "\f" } }' >a.txt
made() {
    "$C" embed --corpus a.txt --vocab-size 400 --dim 32 -o t.h5 -q && "$C" pack -t t.h5 a.txt --validation 0.1 -o a.pack -q || return 1
    for seed in 1 2; do
        "$C" grow --stages 1+1 --tokens 6K --batch 4 --context 512 --heads 4 --lr 5e-3 -t t.h5 --data a.pack -o m$seed --seed $seed -q || return 1
    done
    "$C" merge m1/model.h5 m2/model.h5 --rule bayes -o both.h5 -q
}
check "models are made" made
prompt=$(seq -s ' ' 1 70)
said=(--weights float32 --temperature 1 --seed 3 -n 40 -q)
same() { # what the text was, command...
    "$C" "${@:2}" "${said[@]}" >now && diff "$1" now
}
saved() { "$C" infer both.h5 -p "$prompt" "${said[@]}" >plain && same plain infer both.h5 -p "$prompt" --save-kv a.kv; }
check "saving changes nothing" saved
check "the text goes on from a snapshot" same plain infer both.h5 --load-kv a.kv
for g in kvp=4 kvp=2,tpa=2 tpa=4,ep=2; do
    check "and on the grid $g" same plain infer both.h5 --load-kv a.kv --ranks 4 --grid $g
done
# Types that round give the same text in the same shards: sums of other shards round otherwise.
eight() {
    local types=(--weights int8 --kv int8 --temperature 0 -n 20 -q --ranks 3 --grid kvp=3)
    "$C" infer m1/model.h5 -p "$prompt" "${types[@]}" --save-kv i.kv >first &&
        "$C" infer m1/model.h5 --load-kv i.kv "${types[@]}" >second && diff first second
}
check "eight-bit caches with their scales, too" eight
piecewise() { # 20 tokens, then 20 more from there
    local greedy=(--weights float32 --temperature 0 -q)
    "$C" infer both.h5 -p "$prompt" "${greedy[@]}" -n 40 >whole &&
        "$C" infer both.h5 -p "$prompt" "${greedy[@]}" -n 20 --save-kv e.kv --save-kv-at end >one &&
        "$C" infer both.h5 --load-kv e.kv "${greedy[@]}" -n 20 --ranks 2 --save-kv e.kv --save-kv-at end >two &&
        [ "$(cat whole)" = "$(cat one)$(cat two)" ]
}
check "what was written is part of a snapshot at the end" piecewise
asked() { # a prompt behind the snapshot's text
    "$C" infer m1/model.h5 -p "$prompt" --weights float32 -n 1 -q --save-kv b.kv >log 2>&1
    "$C" infer m1/model.h5 --load-kv b.kv -p ' 71 72' --json "${said[@]}" | grep -q '"prompt":" 71 72"'
}
check "a prompt is added to it" asked
check "another model is refused" fails_with "was saved with another model" "$C" infer m2/model.h5 --load-kv b.kv --weights float32
check "another type is refused" fails_with "give --kv float32" "$C" infer m1/model.h5 --load-kv b.kv --kv int8
check "a model is no snapshot" fails_with "not a KV snapshot" "$C" infer m1/model.h5 --load-kv m1/model.h5
head -c 20000 b.kv >cut.kv
check "a snapshot that is cut is refused" fails_with "cut.kv was cut short" "$C" infer m1/model.h5 --load-kv cut.kv
flipped() { # a value that was altered: found by its hash, or by the seal
    local size
    size=$(stat -c %s b.kv)
    cp b.kv flip.kv
    printf '\xa5\x5a\xa5' | dd of=flip.kv bs=1 seek=$((size / 3)) conv=notrunc 2>/dev/null
    fails_with "flip.kv" "$C" infer m1/model.h5 --load-kv flip.kv --weights float32
}
check "a snapshot that was altered is refused" flipped
check "two prompts are refused" misused_with "for one prompt" "$C" infer m1/model.h5 -p a -p b --save-kv x.kv
check "a chat is refused" misused_with "leave --chat out" "$C" infer m1/model.h5 --chat --save-kv x.kv
check "a folder that is not there is one clear error" fails_with "nowhere/x.kv" "$C" infer m1/model.h5 -p '1 2 3' -n 4 --save-kv nowhere/x.kv
[ ! -e x.kv ] || { echo "not ok - a refused run writes nothing"; bad=1; }
killed() { # while it writes its text: the snapshot of the prompt is whole, and goes on
    rm -f k.kv
    "$C" infer both.h5 -p "$prompt" --weights float32 --temperature 1 --seed 3 -n 100000 --ignore-end --save-kv k.kv >log 2>&1 &
    local pid=$! i
    for i in $(seq 300); do [ -s k.kv ] && break; sleep 0.1; done
    kill -KILL $pid
    wait $pid
    cmp a.kv k.kv && same plain infer both.h5 --load-kv k.kv
}
check "a killed run goes on from its prompt" killed

. "$top/tests/support/mpi.sh"
processes() { # ranks, arguments...
    (mpi "$1" "$C" infer both.h5 "${@:2}" "${said[@]}") >now 2>log
    diff plain now
}
check "processes go on from threads' snapshot" processes 3 --load-kv a.kv --grid kvp=3
check "processes write one" processes 4 -p "$prompt" --grid kvp=2,tpa=2,ep=2 --save-kv p.kv
check "one rank goes on from theirs" same plain infer both.h5 --load-kv p.kv
check "a snapshot of another model is told once" fails_with "was saved with another model" bash -c "mpi 2 '$C' infer m2/model.h5 --load-kv b.kv --weights float32"
exit $bad
