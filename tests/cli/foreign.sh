#!/usr/bin/env bash
# Other programs' models where a model file is wanted: every verb says what they are and which command
# makes a model file of them, and that command works.
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
. tests/support/flow.sh
root=$PWD
C=$(realpath "$CAMBIUM")
cd "$folder" || exit 1
cp "$root/tests/golden/gguf_tiny/model.gguf" tiny.gguf
cp -r "$root/tests/golden/hf_llama" hf
mkdir empty run within lonely
cp tiny.gguf within
cp hf/model-00001-of-00003.safetensors lonely
"$C" import hf -o run/model.h5 >/dev/null
head -c 64 /dev/zero >zeros
{ printf 'PK\3\4'; cat zeros; } >pytorch_model.bin
{ printf '\200\2\212\n'; cat zeros; } >consolidated.00.pth
echo "the tree" >text.txt
"$C" embed --tokenizer run/model.h5 --dim 16 -o table.h5 >/dev/null

# The error of each verb that takes a model.
errors_of() {
    "$C" infer "$1" -p tree 2>&1
    "$C" eval "$1" --data text.txt 2>&1
    "$C" serve "$1" --port 0 2>&1
    "$C" plan --model "$1" 2>&1
    "$C" merge "$1" run/model.h5 -o never.h5 2>&1
    "$C" grow --init "$1" --stages 1 --tokens 1K --data never.pack -o never 2>&1
    "$C" train --init "$1" --data never.pack --steps 1 -o never 2>&1
    "$C" export "$1" -o never 2>&1
    "$C" pack -t "$1" text.txt -o never.pack 2>&1
    "$C" tokenize "$1" </dev/null 2>&1
}
all_say() { # path, text, how many of them (10)
    local said
    said=$(errors_of "$1")
    [ "$(grep -cF -- "$2" <<<"$said")" = "${3:-10}" ] && [ "$(wc -l <<<"$said")" = 10 ] && return
    echo "# $said"
    return 1
}
check "a GGUF file" all_say tiny.gguf "'cambium import tiny.gguf -o tiny.h5'"
check "a folder" all_say hf "'cambium import hf -o hf.h5'"
check "a folder with a slash" all_say hf/ "'cambium import hf/ -o hf.h5'"
check "its configuration (tokenize takes JSON for a vocabulary)" all_say hf/config.json \
    "'cambium import hf -o hf.h5'" 9
check "a shard of it" all_say hf/model-00002-of-00003.safetensors "'cambium import hf -o hf.h5'"
check "a shard alone" all_say lonely/model-00001-of-00003.safetensors "in one folder with config.json"
check "a folder with a GGUF file" all_say within "'cambium import within/tiny.gguf -o tiny.h5'"
check "the folder of a run" all_say run "its model is run/model.h5"
check "a folder without a model" all_say empty "a folder without a model"
check "a pickle" all_say pytorch_model.bin "a pickle of PyTorch"
check "an old pickle" all_say consolidated.00.pth "a pickle of PyTorch"
check "what is not there" all_say nothing nothing
check "text" all_say text.txt "not a Cambium file (it is not HDF5)"
for command in "import tiny.gguf -o tiny.h5" "import hf -o hf.h5" "import hf/ -o hf.h5" \
    "import within/tiny.gguf -o tiny.h5"; do
    # shellcheck disable=SC2086
    check "the remedy works: $command" "$C" $command
done
check "inspect names a folder's remedy" bash -c '"$1" inspect hf 2>&1 | grep -qF "cambium import hf"' _ "$C"
said() { # text, command...
    local text=$1
    shift
    "$@" 2>&1 >/dev/null | grep -qF -- "$text"
}
check "import wants no file of its own" said "need no import" "$C" import run/model.h5 -o never.h5
check "nor the folder of a run" said "run/model.h5" "$C" import run -o never.h5
check "and names a pickle" said "pickle" "$C" import pytorch_model.bin -o never.h5
cp lonely/model-00001-of-00003.safetensors hf/consolidated.safetensors
check "import names what it leaves alone" said "consolidated.safetensors is not the model's" \
    "$C" import hf -o hf.h5
check "nothing was written" bash -c '! ls never* 2>/dev/null'
exit $bad
