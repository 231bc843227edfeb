#!/usr/bin/env bash
# A growth reads its corpus once before it reads it again: over stages, --resume and --init.
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

. tests/support/flow.sh
cd "$folder" || exit 1
C=$CAMBIUM
values() { # member, file: of the lines of training
    grep '"event":"train"' "$2" | sed -n "s/.*\"$1\":\([^,}]*\).*/\1/p"
}
same_values() { # member, file, files...: those of the files together
    local member=$1 whole=$2 part
    shift 2
    [ "$(values "$member" "$whole")" = "$(for part in "$@"; do values "$member" "$part"; done)" ]
}

awk 'BEGIN { srand(7); for (d = 0; d < 60; d++) { for (i = 0; i < 120; i++) printf "%d ", (d * 7 + i * rand()) % 97; printf "\f" } }' >a.txt
awk 'BEGIN { srand(8); for (d = 0; d < 60; d++) { for (i = 0; i < 120; i++) printf "%c ", 97 + (d * 5 + i * rand()) % 26; printf "\f" } }' >b.txt
check "embed makes a table" "$C" embed --corpus a.txt --corpus b.txt --vocab-size 500 --dim 32 -o t.h5 -q
for l in a b; do check "pack $l" "$C" pack -t t.h5 $l.txt --validation 0.1 -o $l.pack -q; done
head -c 400 b.txt >tiny.txt && check "pack a little" "$C" pack -t t.h5 tiny.txt --validation 0 -o tiny.pack -q
sed 's/./x/' a.txt >c.txt && check "pack c" "$C" pack -t t.h5 c.txt -o c.pack -q

# Nothing learns, so that losses tell the windows, and blocks add nothing when they start.
still=(--batch 4 --context 32 --heads 2 --lr 1e-30 --log-every 1 -t t.h5 -q)
check "one stage of 24 steps" "$C" grow --stages 1 --start identity --tokens 3072 "${still[@]}" --data a.pack -o one
check "three of 8 steps" "$C" grow --stages 1+1+1 --start identity --tokens 1024 "${still[@]}" --data a.pack -o three
check "stages read what one stage reads" same_values loss one/metrics.jsonl three/metrics.jsonl
check "no stage reads what another has read" [ "$(values loss three/metrics.jsonl | sort -u | wc -l)" = 24 ]
drop=(--dropout 0.3 "${still[@]}" --data a.pack:0.7 --data b.pack:0.3)
check "a mixture, with dropout" "$C" grow --stages 1 --tokens 3072 "${drop[@]}" -o one-drop
check "the same in stages" "$C" grow --stages 1+0+0 --train all --tokens 1024 "${drop[@]}" -o three-drop
check "dropout and mixture go on, too" same_values loss one-drop/metrics.jsonl three-drop/metrics.jsonl
check "train 5 steps" "$C" train --layers 1 --steps 5 "${drop[@]}" -o five
check "and 19 more" "$C" train --init five/model.h5 --dropout 0.3 --steps 19 --batch 4 --lr 1e-30 --log-every 1 -q --data a.pack:0.7 --data b.pack:0.3 -o rest
check "train 24 steps" "$C" train --layers 1 --steps 24 "${drop[@]}" -o all
check "--init reads on" same_values loss all/metrics.jsonl five/metrics.jsonl rest/metrics.jsonl
check "unless it shall not" "$C" train --init five/model.h5 --data-from start --steps 5 --batch 4 --lr 1e-30 --log-every 1 -q --data a.pack:0.7 --data b.pack:0.3 --dropout 0 -o again

# ---- plans ----
cat >start.yaml <<'Y'
stages:
  - {blocks: 1, start: identity, tokens: 1024}
  - {blocks: 1, start: identity, tokens: 1024}
  - {blocks: 1, start: identity, tokens: 1024, data_from: continue}
