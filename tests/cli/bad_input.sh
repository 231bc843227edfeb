#!/usr/bin/env bash
# Every reader against files that are missing, empty, of another kind, cut, or with bits flipped: one
# line that names the file, exit status 1 or 2, no crash, no hang, nothing left behind.
#   TEST_SEED=N repeats the damage of an earlier run; DAMAGES=N cuts and flips of each file
set -u
. tests/support/flow.sh
seed=${TEST_SEED:-$RANDOM} damages=${DAMAGES:-2}
echo "# TEST_SEED=$seed"
RANDOM=$seed
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cp -r tests/golden/hf_llama "$folder/hf"
cp tests/golden/gguf_tiny/model.gguf "$folder/tiny.gguf"
cd "$folder" || exit 1

# ---- good files ----------------------------------------------------------------------------------
for i in $(seq 40); do
    for _ in $(seq 15); do echo "Кот $i сидел на ковре, the cat $((i * 7)) sat. 第 $i 只猫。"; done
    printf '\f'
done >text.txt
gzip -k text.txt && xz -k text.txt
tr '\n' ' ' <text.txt | tr '\f' '\n' | sed 's/.*/{"text": "&"}/' >text.jsonl
cat >plan.yaml <<'END'
stages:
  - {blocks: 1, train: [newest, head], tokens: 1K, lr: 1e-3}
  - {blocks: 0, train: [lora, head], lora: {rank: 2, alpha: 4}, tokens: 1K, schedule: linear}
END
cat >options.yaml <<'END'
plan: plan.yaml
table: table.h5
data: [text.pack]
heads: 2
batch: 4
END
echo "[{'lang': 'ru', 'ngrams': {'по': 10, 'про': 7}}]" >ngrams.txt
font=$(fc-list -f '%{file}\n' 2>/dev/null | grep -m 1 '\.[ot]tf$')
[ -n "$font" ] || font=$(ls /usr/share/fonts/*/*/*.[ot]tf | head -n 1)
cp "$font" font.otf
run="--heads 2 --batch 4 --context 32 --dtype float32 --save-every 3 -t table.h5 -q"
good() { "$CAMBIUM" "$@" >/dev/null 2>log || { sed 's/^/# /' log; false; }; }
make_files() {
    good embed --corpus text.txt --vocab-size 400 --dim 32 -o table.h5 &&
        good pack -t table.h5 text.txt --validation 0.1 -o text.pack || return 1
    for s in 1 2; do
        # shellcheck disable=SC2086
        good grow --stages 1 --tokens 1K --data text.pack -o run$s --seed $s $run || return 1
    done
    # Asked to stop, a run leaves a checkpoint in the middle of a stage.
    # shellcheck disable=SC2086
    "$CAMBIUM" grow --stages 1 --tokens 100M --data text.pack -o half $run >/dev/null 2>&1 &
    until [ -e half/model.h5 ]; do kill -0 $! || return 1; sleep 0.01; done
    kill -INT $! && wait $!
    good embed table.h5 --preview picture.png
}
check "files to damage are made" make_files

# ---- readers -------------------------------------------------------------------------------------
# verdict file arguments, where @ is the file's place and % an output. The verdicts on damage:
# 'sealed': every damage is found; 'used': every damage is found or lies where this verb does not read (the
# pictures of a table), so that its output is that of the good file; 'cuts': every cut is found; 'any': what is
# left may be valid.
readers() {
    cat <<END
any     table.h5        tokenize @
used    table.h5        embed @ --json
any     table.h5        embed --tokenizer @ --dim 16 -o %
sealed  table.h5        grow --stages 1 --tokens 1K --data text.pack -o run3 ${run/table.h5/@}
any     table.h5        pack -t @ text.txt -o %
any     table.h5        export @ --format npy -o %
used    run1/model.h5   infer @ -p Кот -n 2 --temperature 0
used    run1/model.h5   eval @ --data text.txt --limit 1
sealed  run1/model.h5   merge @ run2/model.h5 -o %
sealed  run1/model.h5   export @ -o %
sealed  run1/model.h5   diff @ run2/model.h5
sealed  run1/model.h5   train --init @ --steps 1 --data text.pack -o run3 --batch 4 -q
any     run1/model.h5   inspect @
any     hf/model-00001-of-00003.safetensors diff @ hf/model-00001-of-00003.safetensors
sealed  half/model.h5   grow --stages 1 --tokens 100M --data text.pack -o @/.. --resume $run
sealed  text.pack       grow --stages 1 --tokens 1K --data @ -o run3 $run
any     hf/tokenizer.json                   tokenize @
any     hf/tokenizer.json                   import @/.. -o %
any     hf/config.json                      import @/.. -o %
cuts    hf/model-00001-of-00003.safetensors import @/.. -o %
cuts    hf/model-00001-of-00003.safetensors inspect @
cuts    tiny.gguf       import @ -o %
cuts    tiny.gguf       inspect @
cuts    hf/logits.npy   inspect @
any     plan.yaml       grow --plan @ --data text.pack -o run3 --dry-run $run
any     options.yaml    grow --config @ --dry-run
any     text.txt        pack -t table.h5 @ -o %
any     text.txt        embed --corpus @ --vocab-size 300 --dim 16 -o %
any     text.txt        eval run1/model.h5 --data @ --limit 1
any     text.txt        merge run1/model.h5 run2/model.h5 --rule weighted --tune-weights @ --tune-tokens 128 -o %
cuts    text.txt.gz     pack -t table.h5 @ -o %
cuts    text.txt.xz     pack -t table.h5 @ -o %
any     text.jsonl      pack -t table.h5 @ -o %
any     text.jsonl      eval run1/model.h5 --data @ --limit 1
any     font.otf        embed --corpus text.txt --vocab-size 300 --dim 16 --font @ -o %
any     ngrams.txt      embed --ngrams @ --vocab-size 300 --dim 16 --code-points corpus -o %
any     run1/metrics.jsonl report @/.. -o %
END
    local stories=$TEST_DATA/stories260k
    if [ -d "$stories" ]; then
        cp "$stories/stories260K.bin" stories.bin && cp "$stories/tok512.bin" words.bin
        echo "cuts stories.bin import @ --tokenizer words.bin -o %"
        echo "cuts words.bin   import stories.bin --tokenizer @ -o %"
    fi
}

