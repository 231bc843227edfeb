#!/usr/bin/env bash
# What is frozen is saved, whatever trains, wherever the model came from and in whatever type: through
# the first save, a second stage, and a kill in the middle.
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
. tests/support/flow.sh
cd "$folder" || exit 1
C=$CAMBIUM

awk 'BEGIN { for (d = 0; d < 60; d++) { for (i = 0; i < 120; i++) printf "%d ", (d * 7 + i) % 97; printf "\f" } }' >a.txt
"$C" embed --corpus a.txt --vocab-size 300 --dim 32 -o t.h5 -q >/dev/null
"$C" pack -t t.h5 a.txt --validation 0.1 -o a.pack -q >/dev/null
shape=(-t t.h5 --heads 2 --context 32)
llama=(--embedding learned --d-model 64 --norm rms --act swiglu --no-bias)
run=(--batch 4 --save-every 2 --log-every 1 -q)
check "a model of the Llama family" "$C" train "${shape[@]}" "${llama[@]}" --layers 2 "${run[@]}" --data a.pack --steps 3 -o own
for type in bfloat16 float16 float32; do
    check "goes out in $type and comes back" \
        bash -c "'$C' export own/model.h5 --dtype $type -o hf-$type -q && '$C' import hf-$type -o $type.h5 -q"
    rm -rf hf-$type
done
cp own/model.h5 own.h5
tiny=$OLDPWD/tests/golden/gguf_tiny/model.gguf
check "a GGUF file in blocks of 8-bit numbers" bash -c "'$C' import '$tiny' -o tiny.h5 &&
    '$C' export tiny.h5 --format gguf --dtype q8_0 -o q8.gguf -q && '$C' import q8.gguf -o q8_0.h5 -q"
"$C" pack -t q8_0.h5 a.txt --validation 0.1 -o q8_0.pack -q >/dev/null

whole_stages() { # origin options..., of a run in folder w
    "$C" grow "$@" "${stages[@]}" -o w >/dev/null && "$C" inspect w/model.h5 --verify | grep -q 'all hashes agree' ||
        { echo "# whole: $*"; return 1; }
}
killed_stages() { # the same, killed once it has saved, and resumed
    local child tries=0
    "$C" grow "$@" "${stages[@]}" -o k >/dev/null &
    child=$!
    while [ ! -e k/model.h5 ] && kill -0 $child 2>/dev/null; do :; done
    kill -KILL $child 2>/dev/null && caught=$((caught + 1))
    wait $child 2>/dev/null
    "$C" grow "$@" "${stages[@]}" -o k --resume >/dev/null && cmp w/model.h5 k/model.h5
}
survives() { # type of products, what trains, origin options...
    local dtype=$1 trains=$2
    shift 2
    stages=(--plan plan.yaml "${run[@]}" --dtype "$dtype")
    printf 'stages:\n  - {blocks: 1, tokens: 1K, start: identity, train: [%s]}\n  - {blocks: 1, tokens: 512, train: [%s]}\n' \
        "$trains" "$trains" >plan.yaml
    rm -rf w k
    whole_stages "$@" && killed_stages "$@"
}
caught=0
cases=0
for dtype in bfloat16 float32; do
    for trains in head newest lora lora,head embedding all; do
        for origin in new learned own bfloat16 float16 float32 q8_0; do
            case $origin,$trains in
            new,embedding) continue ;; # a frozen table
            new,*) from=("${shape[@]}") ;;
            learned,*) from=("${shape[@]}" "${llama[@]}") ;;
            *) from=(--init $origin.h5) ;;
            esac
            if [ $origin = q8_0 ]; then from+=(--data q8_0.pack); else from+=(--data a.pack); fi
            # In float32 nothing is released: a corner of the matrix is enough.
            [ $dtype = bfloat16 ] || [ $origin = bfloat16 ] || [ $origin,$trains = new,head ] || continue
            cases=$((cases + 1))
            check "$dtype: $trains of a model ($origin)" survives $dtype $trains "${from[@]}"
        done
    done
done
echo "# killed in the middle: $caught of $cases"
check "many runs were killed in the middle" [ $caught -ge $((cases / 3)) ]

# ---- a frozen tensor keeps the type that its file has ----
stored() { # file, tensor: type, shape, bytes and hash
    "$C" inspect "$1" | awk -v name="$2" '$1 == name { print $1, $2, $3, $4, $5, $6, $7 }'
}
keeps_type() {
    rm -rf w
    "$C" grow --init bfloat16.h5 --stages 1 --train newest --start identity "${run[@]}" --data a.pack --tokens 512 --dtype "$1" -o w || return 1
    for name in /embedding /experts/0/blocks/0/attn_q /experts/0/blocks/1/ffn_down /experts/0/head; do
        [ "$(stored w/model.h5 $name)" = "$(stored bfloat16.h5 $name)" ] || { stored w/model.h5 $name; return 1; }
    done
    stored w/model.h5 /experts/0/blocks/2/attn_q | grep -q float32
}
for dtype in bfloat16 float32; do check "stored as bfloat16 it stays so ($dtype)" keeps_type $dtype; done
check "nothing else is left in the folder" [ "$(ls w | tr '\n' ' ')" = "metrics.jsonl model.h5 trainer.h5 " ]
exit $bad