data_from: start
Y
check "a plan that says start" "$C" grow --plan start.yaml "${still[@]}" --data a.pack -o started
from_start() {
    [ "$(values loss started/metrics.jsonl | sed -n 1,8p)" = "$(values loss started/metrics.jsonl | sed -n 9,16p)" ] &&
        [ "$(values loss started/metrics.jsonl | sed -n 17,24p)" = "$(values loss three/metrics.jsonl | sed -n 9,16p)" ]
}
check "reads from the start where it says so" from_start
cat >changing.yaml <<'Y'
stages:
  - {blocks: 1, tokens: 1024, data: [a.pack]}
  - {blocks: 0, train: head, tokens: 512, data: [b.pack]}
  - {blocks: 0, train: head, tokens: 1024, data: [b.pack, a.pack, c.pack]}
  - {blocks: 0, train: head, tokens: 512, data: [a.pack]}
Y
check "sources that come and go" "$C" grow --plan changing.yaml "${still[@]}" -o changing
check "are read on" [ "$(values loss changing/metrics.jsonl | sort -u | wc -l)" = 24 ]
pairs() { # name, stages...: the digests of the pairs that a plan ends with
    local name=$1
    shift
    printf '%s\n' 'stages:' '  - {blocks: 1, tokens: 128}' "$@" '  - {blocks: 0, train: lora, lora: {rank: 2, fold: false}, tokens: 128}' >"$name.yaml"
    "$C" grow --plan "$name.yaml" "${still[@]}" --data a.pack -o "$name" >/dev/null && "$C" inspect "$name/model.h5" | grep lora_a | sed 's/.* B //'
}
other_pairs() {
    pairs early >early.txt && pairs later '  - {blocks: 0, train: head, tokens: 128}' >later.txt &&
        [ "$(wc -l <early.txt)" = "$(wc -l <later.txt)" ] && [ -s early.txt ] && [ -z "$(sort early.txt later.txt | uniq -d)" ]
}
check "LoRA pairs of another stage are others" other_pairs
check "inspect says how far" says "read       a.pack: 1,888 tokens of " "$C" inspect changing/model.h5
check "report says it too" says "a.pack" "$C" report changing -o changing.html
sed 's/data_from: start/data_from: middle/' start.yaml >bad.yaml
check "another place is an error" fails_with "data_from is start or continue, not 'middle'" "$C" grow --plan bad.yaml "${still[@]}" --data a.pack -o bad

# ---- told before the first step ----
late() { # words, a last stage, options: the error, and nothing was trained
    local words=$1 stage=$2
    shift 2
    rm -rf late
    printf '%s\n' 'stages:' '  - {blocks: 1, tokens: 1024}' '  - {blocks: 0, train: lora, lora: {rank: 2, fold: false}, tokens: 1024}' "  - $stage" >late.yaml
    fails_with "$words" "$C" grow --plan late.yaml "${still[@]}" --data a.pack -o late "$@" && [ ! -s late/metrics.jsonl ]
}
check "another tokenizer" "$C" embed --corpus a.txt --vocab-size 400 --dim 32 -o t2.h5 -q
check "and its pack" "$C" pack -t t2.h5 a.txt -o other.pack -q
head -c 20 a.txt >short.txt && check "a short pack" "$C" pack -t t.h5 short.txt --validation 0 -o short.pack -q
check "a missing pack" late "stage 3: cannot open missing.pack" '{blocks: 1, tokens: 1024, data: [missing.pack]}'
check "a pack of another tokenizer" late "stage 3: other.pack was packed with another tokenizer" '{blocks: 1, tokens: 1024, data: [other.pack]}'
check "a pack that is too short" late "stage 3: the training split of short.pack" '{blocks: 1, tokens: 1024, data: [short.pack]}'
check "a learning rate" late "stage 3: the learning rate 5000" '{blocks: 1, tokens: 1024, lr: 5000}'
check "pairs of another rank" late "stage 3: the model has LoRA pairs of rank 2 and alpha 16 by then" '{blocks: 0, train: lora, lora: {rank: 3}, tokens: 1024}'
check "pairs that nobody trains" late "line 4: lora: this stage trains none" '{blocks: 1, lora: {rank: 3}, tokens: 1024}'
check "a frozen table that shall train" late "stage 3: train: embedding, but" '{blocks: 0, train: embedding, tokens: 1024}'
warns() { # words, command...
    local words=$1
    shift
    "$@" 2>&1 >/dev/null | tee warned | grep -F -- "$words" >/dev/null || { cat warned; return 1; }
}
check "tokens that repeat while others are never read" warns "stage 2 reads 1024 tokens of a.pack again while" \
    "$C" grow --plan start.yaml "${still[@]:0:12}" --data a.pack --dry-run
