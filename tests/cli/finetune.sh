#!/usr/bin/env bash
# Going on with a model: the length of rows and dropout are the run's, the context is the model's.
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

. tests/support/flow.sh
cp -r tests/golden/hf_llama "$folder/foreign" && sed -i 's/"max_position_embeddings": *[0-9]*/"max_position_embeddings": 4096/; s/"eos_token_id": null/"eos_token_id": 10/' "$folder/foreign/config.json"
cd "$folder" || exit 1
C=$CAMBIUM
config() { # file, member: of its configuration
    "$C" inspect --json "$1" | sed -n "s/^ *\"$2\": \([^,]*\),*$/\1/p" | head -n 1
}
tokens() { # file: of the first step
    grep '"event":"train","step":1,' "$1/metrics.jsonl" | sed 's/.*"tokens":\([0-9]*\).*/\1/'
}

awk 'BEGIN { srand(7); for (d = 0; d < 90; d++) { for (i = 0; i < 120; i++) printf "%d ", (d * 7 + i * rand()) % 97; printf "\f" } }' >a.txt
head -c 250 a.txt | tr -d '\f' >short.txt
check "embed makes a table" "$C" embed --corpus a.txt --vocab-size 500 --dim 32 -o t.h5 -q
check "pack" "$C" pack -t t.h5 a.txt --validation 0.1 -o a.pack -q
check "a small pack" "$C" pack -t t.h5 short.txt --validation 0 -o short.pack -q
few=(--batch 2 --steps 2 --log-every 1 -q)
check "a model" "$C" train -t t.h5 --heads 2 --layers 1 --context 64 --dropout 0.2 --data a.pack "${few[@]}" -o base
# As a published model comes: with a long context, and nothing that says what was read.
check "a published model" "$C" import foreign -o foreign.h5
check "packs for it" bash -c "for l in a short; do '$C' pack -t foreign.h5 \$l.txt --validation 0 -o foreign-\$l.pack -q || exit 1; done"

check "--row is the run's" "$C" train --init base/model.h5 --row 16 --data a.pack "${few[@]}" -o row
check "and counts its tokens" [ "$(tokens row)" = 32 ]
check "while the context stays" [ "$(config row/model.h5 context)" = 64 ]
check "and so does dropout" [ "$(config row/model.h5 dropout)" = 0.20000000000000001 ]
check "until it is told" "$C" train --init row/model.h5 --dropout 0 --data a.pack "${few[@]}" -o dry
check "it is told" [ "$(config dry/model.h5 dropout)" = 0.0 ]
check "rows stay as they were" [ "$(tokens dry)" = 32 ]
check "a model from elsewhere has short rows" "$C" train --init foreign.h5 --data foreign-a.pack "${few[@]}" -o tuned
check "of 512 tokens" [ "$(tokens tuned)" = 1024 ]
check "a shorter --context shortens rows" "$C" train --init foreign.h5 --context 128 --data foreign-a.pack "${few[@]}" -o shorter
check "but not the model" bash -c "[ $(tokens shorter) = 256 ] && [ $(config shorter/model.h5 context) = 4096 ]"
check "a small pack is no obstacle" "$C" train --init foreign.h5 --row 50 --data foreign-short.pack "${few[@]}" -o small
check "and an error names the remedy" fails_with "give a shorter --row" "$C" train --init foreign.h5 --data foreign-short.pack "${few[@]}" -o none0
check "a longer --context extends the model" bash -c "
    '$C' train --init base/model.h5 --context 100 --data a.pack --batch 2 --steps 2 --log-every 1 -o extended 2>said && grep -q 'the context grows from 64 to 100' said"
check "it trains it" [ "$(tokens extended)" = 200 ]
check "and the file says so" [ "$(config extended/model.h5 context)" = 100 ]
check "grow does all of that" "$C" grow --init base/model.h5 --stages 1 --start identity --context 128 --row 96 --tokens 384 --batch 2 --log-every 1 --data a.pack -q -o taller
check "as it is told" bash -c "[ $(tokens taller) = 192 ] && [ $(config taller/model.h5 context) = 128 ]"
check "a row beyond the context is refused" misused_with "--row 65 is longer than the context of 64; give --context 65 too" \
    "$C" train --init base/model.h5 --row 65 --data a.pack "${few[@]}" -o none
check "new models have rows, too" "$C" train -t t.h5 --heads 2 --layers 1 --context 64 --row 8 --data a.pack "${few[@]}" -o new
check "a context that is none" misused_with "--context is at least 1" "$C" train --init base/model.h5 --context 0 --data a.pack "${few[@]}" -o none
check "the first model may move" bash -c "
    '$C' train --init foreign.h5 --row 40 --steps 2 --batch 2 --data foreign-a.pack -q -o moved && mv foreign.h5 gone.h5 &&
    '$C' train --init foreign.h5 --row 40 --steps 2 --batch 2 --data foreign-a.pack -q -o moved --resume"

check "so may that of a growth" bash -c "
    cp base/model.h5 init.h5 && printf '%s\n' 'stages:' '  - {blocks: 1, tokens: 256}' >one.yaml && cp one.yaml two.yaml && echo '  - {blocks: 1, tokens: 256}' >>two.yaml &&
    '$C' grow --plan one.yaml --init init.h5 --batch 2 --data a.pack -q -o q && mv init.h5 elsewhere.h5 &&
    '$C' grow --plan two.yaml --init init.h5 --batch 2 --data a.pack -q -o q --resume && '$C' inspect q/model.h5 | grep -q '^ *3 layers'"

# ---- the table beside a model ----
check "another table" "$C" embed --corpus a.txt --vocab-size 500 --dim 16 -o narrow.h5 -q
check "and another tokenizer" "$C" embed --corpus a.txt --vocab-size 400 --dim 32 -o other.h5 -q
check "a table that is the model's" "$C" train --init base/model.h5 -t t.h5 --data a.pack "${few[@]}" -o with-table
check "another one is told" fails_with "narrow.h5 is not the table of base/model.h5" "$C" train --init base/model.h5 -t narrow.h5 --data a.pack "${few[@]}" -o none
check "another tokenizer is told" fails_with "other.h5 has another tokenizer than base/model.h5" "$C" train --init base/model.h5 -t other.h5 --data a.pack "${few[@]}" -o none
made_again() {
    cp narrow.h5 t.h5
    fails_with "t.h5 is not the table of two/model.h5" "$C" grow -t t.h5 --heads 2 --context 64 --stages 1+1 --tokens 128 --batch 2 --data a.pack -q -o two --resume
}
check "two stages" "$C" grow -t t.h5 --heads 2 --context 64 --stages 1+1 --tokens 128 --batch 2 --data a.pack -q -o two
check "a table made again under its name is told" made_again
exit $bad
