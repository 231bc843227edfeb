#!/usr/bin/env bash
# What a run keeps to: plans with every kind of stage, stopped, killed and resumed; options that
# changed meanwhile; models grown on, merged again, measured and continued.
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

. tests/support/flow.sh
member() { # name, file...: the values of a member of JSON lines
    local name=$1
    shift
    sed -n "s/.*\"$name\":\([^,}]*\).*/\1/p" "$@"
}
cd "$folder" || exit 1
C=$CAMBIUM

awk 'BEGIN { for (d = 0; d < 60; d++) { for (i = 0; i < 120; i++) printf "%d ", (d * 7 + i) % 97; printf "\f" } }' >a.txt
awk 'BEGIN { for (d = 0; d < 60; d++) { for (i = 0; i < 120; i++) printf "%c ", 97 + (d * 5 + i * 3) % 26; printf "\f" } }' >b.txt
check "embed makes a table" "$C" embed --corpus a.txt --corpus b.txt --vocab-size 500 --dim 32 -o t.h5 -q
for l in a b; do check "pack $l" "$C" pack -t t.h5 $l.txt --validation 0.1 -o $l.pack; done
mkdir texts && head -c 500 a.txt >texts/a.txt && head -c 500 b.txt >texts/b.txt

# ---- a plan with every kind of stage ----
cat >plan.yaml <<'Y'
stages:
  - {blocks: 1, train: [newest, head], tokens: 2K, data: [a.pack]}
  - {blocks: 1, start: identity, train: [newest, head], tokens: 1, lr: 1e-30, warmup: 0, data: [a.pack]}
  - {blocks: 1, start: random, train: newest, tokens: 1K, data: ["a.pack:0.7", "b.pack:0.3"]}
  - {blocks: 0, train: [lora], lora: {rank: 2, alpha: 4, fold: false}, tokens: 1K}
  - {blocks: 1, train: [lora, newest, head], lora: {rank: 2, alpha: 4}, tokens: 1K}
  - {blocks: 0, train: [lora, head], lora: {rank: 3, alpha: 3}, tokens: 1K}
  - {blocks: 0, train: all, tokens: 1K}
Y
run=(--batch 4 --context 32 --heads 2 --save-every 3 --log-every 1 --keep-stages -t t.h5 --data a.pack --data b.pack -q)
check "a plan with every kind of stage" "$C" grow --plan plan.yaml "${run[@]}" -o whole
stages_start_equal() {
    grep '"event":"eval"' whole/metrics.jsonl | grep -E '"stage":[12],?' >evals
    [ "$(member bpb evals | sort -u | wc -l)" = 1 ] && [ "$(wc -l <evals)" = 2 ]
}
check "an identity start changes nothing, to the last digit" stages_start_equal
killed() {
    local n
    for n in 1 2 3 4 5; do
        timeout -s KILL "0.$((RANDOM % 6 + 1))" "$C" grow --plan plan.yaml "${run[@]}" -o killed --resume
    done
    "$C" grow --plan plan.yaml "${run[@]}" -o killed --resume && cmp whole/model.h5 killed/model.h5 &&
        diff <(sed 's/"seconds":[^,]*,//; s/,"tokens_per_second":[^}]*//' whole/metrics.jsonl) \
            <(sed 's/"seconds":[^,]*,//; s/,"tokens_per_second":[^}]*//' killed/metrics.jsonl)
}
check "killed in any stage it ends with the same file and the same metrics" killed
kept() { # a model per stage, with that stage's blocks
    local n
    for n in 1 2 3 4 5 6 7; do
        cmp whole/stage$n.h5 killed/stage$n.h5 || return 1
    done
    "$C" inspect whole/stage2.h5 | grep -q '^ *2 layers' && "$C" inspect whole/stage5.h5 | grep -q '^ *4 layers'
}
check "the model of each stage is kept, killed or not" kept
check "a grown model grows again" "$C" grow --init whole/model.h5 --stages 1 --start identity --tokens 512 --batch 4 --data a.pack -q -o again
sed 's/rank: 3/rank: 4/' plan.yaml >other.yaml
check "another plan is told by its stage" fails_with "('lora' of stage 6)" "$C" grow --plan other.yaml "${run[@]}" -o killed --resume
check "a shape beside --init is refused" misused_with "--d-ff is for a new model" \
    "$C" grow --init whole/model.h5 --stages 1 --d-ff 99 --data a.pack -q -o shape

# ---- a run that is stopped ----
long=(--batch 4 --context 32 --heads 2 --layers 1 --steps 100000 -t t.h5 --data a.pack)
stopped() {
    # (In the background timeout would send the signal twice, and the second one ends the run at once.)
    timeout --foreground -s INT 60 "$C" train "${long[@]}" -o stopped 2>said &
    until grep -qs '"step":10,' stopped/metrics.jsonl; do kill -0 $! || return 1; sleep 0.1; done
    kill -INT $!
    wait $!
    grep -q "stopped after step [0-9]* of 100000; stopped/model.h5 holds it, and --resume goes on" said &&
        ! grep -q $'\r' said
}
check "Ctrl-C saves and says so, and a pipe sees no bar" stopped
for change in "--lr 0.5" "--batch 8" "--layers 2" "--dropout 0.5" "--lr-floor 0.5" "--micro-batch 1" "--norm rms" \
    "--seed 7" "--clip 3" "--data b.pack" "--no-bias" "--weight-decay 0"; do
    name=${change%% *}
    # shellcheck disable=SC2086
    check "resumed with $change it is refused" fails_with "${name/no-/} is " "$C" train "${long[@]}" -o stopped --resume $change