quiet_in_other_rows() {
    "$C" train --init one/model.h5 --row 20 --steps 4 --batch 4 --data a.pack -o other-rows 2>said && ! grep -F 'again while' said
}
check "but not for rows of another length" quiet_in_other_rows
check "a small pack beside a large one" warns "of a.pack are never read; its share of the mixture" \
    "$C" train --layers 1 --tokens 4K "${still[@]:0:12}" --data a.pack:0.1 --data tiny.pack:0.9 -o tiny

# ---- resumed, with a cached prefix ----
cat >cached.yaml <<'Y'
stages:
  - {blocks: 1, tokens: 1K, lr: 1e-2}
  - {blocks: 1, tokens: 30K, lr: 1e-2}
  - {blocks: 1, tokens: 30K, lr: 1e-2}
Y
cached=(--plan cached.yaml --batch 4 --context 32 --heads 2 --dropout 0.1 --cache-prefix ram --save-every 20 --log-every 1 -t t.h5 --data a.pack --data b.pack -q)
check "a growth of several epochs" "$C" grow "${cached[@]}" -o whole
interrupted() {
    local lines
    for lines in 30 120 260 330 450; do
        "$C" grow "${cached[@]}" -o killed --resume &
        until [ "$(wc -l <killed/metrics.jsonl)" -ge $lines ]; do kill -0 $! || break; sleep 0.02; done
        kill -KILL $!
        wait $!
    done 2>/dev/null
    "$C" grow "${cached[@]}" -o killed --resume && cmp whole/model.h5 killed/model.h5 &&
        diff <(sed 's/"seconds":[^,]*,//; s/,"tokens_per_second":[^}]*//' whole/metrics.jsonl) \
            <(sed 's/"seconds":[^,]*,//; s/,"tokens_per_second":[^}]*//' killed/metrics.jsonl)
}
check "killed five times it ends with the same file, metrics and FLOPs" interrupted

# ---- planned with it ----
dry() { "$C" grow --stages 1+1 --tokens 30K --batch 4 --context 32 --heads 2 --d-model 256 --d-ff 64 -t t.h5 --data a.pack --dry-run --cache-prefix "$1" >"dry.$1"; }
memory() { sed -n 's/^memory *\([0-9]*\) MB.*/\1/p' "dry.$1" | tail -n 1; }
more_memory() { # 14 K tokens of width 256 are 14 MB
    dry off && dry ram && dry disk && [ "$(memory ram)" -gt $(($(memory off) + 10)) ] &&
        [ "$(memory disk)" = "$(memory off)" ] && grep -q '^disk  *1[0-9] MB while it runs: cached prefix' dry.disk
}
check "a dry run counts the cached prefix" more_memory
check "and none where nothing is read twice" bash -c "! '$C' grow --stages 1+1 --tokens 1K -t t.h5 --data a.pack --dry-run --cache-prefix ram | grep 'cached prefix [0-9]'"

# ---- other files under the names of the first ----
cat >two.yaml <<'Y'
stages:
  - {blocks: 1, tokens: 1M, data: [a.pack]}
  - {blocks: 1, tokens: 1K, data: [b.pack]}
Y
swapped() {
    "$C" grow --plan two.yaml "${still[@]}" --save-every 10 -o swapped &
    until [ -s swapped/model.h5 ]; do kill -0 $! || return 1; sleep 0.05; done
    kill -KILL $!
    wait $!
    cp c.pack b.pack
    fails_with "stage 2: b.pack is not the file that swapped was started with" "$C" grow --plan two.yaml "${still[@]}" --save-every 10 -o swapped --resume
}
check "a pack made again is told at once" swapped
exit $bad
