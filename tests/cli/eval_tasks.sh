#!/usr/bin/env bash
# Tasks with questions over the real program: all kinds, merged models, ranks, runs that are stopped
# or killed, and what is refused.
. tests/support/flow.sh
. tests/support/processes.sh
. tests/support/two_experts.sh
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder" || exit 1
C=$CAMBIUM
check "two experts are made and merged" two_experts train --layers 1 --steps 40

# ---- questions: numbers are right, letters wrong ----
mkdir -p data/choice data/mmlu/dev data/mmlu/test
awk 'BEGIN { for (i = 0; i < 90; i++) { s = ""
    for (c = 0; c < 4; c++) s = s (c ? ", " : "") (c == i % 4 ? sprintf("\"%d %d\"", 10 + i % 80, 11 + i % 80) : sprintf("\"%c %c %c\"", 97 + (i + c) % 26, 98 + i % 24, 99 + c))
    printf "{\"query\": \"%d %c %d\", \"choices\": [%s], \"gold\": %d}\n", i, 97 + i % 26, i + 1, s, i % 4 } }' >data/choice/openbook_qa.jsonl
sed 's/"query": "/"query": "Question: /' data/choice/openbook_qa.jsonl | head -n 20 >data/choice/arc_easy.jsonl
cp data/choice/arc_easy.jsonl data/choice/arc_challenge.jsonl
awk 'BEGIN { for (i = 0; i < 20; i++) printf "{\"query\": \"%d %d, because\", \"choices\": [\"%d\", \"99\"], \"gold\": 0}\n", i, i + 1, i + 2 }' >data/choice/copa.jsonl
awk 'BEGIN { for (i = 0; i < 20; i++) printf "{\"query\": \"Passage: %d %d\\nQuestion: is it %d\", \"choices\": [\"no\", \"yes\"], \"gold\": %d}\n", i, i + 1, i + 2, i % 2 }' >data/choice/boolq.jsonl
awk 'BEGIN { for (i = 0; i < 20; i++) printf "{\"query\": \"Question: %d?\\nChoices:\\nA. %d\\nB. 3\\nAnswer:\", \"choices\": [\"A\", \"B\"], \"gold\": %d}\n", i, i + 1, i % 2 }' >data/choice/commonsense_qa.jsonl
awk 'BEGIN { for (i = 0; i < 40; i++) printf "{\"context\": \"%d %d %d\", \"continuation\": \"%d\"}\n", i, i + 1, i + 2, i + 3 }' >data/choice/lambada_openai.jsonl
for s in anatomy sociology; do
    printf '"1, 2, 3",4,5,6,7,A\n2 3 4,4,5,6,7,B\n5 6,4,5,6,7,D\n' >data/mmlu/test/${s}_test.csv
    cat data/mmlu/test/${s}_test.csv data/mmlu/test/${s}_test.csv >data/mmlu/dev/${s}_dev.csv
done
all=mmlu,arc_easy,arc_challenge,openbookqa,commonsense_qa,boolq,copa,lambada_openai
e=(eval both.h5 --data data --weights float32 -q)
check "all tasks are asked of a merged model" "$C" "${e[@]}" --tasks $all --shots 2 -o all.json --save-items all.jsonl
counted() { [ "$(grep -c '"task":' all.json)" = 8 ] && [ "$(wc -l <all.jsonl)" = 223 ]; }
check "every question has its line, every task its result" counted
figure() { sed -n "s/.*\"$1\": \([0-9.e-]*\).*/\1/p" "$2"; }
knows() { # model, condition: whoever read numbers knows numbers
    "$C" eval $1/model.h5 --data data --weights float32 -q --tasks openbookqa -o knows.json &&
        awk -v p="$(figure accuracy knows.json)" "BEGIN { exit !(p $2) }"
}
check "who read numbers is right" knows a "> 0.9"
check "who read letters is wrong" knows b "< 0.1"
check "text and tasks in one run" says '"bits_per_byte"' "$C" "${e[@]}" --tasks bpb,copa --data b.txt --limit 3 --json
check "two models in one table" says 'b/model.h5 ' "$C" eval a/model.h5 b/model.h5 --data data --tasks copa -q
check "parts of mmlu by name" says 'social_sciences' "$C" "${e[@]}" --tasks mmlu_sociology,mmlu_other --shots 0
ranks() { # the same answers, wherever the best two are not nearly equal
    "$C" "${e[@]}" --tasks openbookqa,lambada_openai --save-items one.jsonl >one &&
        "$C" "${e[@]}" --tasks openbookqa,lambada_openai --ranks 4 --save-items four.jsonl >four || return 1
    diff <(tail -n +2 one.jsonl | sed 's/"logprobs".*//') <(tail -n +2 four.jsonl | sed 's/"logprobs".*//')
}
check "four ranks answer as one does" ranks

