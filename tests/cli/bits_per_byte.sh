#!/usr/bin/env bash
# One definition of bits per byte: what training says of its validation split, eval says of the same
# texts.
set -u
. tests/support/flow.sh
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1

# Documents shorter and longer than a row, and one beyond ASCII.
for i in $(seq 40); do
    seq -s ' ' "$i" $((i * 3 + 2 * (i % 7) * (i % 7))) >"doc$i"
    [ $((i % 5)) = 0 ] && printf 'Ещё %s слов и ещё немного слов\n' "$i" >"doc$i"
    cat "doc$i" >>all.txt
    printf '\f' >>all.txt
done
"$CAMBIUM" embed --corpus all.txt --vocab-size 300 --dim 32 -o t.h5 -q || exit 1
"$CAMBIUM" pack -t t.h5 all.txt --validation 0.4 -o all.pack -q >/dev/null
# The split follows from a document's text alone.
for i in $(seq 40); do
    "$CAMBIUM" pack -t t.h5 "doc$i" --validation 0.4 --json -o one.pack -q 2>/dev/null |
        grep -q '"validation":{"documents":1' && { cat "doc$i"; printf '\f'; } >>held.txt
done
agrees() { # options of the training, of the evaluation
    rm -rf run
    "$CAMBIUM" train -t t.h5 --data all.pack --layers 1 --heads 4 --steps 5 --batch 3 --eval-tokens 0 \
        --dtype float32 -o run -q $1 >/dev/null || return 1
    trained=$(sed -n 's/.*"bpb":\([0-9.]*\).*/\1/p' run/metrics.jsonl | tail -n 1)
    measured=$("$CAMBIUM" eval run/model.h5 --data held.txt --weights float32 --json -q $2 |
        sed -n 's/.*"\(bits_per_byte\|bpb\)": \([0-9.]*\).*/\2/p' | head -n 1)
    echo "# $trained while training, $measured by eval"
    [ -n "$trained" ] && [ -n "$measured" ] &&
        awk -v a="$trained" -v b="$measured" 'BEGIN { exit !(a - b < 1e-5 && b - a < 1e-5) }'
}
check "the validation split is known" [ "$(tr -dc '\f' <held.txt | wc -c)" -gt 5 ]
check "the validation while training is eval's" agrees "--context 32" ""
check "in rows of an odd length, too" agrees "--context 33" ""
check "and in short rows of a longer context" agrees "--context 64 --row 24" "--context 24"
exit $bad