# ---- damage --------------------------------------------------------------------------------------
below() { echo $(((RANDOM * 32768 + RANDOM) % $1)); }
flip_bit() { # file
    local at byte
    at=$(below "$(stat -c %s "$1")")
    byte=$(od -An -tu1 -j "$at" -N 1 "$1")
    # shellcheck disable=SC2059
    printf "$(printf '\\x%02x' $((byte ^ 1 << RANDOM % 8)))" |
        dd of="$1" bs=1 seek="$at" conv=notrunc status=none
}
damage() { # kind, file: there is a good one
    case $1 in
    missing) rm "$2" ;;
    empty) : >"$2" ;;
    picture) cp picture.png "$2" ;;
    words) echo 'hello' >"$2" ;;
    folder) rm "$2" && mkdir "$2" ;;
    null) ln -sf /dev/null "$2" ;;
    zeros) : >"$2" && truncate -s 3G "$2" ;;
    cut*) truncate -s "$(below "$(stat -c %s "$2")")" "$2" ;;
    flip*) flip_bit "$2" ;;
    esac
}
# What some readers rightly take: a text of one word, options that are left out.
allowed() { # kind, file
    case $1:$2 in
    words:text.txt* | words:ngrams.txt | empty:options.yaml | null:options.yaml) true ;;
    *) false ;;
    esac
}
# A failure must be one line that names the file. Options may lack something that is then named
# instead; and a folder may lack a file that nothing else names.
told_well() { # status, name of the file
    local errors
    errors=$(grep -c ': error: ' said)
    [ "$1" = 1 ] || [ "$1" = 2 ] || return 1
    [ "$errors" = 1 ] && [ "$(grep -vc '^cambium: warning: ' said)" = 1 ] || return 1
    case $2 in
    options.yaml) return 0 ;;
    *.safetensors) grep -qF -- bad/hf said ;;
    *) grep -qF -- "$2" said ;;
    esac
}
unmoved() { # what stands in two places, and how long it took, may differ
    sed -E "s,(bad/)?(table|run1/model)[.]h5,FILE,g; s,\"seconds[a-z_]*\": *[0-9.e-]+,,g"
}
hashes_found=0
survives() { # verdict, kind, file, arguments...
    local verdict=$1 kind=$2 file=$3 top=${3%%/*} status
    shift 3
    rm -rf bad out run3 && mkdir bad && cp -r "$top" "bad/$top" && damage "$kind" "bad/$file"
    local arguments=("$@")
    arguments=("${arguments[@]//%/out}")
    arguments=("${arguments[@]//@\/../bad/$top}")
    timeout 60 "$CAMBIUM" "${arguments[@]//@/bad/$file}" >printed 2>said </dev/null
    status=$?
    grep -q 'do not agree with their hash' said && hashes_found=$((hashes_found + 1))
    if [ $status = 0 ]; then
        case $kind:$verdict in
        cut*:any | flip*:any | flip*:cuts) return 0 ;;
        flip*:used) [ "$(unmoved <printed)" = "$expected" ] && return 0 ;;
        cut* | flip*) ;;
        *) allowed "$kind" "$file" && return 0 ;;
        esac
    elif told_well $status "$(basename "$file")" && ! compgen -G 'out*.tmp' && [ ! -e out ]; then
        return 0
    fi
    echo "# $kind: status $status: ${arguments[*]}: $(head -c 2000 said)"
    return 1
}
all_survived() { # verdict, file, arguments...
    local verdict=$1 file=$2 kind fine=0 kinds="missing empty picture words folder null zeros"
    shift 2
    expected=
    [ "$verdict" != used ] || expected=$("$CAMBIUM" "${@//@/$file}" 2>/dev/null </dev/null | unmoved)
    [ "$file" != half/model.h5 ] || kinds=${kinds#missing } # a run that has not saved yet may begin
    for i in $(seq "$damages"); do kinds="$kinds cut$i flip$i"; done
    for kind in $kinds; do survives "$verdict" "$kind" "$file" "$@" || fine=1; done
    return $fine
}
while read -r verdict file arguments; do
    # shellcheck disable=SC2086
    check "$arguments" all_survived "$verdict" "$file" $arguments
done < <(readers)
check "flipped bits of weights were found by their hashes" [ $hashes_found -ge 3 ]
exit $bad