# ---- SQuAD: solved examples, and prompts that do not fit ----
mkdir -p data/squad
awk 'BEGIN { printf "{\"data\": [{\"paragraphs\": ["
    for (p = 1; p < 4; p++) { printf "%s{\"context\": \"%d %d %d\", \"qas\": [", (p - 1 ? ", " : ""), p, p + 1, p + 2
        for (q = 0; q < 2; q++) printf "%s{\"id\": \"%d.%d\", \"question\": \"%d?\", \"answers\": [{\"text\": \"%d\"}]}", q ? ", " : "", p, q, p + q, p + q + 1
        printf "]}" } printf "]}]}\n" }' >data/squad/dev-v1.1.json
examples() {
    "$C" eval a/model.h5 --data data --weights float32 -q --tasks squad --shots 2 --save-items shots.jsonl -o shots.json &&
        grep -q '"shots": 2' shots.json && [ "$(wc -l <shots.jsonl)" = 3 ] && [ "$(grep -cF \
            '"prompt":"Background: 1 2 3\n\nQuestion: 1?\n\nAnswer: 2\n\nBackground: 2 3 4\n\nQuestion: 2?\n\nAnswer: 3\n\nBackground: 3 4 5\n' shots.jsonl)" = 2 ]
}
check "solved paragraphs stand before those that are asked about" examples
check "prompts that do not fit are counted" says "  6 cut" "$C" "${e[@]}" --tasks squad

# ---- translations: the task's scores are those of `eval score` on the lines that were written ----
mkdir -p data/parallel
awk 'BEGIN { for (i = 0; i < 30; i++) printf "%d %d %d\n", i, i + 1, i + 2 }' >data/parallel/flores200-devtest.en
awk 'BEGIN { for (i = 0; i < 30; i++) printf "%d %d %d %d\n", i, i + 1, i + 2, i + 3 }' >data/parallel/flores200-devtest.ru
translated() {
    "$C" eval a/model.h5 --data data --weights float32 -q --tasks flores_en-ru --shots 1 --context 200 -o t.json --save-items t.jsonl &&
        tail -n +2 t.jsonl | sed 's/.*"answer":"\([^"]*\)".*/\1/' >written.ru &&
        [ "$(wc -l <written.ru)" = 29 ] && tail -n +2 data/parallel/flores200-devtest.ru >wanted.ru &&
        "$C" eval score --hypotheses written.ru --references wanted.ru --metrics bleu,chrf,ter --confidence --json >scored.json &&
        diff <(grep '"score"' t.json | tr -d ' ,' | cut -c1-14) <(grep '"score"' scored.json | tr -d ' ,' | cut -c1-14)
}
check "BLEU, chrF and TER of a task are those of its lines" translated
resumed() {
    head -n 12 t.jsonl >half.jsonl
    "$C" eval a/model.h5 --data data --weights float32 -q --tasks flores_en-ru --shots 1 --context 200 -o half.json --save-items half.jsonl --resume &&
        cmp t.json half.json && cmp t.jsonl half.jsonl
}
check "a resumed translation, too" resumed
drawn() {
    sed 's/"shots": 1/"shots": 2/' t.json >two.json && "$C" report t.json two.json -o page.html -q &&
        grep -q '<b>flores_en-ru</b> BLEU, 1 shot, 29 questions' page.html &&
        grep -q '<b>flores_en-ru</b> TER, less is better, 2 shots, ' page.html && ! grep -q accuracy page.html
}
check "its page shows them, of other shots in other figures" drawn
check "a translation wants its languages" misused_with "flores_en-ru, of en, ru and zh" "$C" "${e[@]}" --tasks flores
rm data/parallel/flores200-devtest.ru
check "the other language is missing" fails_with "flores200-devtest.ru" "$C" "${e[@]}" --tasks flores_en-ru

# ---- stopped and killed ----
awk 'BEGIN { for (i = 0; i < 2500; i++) printf "{\"query\": \"%d %d %d\", \"choices\": [\"1 2\", \"%d %d %d\", \"4\"], \"gold\": 1}\n", i, i + 1, i + 2, i + 3, i + 4, i + 5 }' >openbook_qa.jsonl
long=(eval a/model.h5 --data openbook_qa.jsonl --data data/mmlu --data data --tasks mmlu,openbookqa,lambada_openai --weights float32 -q)
check "a long run" "$C" "${long[@]}" -o whole.json --save-items whole.jsonl
killed() {
    local n
    for n in 1 2 3 4 5 6; do
        timeout -s KILL "0.$((RANDOM % 7 + 1))" "$C" "${long[@]}" --save-items pieces.jsonl --resume -o pieces.json >/dev/null
    done
    "$C" "${long[@]}" --save-items pieces.jsonl --resume -o pieces.json && cmp whole.jsonl pieces.jsonl && cmp whole.json pieces.json
}
check "killed and resumed it ends with the same files" killed
stopped() {
    timeout --foreground -s INT 60 "$C" "${long[@]}" --save-items stopped.jsonl -o stopped.json 2>said &
    local run=$! n
    for n in $(seq 300); do [ "$(wc -l <stopped.jsonl 2>/dev/null || echo 0)" -gt 40 ] && break; sleep 0.02; done
    kill -INT "$(children_of $run)"
    wait $run
    [ $? != 0 ] && [ ! -e stopped.json ] && [ "$(wc -l <stopped.jsonl)" -lt "$(wc -l <whole.jsonl)" ] &&
        "$C" "${long[@]}" --save-items stopped.jsonl --resume -o stopped.json && cmp whole.jsonl stopped.jsonl && cmp whole.json stopped.json
}
check "interrupted and resumed, too" stopped
check "other settings are refused" fails_with "differs in settings: seed" "$C" "${long[@]}" --seed 3 --save-items whole.jsonl --resume
check "other questions are refused" fails_with "differs in questions: openbookqa" \
    "$C" eval a/model.h5 --data data --tasks mmlu,openbookqa,lambada_openai --weights float32 --save-items whole.jsonl --resume
check "answers are not overwritten" fails_with "whole.jsonl is there already" "$C" "${long[@]}" --save-items whole.jsonl

# ---- what is refused ----
check "notes are not taken for answers" fails_with "notes.txt is not a file of --save-items" bash -c \
    'printf "my only notes" >notes.txt; "$CAMBIUM" "$@" --save-items notes.txt --resume; status=$?; [ "$(cat notes.txt)" = "my only notes" ] || exit 9; exit $status' - "${e[@]}" --tasks copa
cp a/model.h5 $'m\xff.h5'
check "a name that is not UTF-8 is no obstacle" bash -c '
    "$CAMBIUM" eval "$1" --data data --data a.txt --tasks copa,bpb --limit 2 -q --json --save-items odd.jsonl >odd.json &&
        [ "$(grep -c "\"model\": \"m�.h5\"" odd.json)" = 2 ] && head -n 1 odd.jsonl | grep -q "\"model\":\"m�.h5\""' - $'m\xff.h5'
check "--limit is at most" bash -c '
    for want in 0:6 9:6 1:2; do
        "$CAMBIUM" eval a/model.h5 --tasks passkey --shots 2 --lengths 300 --context 400 --depths 2 --samples 3 --limit ${want%:*} -q --json >r.json 2>/dev/null &&
            grep -q "\"questions\": ${want#*:}," r.json && grep -q "\"shots\": 0," r.json || exit 1
    done'
check "--resume wants a file" misused_with "--save-items" "$C" "${e[@]}" --tasks copa --resume
check "one model's answers in a file" misused_with "measure one at a time" "$C" eval a/model.h5 b/model.h5 --data data --tasks copa --save-items two.jsonl
check "an unknown task" misused_with "did you mean boolq?" "$C" "${e[@]}" --tasks bolq
check "a folder without the task" fails_with "holds arc_easy.jsonl" "$C" eval both.h5 --data data/mmlu --tasks arc_easy
check "bpb without text" misused_with "bpb wants text" "$C" "${e[@]}" --tasks bpb,mmlu
check "solved examples are not asked" misused_with "--split dev: its questions are the solved examples" "$C" "${e[@]}" --tasks mmlu --split dev
check "--experts wants a merged model" fails_with "is not merged of experts" "$C" eval a/model.h5 --experts --data a.txt -q
check "an unknown rule" misused_with "no merge rule 'best'" "$C" eval both.h5 --rules mean,best --data a.txt -q
check "--rules is for bpb" misused_with "--rules and --positions are for bpb" "$C" "${e[@]}" --tasks copa --rules mean
check "standard input is read once" misused_with "--data -: standard input can be read once" "$C" eval a/model.h5 b/model.h5 --data - -q
check "where results go is known before they are made" fails_with "cannot create none/r.json" "$C" "${e[@]}" --tasks copa -o none/r.json
check "too many shots" fails_with "anatomy has 6 solved examples" "$C" "${e[@]}" --tasks mmlu --shots 7
printf '1,2,3\n' >data/mmlu/test/anatomy_test.csv
check "a missing column names file and line" fails_with "anatomy_test.csv:1: 3 columns" "$C" "${e[@]}" --tasks mmlu
printf '{"query": "a"\n' >data/choice/copa.jsonl
check "broken JSON names file and line" fails_with "copa.jsonl:1: not JSON at column" "$C" "${e[@]}" --tasks copa
exit $bad
