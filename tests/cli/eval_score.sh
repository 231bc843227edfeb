#!/usr/bin/env bash
# `cambium eval score` and `cambium eval compare`: scores, intervals, comparisons and clear errors.
set -u
. tests/support/flow.sh
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
score() { "$CAMBIUM" eval score "$@"; }

# The texts of the golden scores: corpus 3 has one reference.
awk 'NR == 4' tests/golden/mt_scores.jsonl >"$dir/golden.jsonl"
printf 'the oak grows\na ring each year\nthe bark of the old oak is rough\n' >"$dir/ref"
printf 'the oak grows\na ring per year\nthe bark of an old oak is rough\n' >"$dir/good"
printf 'oaks\nyear ring\nrough is it\n' >"$dir/poor"
printf 'The oak grows\nA ring each year\nThe bark of the old oak is rough\n' >"$dir/capitals"

check "equal texts score 100, and no edits" bash -c '
    "$CAMBIUM" eval score --hypotheses "$0/ref" --references "$0/ref" --json | tr -d " \n" >"$0/said"
    [ $(grep -o "\"score\":100.0" "$0/said" | wc -l) = 3 ] && grep -q "\"score\":0.0" "$0/said"' "$dir"
check "scores carry sacrebleu's signatures" says "BLEU|nrefs:2|case:lc|eff:no|tok:intl|smooth:add-k[0.50]|version:2.6.0" \
    score --hypotheses "$dir/good" --references "$dir/ref,$dir/good" --tokenize intl --lowercase --smooth add-k --smooth-value 0.5
check "floor has its usual value" says "smooth:floor[0.10]" score --hypotheses "$dir/good" --references "$dir/ref" --smooth floor
check "only the metrics that are asked for" [ "$(score --hypotheses "$dir/good" --references "$dir/ref" --metrics chrf,ter | grep -c '|version')" = 2 ]
check "a second reference that is the hypothesis makes it perfect" says "100.00" \
    score --hypotheses "$dir/good" --references "$dir/ref,$dir/good" --metrics bleu
printf '一棵树\n年轮\n树皮很老\n' >"$dir/zh"
check "Chinese wants its tokenizer" says "use --tokenize zh" score --hypotheses "$dir/good" --references "$dir/zh" --metrics bleu
check "and gets no advice with it" bash -c '! "$CAMBIUM" eval score --hypotheses "$0/good" --references "$0/zh" --tokenize zh 2>&1 | grep use' "$dir"
check "letter case counts" [ "$(score --hypotheses "$dir/capitals" --references "$dir/ref" --metrics chrf --json | grep -c '"score": 100.0')" = 0 ]
check "unless told not to" [ "$(score --hypotheses "$dir/capitals" --references "$dir/ref" --metrics chrf --json --lowercase | grep -c '"score": 100.0')" = 1 ]
check "standard input will do" cmp -s <(score --hypotheses - --references "$dir/ref" <"$dir/good") \
    <(score --hypotheses "$dir/good" --references "$dir/ref")
check "ends of lines may be Windows'" cmp -s <(sed 's/$/\r/' "$dir/good" | score --hypotheses - --references "$dir/ref") \
    <(score --hypotheses "$dir/good" --references "$dir/ref")
check "each line has its scores" [ "$(score --hypotheses "$dir/good" --references "$dir/ref" --sentences | wc -l)" = 4 ]
check "and a short line that is right has 100" [ "$(score --hypotheses "$dir/good" --references "$dir/ref" --sentences --metrics bleu | sed -n 2p)" = 100.0000 ]
# The files of the golden corpus, whose line has no escapes, and its score.
parts='^{"hyp": \["\(.*\)"\], "refs": \[\["\(.*\)"\]\], "scores": .*"BLEU|nrefs:1|case:mixed|eff:no|tok:zh|smooth:add-k[^"]*": \[\([0-9.]*\),.*$'
sed -n "s/$parts/\1/p" "$dir/golden.jsonl" | sed 's/", "/\n/g' >"$dir/hyp"
sed -n "s/$parts/\2/p" "$dir/golden.jsonl" | sed 's/", "/\n/g' >"$dir/r0"
want=$(printf '%.2f' "$(sed -n "s/$parts/\3/p" "$dir/golden.jsonl")")
check "the command gives the golden score" [ "$(score --hypotheses "$dir/hyp" --references "$dir/r0" --metrics bleu --tokenize zh \
    --smooth add-k --smooth-value 0.5 | awk '$1 == "BLEU" { print $2 }')" = "$want" ]

for i in $(seq 60); do echo "the oak number $i grows a ring each year"; done >"$dir/many"
sed -n '1~3s/ring/leaf/;p' "$dir/many" >"$dir/a"
sed 's/oak number/tree/;s/each year/now/' "$dir/many" >"$dir/b"
check "intervals contain the score" bash -c '
    "$CAMBIUM" eval score --hypotheses "$0/a" --references "$0/many" --metrics bleu,ter --confidence |
        tr -d "[]," | awk "/^(BLEU|TER) / { n++; if (\$3 > \$2 || \$4 < \$2 || \$3 == \$4) exit 1 } END { exit n != 2 }"' "$dir"
