#!/usr/bin/env bash
# Merging needs one tokenizer and one output vocabulary, not one table: a base beside its specialist, two
# fine-tunes of one import, and models whose table trained; decoded on any grid, exported and brought back.
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
. tests/support/flow.sh
top=$PWD
cd "$folder" || exit 1
C=$CAMBIUM

awk 'BEGIN { for (d = 0; d < 60; d++) { for (i = 0; i < 120; i++) printf "%d ", (d * 7 + i) % 97; printf "\f" } }' >a.txt
awk 'BEGIN { for (d = 0; d < 60; d++) { for (i = 0; i < 120; i++) printf "%d ", (d * 5 + i * 3) % 89; printf "\f" } }' >b.txt
"$C" import "$top/tests/golden/gguf_tiny/model.gguf" -o base.h5 -q >/dev/null
for l in a b; do "$C" pack -t base.h5 $l.txt -o $l.pack -q >/dev/null; done
few=(--batch 4 -q)
"$C" grow --init base.h5 --stages 1 --train newest,head --data a.pack "${few[@]}" --tokens 1K -o grown >/dev/null
for l in a b; do "$C" train --init base.h5 --data $l.pack "${few[@]}" --steps 3 -o t$l >/dev/null; done
"$C" train --init base.h5 --data b.pack "${few[@]}" --steps 3 --freeze-table -o kept >/dev/null

tables() { "$C" inspect "$1" | grep -c '/embedding '; }
table() { "$C" inspect "$1" | awk -v name="$2" '$1 == name { print $7 }'; }
check "--freeze-table keeps the table" [ "$(table kept/model.h5 /embedding)" = "$(table base.h5 /embedding)" ]
check "without it the table trains" [ "$(table ta/model.h5 /embedding)" != "$(table base.h5 /embedding)" ]
check "it is part of what a run is" fails_with "--freeze-table is false" "$C" train --init base.h5 --data b.pack "${few[@]}" --steps 3 -o kept --resume

check "a base beside its specialists" "$C" merge base.h5 grown/model.h5 kept/model.h5 -o one.h5
check "they share one table" [ "$(tables one.h5)" = 1 ]
for rule in mean bayes; do check "two fine-tunes, a base and a specialist ($rule)" "$C" merge ta/model.h5 tb/model.h5 base.h5 grown/model.h5 --rule $rule -o four-$rule.h5; done
check "weights are fitted over them" "$C" merge ta/model.h5 tb/model.h5 --rule weighted --tune-weights a.txt -o two.h5
check "three tables for four experts" [ "$(tables four-bayes.h5)" = 3 ]
check "whose values are those of the parts" [ "$(table four-bayes.h5 /experts/1/embedding)" = "$(table tb/model.h5 /embedding)" ]
check "merged models merge again" "$C" merge four-bayes.h5 one.h5 two.h5 --rule mean -o nine.h5
check "and still store each table once" [ "$(tables nine.h5)" = 3 ]
check "all hashes agree" says "all hashes agree" "$C" inspect nine.h5 --verify
same_with_itself() { # what says the same as the parts say
    "$C" merge tb/model.h5 tb/model.h5 --rule mean -o twice.h5 && [ "$(tables twice.h5)" = 1 ] &&
        "$C" merge ta/model.h5 tb/model.h5 --rule weighted --weights 0,1 -o second.h5 || return 1
    for m in tb/model.h5 twice.h5 second.h5; do "$C" eval $m --data b.txt --weights float32 --json | grep -o '"bits_per_byte":[0-9.]*' >>same; done
    [ -s same ] && awk -F: '{ if (NR == 1) x = $2; d = $2 - x; if (d > 1e-5 || d < -1e-5) exit 1 }' same
}
check "averaged with itself, and with all weight on one, a model is itself" same_with_itself

says_text() { "$C" infer four-bayes.h5 -p '1 2 3' -n 16 --temperature 0 --weights float32 -q "$@"; }
says_text >local
for grid in kvp=2,tpa=1,tpf=1,ep=2 kvp=2,tpa=1,tpf=2,ep=1; do
    check "decoded on the grid $grid" bash -c "'$C' infer four-bayes.h5 -p '1 2 3' -n 16 --temperature 0 --weights float32 -q --ranks 2 --grid $grid | cmp - local"
done
check "on four ranks" bash -c "'$C' infer four-bayes.h5 -p '1 2 3' -n 16 --temperature 0 --weights float32 -q --ranks 4 | cmp - local"
check "the same context by a snapshot" bash -c "'$C' infer four-bayes.h5 -p '1 2 3' -n 1 --weights float32 --save-kv s.kv -q >log && '$C' infer four-bayes.h5 --load-kv s.kv -n 16 --temperature 0 --weights float32 -q --ranks 2 | cmp - local"
check "a plan counts all tables" bash -c "[ \$('$C' plan --model four-bayes.h5 --hardware h100 --json | wc -c) -gt 100 ]"
there_and_back() {
    "$C" export four-bayes.h5 -o hf -q && "$C" import hf -o back.h5 -q && "$C" diff four-bayes.h5 back.h5 | grep '^/experts\|^/embedding' && return 1
    "$C" inspect back.h5 | grep -q '^table 2 '
}
check "exported, and imported again" there_and_back
check "no single table is exported of several" fails_with "has several tables" "$C" export four-bayes.h5 --format npy -o t.npy
"$C" embed --corpus a.txt --vocab-size 300 --dim 16 -o t.h5 -q >/dev/null
"$C" pack -t t.h5 a.txt -o t.pack -q >/dev/null
"$C" train -t t.h5 --data t.pack --heads 1 --context 32 --layers 1 --steps 1 "${few[@]}" -o other >/dev/null
check "other tokenizers are refused" fails_with "have different tokenizers" "$C" merge base.h5 other/model.h5 -o never.h5
exit $bad
