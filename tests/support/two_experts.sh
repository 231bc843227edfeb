# Two small experts, one of numbers and one of letters, and both merged; sourced after flow.sh, in a
# folder of its own. Leaves a.txt, b.txt, t.h5, a/, b/ and both.h5.
two_experts() { # how they are trained: a verb and its options
    awk 'BEGIN { for (d = 0; d < 60; d++) { for (i = 0; i < 120; i++) printf "%d ", (d * 7 + i) % 97; printf "\f" } }' >a.txt
    awk 'BEGIN { for (d = 0; d < 60; d++) { for (i = 0; i < 120; i++) printf "%c ", 97 + (d * 5 + i * 3) % 26; printf "\f" } }' >b.txt
    "$CAMBIUM" embed --corpus a.txt --corpus b.txt --vocab-size 500 --dim 32 -o t.h5 -q || return 1
    local l
    for l in a b; do
        "$CAMBIUM" pack -t t.h5 $l.txt --validation 0.1 -o $l.pack -q &&
            "$CAMBIUM" "$@" --batch 4 --context 32 --heads 4 --lr 5e-3 -t t.h5 --data $l.pack -o $l -q || return 1
    done
    "$CAMBIUM" merge a/model.h5 b/model.h5 --rule bayes -o both.h5 -q
}
