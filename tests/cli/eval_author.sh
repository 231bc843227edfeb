#!/usr/bin/env bash
# The author's protocol over the real program: its label, its draws, runs that are stopped, and
# what it refuses.
. tests/support/flow.sh
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder" || exit 1
C=$CAMBIUM
awk 'BEGIN { for (d = 0; d < 60; d++) { for (i = 0; i < 60; i++) printf "Options: A) x B) y\nAnswer:%c\nAnswer:Ann ", 65 + (d + i) % 4; printf "\f" } }' >a.txt
made() {
    "$C" embed --corpus a.txt --vocab-size 300 --dim 32 -o t.h5 -q &&
        "$C" pack -t t.h5 a.txt -o a.pack -q &&
        "$C" train --layers 1 --steps 40 --batch 4 --context 64 --heads 4 --lr 5e-3 -t t.h5 --data a.pack -o a -q
}
check "a model is made" made
mkdir -p data/mmlu/test data/mmlu/dev data/squad
for s in anatomy sociology; do
    awk 'BEGIN { for (i = 0; i < 60; i++) printf "%d and?,4,5,6,7,%c\n", i, 65 + i % 4 }' >data/mmlu/test/${s}_test.csv
    cp data/mmlu/test/${s}_test.csv data/mmlu/dev/${s}_dev.csv
done
awk 'BEGIN { printf "{\"data\": [{\"title\": \"T\", \"paragraphs\": ["
    for (p = 0; p < 30; p++) { printf "%s{\"context\": \"It was Ann %d.\", \"qas\": [", p ? ", " : "", p
        for (q = 0; q < 12; q++) printf "%s{\"id\": \"%d.%d\", \"question\": \"Who?\", \"answers\": [{\"text\": \"%s\"}]}", q ? ", " : "", p, q, q == 5 ? "much too long" : q % 2 ? "Ann" : "A"
        printf "]}" } printf "]}]}\n" }' >data/squad/dev-v2.0.json
e=(eval a/model.h5 --data data --weights float32 -q --tasks mmlu,squad2)
check "the table says whose protocol it is" says "10 draws a question; not comparable with other scores" "$C" "${e[@]}" --protocol author -o whole.json --save-items whole.jsonl
labelled() {
    [ "$(grep -c '"protocol": "author"' whole.json)" = 2 ] && grep -q '"task": "mmlu_author"' whole.json &&
        grep -q '"chance": 0.25' whole.json && grep -q 'not comparable' whole.json &&
        [ "$(tail -n +2 whole.jsonl | grep -c '"protocol":"author"')" = 376 ]
}
check "so do the results and the items: 120 questions, and 256 of SQuAD" labelled
none_long() { ! grep -q '"gold":"much' whole.jsonl; }
check "none of them has a long answer" none_long
check "the default is another protocol" says '"protocol": "log-probability"' "$C" "${e[@]/mmlu,squad2/mmlu}" --shots 0 --json
repeats() {
    "$C" "${e[@]}" --protocol author --save-items again.jsonl >/dev/null && cmp whole.jsonl again.jsonl &&
        "$C" "${e[@]}" --protocol author --seed 5 --save-items other.jsonl >/dev/null &&
        ! diff <(tail -n +2 whole.jsonl) <(tail -n +2 other.jsonl) >/dev/null
}
check "the same seed draws the same, another one does not" repeats
torn() {
    local n
    for n in 3000 70001 190003; do
        head -c $n whole.jsonl >torn.jsonl
        "$C" "${e[@]}" --protocol author --resume --save-items torn.jsonl -o torn.json >/dev/null || return 1
        cmp whole.jsonl torn.jsonl && cmp whole.json torn.json || return 1
    done
}
check "resumed it ends with the same files" torn
check "one protocol does not go on with the other's answers" fails_with "differs in tasks" "$C" "${e[@]}" --resume --save-items whole.jsonl
check "--limit cuts the subset" says '"questions": 7,' "$C" "${e[@]/mmlu,squad2/squad2}" --protocol author --limit 7 --json
check "solved examples are refused" misused_with "leave --shots out" "$C" "${e[@]}" --protocol author --shots 2
check "so is a task that it does not have" misused_with "is for mmlu, squad and squad2" "$C" "${e[@]}" --tasks bpb --protocol author
drawn() {
    sed 's/"layers": 1/"layers": 4/' whole.json >stage2.json
    "$C" report whole.json stage2.json -o page.html -q && grep -q 'mmlu_author by category' page.html &&
        grep -q 'mmlu_author against depth' page.html && grep -q '4 layers' page.html && grep -q '</html>' page.html
}
check "results are drawn on a page" drawn
echo '[{"task": "mmlu"}]' >broken.json
measured() { # the files of two folders, and bits per byte
    mkdir -p one two
    "$C" eval a/model.h5 --data data --weights float32 -q --tasks bpb,mmlu --shots 0 --data a.txt --limit 3 --positions -o one/r.json &&
        cp one/r.json two/r.json && "$C" report one/r.json two/r.json -o page.html -q &&
        grep -q '<th>one/r.json: model.h5</th>' page.html && grep -q '<th>two/r.json: model.h5</th>' page.html &&
        grep -q '<b>a.txt by position</b> bits per byte' page.html && grep -q '<h2>Bits per byte</h2>' page.html
}
check "so are bits per byte, and files of one name told apart" measured
check "a broken result is named" fails_with "broken.json: [0] has no 'model'" "$C" report broken.json -o no.html
exit $bad
