#!/usr/bin/env bash
# export: folders that come back through import, tables for other programs, and its manners.
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
. tests/support/flow.sh
refused() { # text that the error has, command...
    local text=$1 said
    shift
    said=$("$@" 2>&1 >/dev/null)
    [ $? = 1 ] && [ "$(wc -l <<<"$said")" = 1 ] && grep -qF -- "$text" <<<"$said" && return
    echo "# $said"
    return 1
}
a=$folder/a.h5 b=$folder/b.h5
"$CAMBIUM" import tests/golden/hf_llama -o "$a"
check "writes a folder" "$CAMBIUM" export "$a" -o "$folder/new/hf"
for name in config.json model.safetensors tokenizer.json tokenizer_config.json; do
    check "with $name" [ -s "$folder/new/hf/$name" ]
done
check "which imports again" "$CAMBIUM" import "$folder/new/hf" -o "$b"
"$CAMBIUM" diff "$a" "$b" >"$folder/diff" 2>/dev/null
check "with the same weights" bash -c '! grep -qvE "^/(meta|tokenizer/spec) " "$1"' _ "$folder/diff"
check "bfloat16 halves it" "$CAMBIUM" export "$a" -o "$folder/half" --dtype bfloat16
check "so the file is smaller" [ "$(stat -c %s "$folder/half/model.safetensors")" -lt \
    "$(($(stat -c %s "$folder/new/hf/model.safetensors") * 6 / 10))" ]
for type in float32 float16 bfloat16; do
    check "writes GGUF in $type" "$CAMBIUM" export "$a" --format gguf --dtype $type -o "$folder/$type.gguf"
done
check "GGUF imports again" "$CAMBIUM" import "$folder/float32.gguf" -o "$folder/c.h5"
"$CAMBIUM" diff "$a" "$folder/c.h5" >"$folder/diff" 2>/dev/null
check "with the same weights and tokens" bash -c '! grep -qvE "^/(meta|tokenizer/spec) " "$1"' _ "$folder/diff"
check "names a type that a folder cannot have" misused_with "q8_0" "$CAMBIUM" export "$a" --dtype q8_0 -o "$folder/never"
check "writes the table as npy" "$CAMBIUM" export "$a" --format npy -o "$folder/t.npy"
check "writes the table as safetensors" "$CAMBIUM" export "$a" --format safetensors -o "$folder/t.safetensors"
check "the npy is whole" [ "$(stat -c %s "$folder/t.npy")" = $((264 * 24 * 4 + 128)) ]
check "writes the vocabulary alone" "$CAMBIUM" export "$a" --format tokenizer -o "$folder/tokenizer.json"
check "as the folder has it" cmp "$folder/tokenizer.json" "$folder/new/hf/tokenizer.json"
"$CAMBIUM" embed --tokenizer "$a" --dim 16 -o "$folder/table.h5" >/dev/null
check "a table has one too" "$CAMBIUM" export "$folder/table.h5" --format tokenizer -o "$folder/t.json"
check "and it is the same" cmp "$folder/tokenizer.json" "$folder/t.json"
check "names a table that is asked for as a model" refused "not a model" "$CAMBIUM" export "$folder/table.h5" -o "$folder/never"
check "wants -o" misused_with "-o PATH" "$CAMBIUM" export "$a"
check "refuses what is no model" refused "not a Cambium file" "$CAMBIUM" export Makefile -o "$folder/never"
check "names a place it cannot write" refused "cannot create" "$CAMBIUM" export "$a" -o /proc/never
on_a_full_disk() { bash -c 'trap "" XFSZ; ulimit -f 8; "$CAMBIUM" export "$1" -o "$2"' _ "$a" "$1"; }
check "names a full disk" refused "cannot write" on_a_full_disk "$folder/new/hf"
check "which leaves the old weights" cmp "$folder/new/hf/model.safetensors" <("$CAMBIUM" export "$a" \
    -o "$folder/again" >/dev/null; cat "$folder/again/model.safetensors")
check "names it in a new folder, too" refused "cannot write" on_a_full_disk "$folder/never"
check "which it does not leave empty" [ ! -e "$folder/never" ]
exit $bad