check "the same seed gives the same intervals with any number of threads" cmp -s \
    <(score --hypotheses "$dir/a" --references "$dir/many" --confidence --threads 1) \
    <(score --hypotheses "$dir/a" --references "$dir/many" --confidence --threads 4)
p_of() { score --hypotheses "$dir/$1" --hypotheses "$dir/$2" --references "$dir/many" --metrics bleu | awk '$1 == "BLEU" { print $NF }'; }
check "a clear difference is seen" [ "$(p_of a b)" = 0.0010 ]
check "and none between equals" [ "$(p_of a a)" = 1.0000 ]

check "files of different length are named" fails_with "$dir/many has 60 lines" score --hypotheses "$dir/good" --references "$dir/many"
check "an absent file is named" fails_with none score --hypotheses "$dir/none" --references "$dir/ref"
check "an empty file is refused" fails_with "is empty" score --hypotheses /dev/null --references "$dir/ref"
printf 'a\nb\xff\nc\n' >"$dir/bytes"
check "bytes that are no text are named" fails_with "line 2 is not UTF-8" score --hypotheses "$dir/bytes" --references "$dir/ref"
head -c 300000 /dev/zero | tr '\0' a >"$dir/long"
check "a line without end is refused" fails_with "line 1 has more than" score --hypotheses "$dir/long" --references "$dir/long"
check "an unknown metric is refused" misused_with "chrf++" score --hypotheses "$dir/good" --references "$dir/ref" --metrics rouge
check "files must be named" misused_with "--references FILE" score --hypotheses "$dir/good"
check "three systems are too many" misused_with "two files" score --hypotheses a --hypotheses b --hypotheses c --references d
check "an empty list is refused" misused_with "want something" score --hypotheses "$dir/good" --references ,
check "the verb explains itself" says "Usage: cambium eval score" "$CAMBIUM" eval score --help
check "and so does eval" says "cambium eval compare" "$CAMBIUM" eval --help

# Items: 200 questions of two tasks; b is right wherever a is, and in 30 more of the first task.
items() { # model, questions of arc that are right, of squad
    echo '{"format": "cambium-items", "version": 1, "model": "'"$1"'", "tasks": ["arc", "squad"]}'
    for i in $(seq 100); do
        echo '{"task": "arc", "id": "q'"$i"'", "group": null, "correct": '$((i <= $2))', "score": '$((i <= $2))'}'
        echo '{"task": "squad", "id": "q'"$i"'", "group": "x", "score": 0.'$(((i * 37) % 90 + $3))'}'
    done
}
items small 40 0 >"$dir/a.items"
items grown 70 5 >"$dir/b.items"
compare() { "$CAMBIUM" eval compare "$@"; }
compare "$dir/a.items" "$dir/b.items" >"$dir/table"
check "both models are named" grep -qF "B = $dir/b.items (grown)" "$dir/table"
check "each task has its row" grep -qE '^arc +100 +40\.00 \+- 4\.92 +70\.00 \+- 4\.61 +\+30\.00 ' "$dir/table"
check "and all questions have one" grep -qE '^all questions +200 ' "$dir/table"
check "McNemar counts what one alone got right" grep -qE '^arc .* 0 +30 +1\.9e-09$' "$dir/table"
check "which a task without right and wrong has not" grep -qE '^squad .* - +- +-$' "$dir/table"
check "order of lines does not matter" cmp -s <(tail -n +4 "$dir/table") \
    <({ head -n 1 "$dir/b.items"; tail -n +2 "$dir/b.items" | tac; } >"$dir/b2.items"; compare "$dir/a.items" "$dir/b2.items" | tail -n +4)
check "a model is as good as itself" bash -c '
    "$CAMBIUM" eval compare "$0/a.items" "$0/a.items" --json | tr -d " \n" | grep -q "\"difference\":0.0,\"interval\":\[0.0,0.0\],\"p\":1.0"' "$dir"
