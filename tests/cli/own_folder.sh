#!/usr/bin/env bash
# Grown and merged models with a vocabulary of this program go out as Hugging Face folders and come
# back through import as the files that they were.
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
. tests/support/flow.sh
C=$(realpath "$CAMBIUM")
cd "$folder" || exit 1
for i in $(seq 200); do
    printf 'the tree %d grows one ring a year\f' "$i" >>en.txt
    printf 'дерево %d растёт на кольцо в год\f' "$i" >>ru.txt
done
"$C" embed --corpus en.txt --corpus ru.txt --vocab-size 400 --dim 32 -o table.h5 >/dev/null
for name in en ru; do
    "$C" pack -t table.h5 $name.txt -o $name.pack >/dev/null
    "$C" grow -t table.h5 --stages 1 --tokens 1K --d-model 64 --heads 2 --batch 4 --context 16 \
        --data $name.pack -o $name -q >/dev/null 2>&1
done
"$C" merge en/model.h5 ru/model.h5 --rule bayes -o both.h5 >/dev/null
comes_back() { # model, what may differ
    "$C" export "$1" -o out >/dev/null && "$C" import out -o back.h5 >/dev/null || return 1
    "$C" diff "$1" back.h5 >differs 2>/dev/null
    ! grep -vE "$2" differs
}
check "a merged model comes back whole" comes_back both.h5 '^$'
check "and a grown one but for its run's state" comes_back en/model.h5 '^/(loader|run) '
check "it says what it said" cmp <("$C" infer en/model.h5 -p "the tree" -n 8 --temperature 0) \
    <("$C" infer back.h5 -p "the tree" -n 8 --temperature 0)
check "it goes on growing" "$C" grow --init back.h5 --stages 1 --tokens 1K --batch 4 --data en.pack -o more -q
exit $bad