done

# ---- merging and measuring ----
one=(--batch 4 --steps 20 -t t.h5 -q)
check "another width, depth and context" "$C" train "${one[@]}" --d-model 64 --kv-heads 1 --heads 2 --layers 1 --context 16 --data b.pack -o b
check "models of other shapes merge" "$C" merge whole/model.h5 b/model.h5 -o two.h5
check "merged files merge on" "$C" merge two.h5 b/model.h5 again/model.h5 --rule weighted --weights 1,2,3,4 -o four.h5
check "a merged file alone gets another rule" "$C" merge two.h5 --rule mean -o mean.h5
check "one expert is no merger" fails_with "is one expert" "$C" merge b/model.h5 -o x.h5
check "an adapter sees no more than there is" misused_with "--adapter-top 9999" "$C" merge whole/model.h5 b/model.h5 \
    --rule adapter --tune-weights a.txt --adapter-top 9999 -o x.h5
check "a failed merger leaves no file" bash -c '! ls x.h5* 2>/dev/null'
bits() { "$C" eval "$1" --weights float32 --data a.txt --json -q | sed -n 's/.*"bits_per_byte": *\([0-9.e+-]*\).*/\1/p'; }
self() { # but for the order of sums: one model's loss does without its logits
    "$C" merge b/model.h5 b/model.h5 b/model.h5 --rule mean -o self.h5 -q >/dev/null
    paste <(bits b/model.h5) <(bits self.h5) >both && cat both &&
        awk '{ d = $1 / $2 - 1; n += $1 > 0 && d < 1e-6 && d > -1e-6 } END { exit !n || n != NR }' both
}
check "a model averaged with itself is itself" self
check "eval reads folders and tells models apart" bash -c "
    '$C' eval whole/model.h5 b/model.h5 --data texts -q | grep -q '^b/model.h5 '"

# ---- continuing texts ----
text() { "$C" infer b/model.h5 -q --json --seed "$1" -n 8 "${@:2}" | member text; }
batch_is_alone() { [ "$(text 5 -p a -p 'b c' -p '1 2')" = "$(text 5 -p a && text 6 -p 'b c' && text 7 -p '1 2')" ]; }
check "prompts together give what each gives alone" batch_is_alone
check "standard input is a prompt" [ "$(echo 'b c' | text 5)" = "$(text 5 -p 'b c')" ]
check "a context ends the text" bash -c "'$C' infer b/model.h5 -q -p 'b c d' -n 50 --context 10 --json | grep -q '\"finish\":\"length\"'"
check "a prompt longer than the context is refused" fails_with "leaves no room" "$C" infer b/model.h5 -q -p 'b c d e f' --context 3

# ---- nothing is lost ----
few=(--data a.pack --batch 4 --tokens 1K -q)
check "another expert" "$C" grow -t t.h5 --heads 2 --context 32 --stages 1 "${few[@]}" -o block
mkdir mine && echo '{"mine": 1}' >mine/metrics.jsonl
check "metrics of another run are kept" fails_with "mine has the metrics.jsonl of a run whose checkpoint" "$C" grow -t t.h5 --heads 2 --stages 1 "${few[@]}" -o mine
sha256sum t.h5 a.txt b/model.h5 b/metrics.jsonl mine/metrics.jsonl >sums
lost() { fails_with "would be overwritten" "$C" "$@"; }
check "pack: not its table" lost pack -t t.h5 a.txt -o t.h5
check "pack: not its text" lost pack -t t.h5 a.txt -o ./a.txt
check "embed: not its corpus" lost embed --corpus a.txt --vocab-size 300 --dim 16 -o a.txt
check "embed: no preview over the table" lost embed t.h5 --preview t.h5
check "merge: not an expert" lost merge b/model.h5 block/model.h5 -o b/model.h5
check "merge: not the text that fits it" lost merge b/model.h5 block/model.h5 --rule weighted --tune-weights a.txt -o a.txt
check "report: not the run's metrics" lost report b -o b/metrics.jsonl
check "report: not its checkpoint" lost report b -o b/model.h5
check "all are as they were" sha256sum --quiet -c sums

# ---- names that are not UTF-8 ----
odd=$'odd\xff'
cp a.pack "$odd.pack"
named() {
    "$C" train -t t.h5 --heads 2 --data "$odd.pack" --layers 1 --steps 2 --batch 4 --context 32 --eval-every 1 --sample-every 1 --prompt $'\xff' -o "$odd" --json -q >odd.json &&
        grep -q '"model":"odd�/model.h5"' odd.json && grep -q '"data":"odd�.pack"' "$odd/metrics.jsonl" && grep -q '"prompt":"�"' "$odd/metrics.jsonl" &&
        "$C" merge "$odd/model.h5" b/model.h5 -o "$odd.h5" --json | grep -q '"file":"odd�.h5"' && "$C" inspect --json "$odd.h5" | grep -q '"name": "odd�"'
}
check "runs, packs and experts have them" named
check "weights are finite" misused_with "--weights wants 2 numbers" "$C" merge b/model.h5 block/model.h5 --weights inf,1 -o never.h5
exit $bad
