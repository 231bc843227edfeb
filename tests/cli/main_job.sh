#!/usr/bin/env bash
# The main job in small: a table, two specialists grown on it, merged, measured, speaking; and
# a real model decodes as it does elsewhere.
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

. tests/support/flow.sh
cd "$folder" || exit 1
C=$CAMBIUM

# Two little languages: digits that count, and letters that go round.
awk 'BEGIN { for (d = 0; d < 60; d++) { for (i = 0; i < 120; i++) printf "%d ", (d * 7 + i) % 97; printf "\f" } }' >a.txt
awk 'BEGIN { for (d = 0; d < 60; d++) { for (i = 0; i < 120; i++) { c = (d * 5 + i * 3) % 26
    printf "%c%c ", 97 + c, 97 + (c * 3 + 1) % 26 } printf "\f" } }' >b.txt
check "embed makes a table" "$C" embed --corpus a.txt --corpus b.txt --vocab-size 600 --dim 32 -o t.h5
check "pack a" "$C" pack -t t.h5 a.txt --validation 0.1 -o a.pack
check "pack b" "$C" pack -t t.h5 b.txt --validation 0.1 -o b.pack

run="--batch 4 --context 32 --heads 2 --save-every 5 --dtype float32 --lr 5e-3 -t t.h5 -q"
# shellcheck disable=SC2086
check "a dry run plans and makes nothing" bash -c "
    [ \$('$C' grow --stages 1+1 --tokens 4K --data a.pack --dry-run $run | grep -cE '^(time|memory) .*[0-9]') = 4 ] && [ ! -e model.h5 ]"
# shellcheck disable=SC2086
for l in a b; do check "grow $l" "$C" grow --stages 1+1 --tokens 8K --data $l.pack -o $l $run; done
# shellcheck disable=SC2086
# Three times as many tokens as the pack has: its windows come again. FLOPs that the cache saved are
# not counted, and nothing else differs.
check "a growth that repeats its text" "$C" grow --stages 1+1 --tokens 36K --data a.pack -o repeated $run
for place in ram disk; do
    check "a prefix cached in $place gives the same losses" bash -c "
        '$C' grow --stages 1+1 --tokens 36K --data a.pack --cache-prefix $place -o $place $run &&
        [ ! -e $place/prefix.h5 ] && ! cmp -s repeated/model.h5 $place/model.h5 &&
        { '$C' diff repeated/model.h5 $place/model.h5 | tee differ; true; } &&
        [ \$(grep -c ^/ differ) = 2 ] && [ \$(grep -cE '^/(meta|run) ' differ) = 2 ]"
done
# shellcheck disable=SC2086
check "a cached prefix needs one rank" misused_with "works with --ranks 1" "$C" grow --stages 1+1 --ranks 2 --cache-prefix ram --data a.pack -o r $run

# shellcheck disable=SC2086
limited() { (ulimit -f 100 && "$C" grow --stages 1 --tokens 1K --data a.pack -o limited $run); }
check "a file that may not grow is an error that names it" fails_with "limited/model.h5: File too large" limited
# shellcheck disable=SC2086
check "a folder that holds a run is refused" fails_with "holds a run already" "$C" grow --stages 1+1 --tokens 8K --data a.pack -o a $run

check "a report is drawn, and its tables are printed" bash -c "
    '$C' report a b -o report.html >report.txt && grep -q '</html>' report.html &&
    [ \$(grep -cE '^[ab] +[12] +newest,head ' report.txt) = 4 ]"

for rule in mean weighted bayes; do
    check "merge by $rule" "$C" merge a/model.h5 b/model.h5 --rule $rule -o $rule.h5
done
check "fit weights" "$C" merge a/model.h5 b/model.h5 --rule weighted --tune-weights a.txt --tune-tokens 512 -o tuned.h5
check "fit an adapter" "$C" merge a/model.h5 b/model.h5 --rule adapter --tune-weights a.txt --tune-tokens 512 -o adapter.h5
check "other tables are told apart" bash -c "
    '$C' embed --corpus a.txt --vocab-size 600 --dim 32 -o other.h5 && '$C' pack -t other.h5 a.txt -o other.pack -q &&
    '$C' grow --stages 1 --tokens 1K --data other.pack -o other ${run/t.h5/other.h5} &&
    ! '$C' merge a/model.h5 other/model.h5 -o x.h5 2>e && grep -q 'different' e"
check "eval measures experts and rules" "$C" eval bayes.h5 --experts --rules mean,bayes --data a.txt --data b.txt --limit 5 -o bpb.json
check "experts are called after their runs" grep -q 'expert 0 (a)' bpb.json
check "bayes is near the better expert on each text" awk '
    /"model"/ { m = $0 } /"data"/ { d = $0 } /bits_per_byte/ { split($0, x, /[:,]/); v[m, d] = x[2]; M[m]; D[d] }
    END { for (d in D) { best = 99; for (m in M) { if (m ~ /expert [01]/ && v[m, d] < best) best = v[m, d]; if (m ~ /bayes"/) b = v[m, d] }
          if (b > best * 1.1 + 0.02) exit 1 } }' bpb.json
check "infer continues a text" "$C" infer bayes.h5 -p "1 2 3 " --max-tokens 8 --temperature 0
check "int8 weights speak too" "$C" infer a/model.h5 -p "1 2 3 " --max-tokens 8 --weights int8 --json

stories=$TEST_DATA/stories260k
if [ -d "$stories" ]; then
    check "import a llama2.c model" "$C" import "$stories/stories260K.bin" --tokenizer "$stories/tok512.bin" -o stories.h5
    "$C" infer stories.h5 -p "" --temperature 0 --max-tokens 200 --weights float32 >story.txt 2>err.txt
    check "200 greedy tokens are the known ones" cmp story.txt "$stories/greedy-200.txt"
else
    echo "skip - a real model decodes as elsewhere: no test data"
fi
exit $bad