head -n 101 "$dir/b.items" >"$dir/half.items"
check "questions of one file alone are said" says "100 questions are in $dir/a.items alone" compare "$dir/a.items" "$dir/half.items"
sed 's/"q/"z/' "$dir/b.items" >"$dir/other.items"
check "files without a common question are both named" fails_with "$dir/a.items and $dir/other.items have no question" compare "$dir/a.items" "$dir/other.items"
check "a file that is no items file is refused" fails_with "is not the beginning of an items file" compare "$dir/a.items" "$dir/golden.jsonl"
refused() { # part of the error, a sed command that breaks the file
    sed "$2" "$dir/a.items" >"$dir/broken.items"
    fails_with "$1" compare "$dir/broken.items" "$dir/b.items"
}
check "broken JSON has its line" refused "line 5 is not JSON" '5s/}//'
check "a score out of range has its line" refused "line 3: the score 7 is not between" '3s/"score": 0\.[0-9]*/"score": 7/'
check "a missing id has its line" refused "line 2" '2s/"id"/"name"/'
check "a judgement that is none has its line" refused "line 2: 'correct' is 0 or 1" '2s/"correct": 1/"correct": 3/'
check "a question twice has both lines" refused "lines 2 and 4 are both arc q1" '4s/q2/q1/'
check "a later version is refused" refused "version 2 is newer" '1s/1,/2,/'
check "a file without questions is refused" refused "has no questions" '2,$d'
# MMLU's items have subjects and categories; one subject has a single question.
subjects() { # model, whether the first question of each subject is right
    echo '{"format": "cambium-items", "version": 1, "model": "'"$1"'", "tasks": ["mmlu"]}'
    for i in 1 2 3 4; do
        for s in anatomy:other virology:other sociology:social_sciences; do
            echo '{"task": "mmlu", "id": "'${s%:*}/$i'", "group": "'${s%:*}'", "category": "'${s#*:}'", "correct": '$((i > 1 || $2))', "score": '$((i > 1 || $2))'}'
        done
    done
    echo '{"task": "mmlu", "id": "home_made/1", "group": "home_made", "correct": '$2', "score": '$2'}'
}
subjects small 0 >"$dir/a.mmlu"
subjects grown 1 >"$dir/b.mmlu"
compare "$dir/a.mmlu" "$dir/b.mmlu" | tail -n +4 >"$dir/table"
check "categories have rows" diff <(awk '{ print $1, $2, $3 }' "$dir/table") <(printf '%s\n' "mmlu 13 69.23" "other 8 75.00" "social_sciences 4 75.00")
check "an error is the sample's: sqrt(.75 * .25 / 7)" grep -qE '^  other +8 +75\.00 \+- 16\.37 ' "$dir/table"
compare "$dir/a.mmlu" "$dir/b.mmlu" --groups | tail -n +4 >"$dir/table"
check "and so have subjects on demand" diff <(awk '{ print $1, $2, $3 }' "$dir/table") <(printf '%s\n' "mmlu 13 69.23" "other 8 75.00" \
    "anatomy 4 75.00" "virology 4 75.00" "home_made 1 0.00" "social_sciences 4 75.00" "sociology 4 75.00")
check "one question has no error, interval and p" grep -qE '^  home_made +1 +0\.00 +100\.00 +\+100\.00 +- +- +0 +1 +1$' "$dir/table"
check "nor in JSON" bash -c '
    "$CAMBIUM" eval compare "$0/a.mmlu" "$0/b.mmlu" --groups --json | tr -d " \n" |
        grep -q "\"group\":\"home_made\",\"n\":1,\"means\":\[0.0,1.0\],\"standard_errors\":\[null,null\],\"difference\":1.0,\"interval\":\[null,null\],\"p\":null,"' "$dir"
sed '3s/"group": "virology"/"group": 3/' "$dir/a.mmlu" >"$dir/broken.items"
check "a group that is no text has its line" fails_with "line 3" compare "$dir/broken.items" "$dir/b.mmlu"
sed 's/"category": "[a-z_]*", //' "$dir/a.mmlu" >"$dir/old.mmlu"
check "a file without categories takes the other's" says "  social_sciences " compare "$dir/old.mmlu" "$dir/b.mmlu"
# Two questions that just one model answers say little, however often they are drawn.
some() { sed -n "1p;2p;4p" "$1" | sed "s/\"correct\": ./\"correct\": $2/;s/\"score\": ./\"score\": $2/"; }
some "$dir/a.items" 0 >"$dir/a.two" && some "$dir/b.items" 1 >"$dir/b.two"
compare "$dir/a.two" "$dir/b.two" >"$dir/table"
check "questions that are all alike have no interval" grep -qE '^arc +2 .* \+100\.00 +- +- +0 +2 +0\.5$' "$dir/table"
sed '5s/"id": "[^"]*"/&, "question": "aa"/' "$dir/a.items" >"$dir/a.hash"
sed '5s/"id": "[^"]*"/&, "question": "bb"/' "$dir/b.items" >"$dir/b.hash"
check "other questions of the same number are refused" fails_with "$dir/a.hash:5 and $dir/b.hash:5 are different questions, both squad q2" compare "$dir/a.hash" "$dir/b.hash"
check "a file that does not say goes with either" compare "$dir/a.hash" "$dir/b.items"
head -c -20 "$dir/a.items" >"$dir/cut.items"
check "what an interrupted run left is to be completed" fails_with "--resume' completes it" compare "$dir/cut.items" "$dir/b.items"
check "two files are wanted" bash -c '"$CAMBIUM" eval compare "$0/a.items" 2>/dev/null; [ $? = 2 ]' "$dir"
exit $bad
