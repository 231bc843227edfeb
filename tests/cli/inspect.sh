#!/usr/bin/env bash
# inspect and diff: what they say of whole, different and damaged files.
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
"$CAMBIUM" import tests/golden/hf_llama -o "$b"
check "the same import gives the same bytes" cmp "$a" "$b"
check "inspect counts parameters" says "parameters: 21,624 total, 21,624 active, 0 frozen" \
    "$CAMBIUM" inspect "$a"
check "inspect tells the context" says "context 64, rotary base 500" "$CAMBIUM" inspect "$a"
check "inspect tells the tokenizer" says "260 tokens" "$CAMBIUM" inspect "$a"
check "inspect tells the history" says '"format":"Hugging Face"' "$CAMBIUM" inspect "$a"
check "inspect --verify reads it all" says "all hashes agree" "$CAMBIUM" inspect --verify "$a"
check "inspect --json is JSON" says '"total": 21624' "$CAMBIUM" inspect --json "$a"
check "inspect reads safetensors" says "self_attn.q_proj.weight" \
    "$CAMBIUM" inspect tests/golden/hf_llama/model-00002-of-00003.safetensors
check "inspect reads npy" says "(20, 264)" "$CAMBIUM" inspect tests/golden/hf_llama/logits.npy
tiny=tests/golden/gguf_tiny/model.gguf
check "inspect reads the tensors of GGUF" says "blk.0.attn_q.weight" "$CAMBIUM" inspect "$tiny"
check "and its settings" says '"tokenizer.ggml.tokens":"340 x text"' "$CAMBIUM" inspect "$tiny"
check "diff of equal files succeeds" "$CAMBIUM" diff "$a" "$b"

# One value of one tensor differs: the final norm's weight 3 becomes 100.
sed 's/"rms_norm_eps": 1e-06/"rms_norm_eps": 1e-05/' tests/golden/hf_llama/config.json >"$folder/config.json"
mkdir "$folder/hf"
cp tests/golden/hf_llama/* "$folder/hf"
mv "$folder/config.json" "$folder/hf"
chmod u+w "$folder/hf"/*
printf '\x00\x00\xc8\x42' | dd of="$folder/hf/model-00002-of-00003.safetensors" bs=1 seek=23292 conv=notrunc 2>/dev/null
"$CAMBIUM" import "$folder/hf" -o "$b"
check "diff fails when files differ" refused "differ in 2 of" "$CAMBIUM" diff "$a" "$b"
check "diff counts the values" says "1 of " "$CAMBIUM" diff "$a" "$b"
check "diff names texts" says "/meta" "$CAMBIUM" diff "$a" "$b"
check "diff --tolerance forgives" refused "differ in 1 of" "$CAMBIUM" diff --tolerance 200 "$a" "$b"
check "diff --json is JSON" says '"count": 1,' "$CAMBIUM" diff --json "$a" "$b"

printf 'x' | dd of="$b" bs=1 seek=30000 conv=notrunc 2>/dev/null
check "a damaged file is refused" refused "damaged" "$CAMBIUM" inspect --verify "$b"
head -c 30000 "$a" >"$b"
check "a cut file is refused" refused "cut short" "$CAMBIUM" inspect "$b"
: >"$b"
check "an empty file is refused" refused "empty" "$CAMBIUM" inspect "$b"
check "a text is refused" refused "not a Cambium file" "$CAMBIUM" inspect Makefile
check "diff refuses them too" refused "empty" "$CAMBIUM" diff "$a" "$b"

# Files of other programs.
model=$folder/model.h5
"$CAMBIUM" import tests/golden/hf_llama -o "$model" -q >/dev/null
for form in npy safetensors; do
    "$CAMBIUM" export "$model" --format $form -o "$folder/t.$form" -q >/dev/null
done
"$CAMBIUM" export "$model" --format gguf -o "$folder/a.gguf" -q >/dev/null
"$CAMBIUM" export "$model" --format gguf --dtype bfloat16 -o "$folder/b.gguf" -q >/dev/null
check "diff reads npy and safetensors: one table in two formats" "$CAMBIUM" diff "$folder/t.npy" "$folder/t.safetensors"
check "diff reads GGUF" "$CAMBIUM" diff "$folder/a.gguf" "$folder/a.gguf"
check "other types of the same numbers differ a little" refused "differ in" "$CAMBIUM" diff "$folder/a.gguf" "$folder/b.gguf"
check "within what rounding does" "$CAMBIUM" diff --tolerance 0.1 "$folder/a.gguf" "$folder/b.gguf"
cp "$folder/t.npy" "$folder/u.npy"
printf '\377\377\177\177' | dd of="$folder/u.npy" bs=1 seek=$(($(wc -c <"$folder/u.npy") - 8)) conv=notrunc 2>/dev/null
check "one value of an array is found" says "array                                    1 of " "$CAMBIUM" diff "$folder/t.npy" "$folder/u.npy"
check "a tensor of a model's folder is found" says "only in the" "$CAMBIUM" diff "$folder/t.safetensors" tests/golden/hf_llama/model-00001-of-00003.safetensors
check "two kinds of files are told apart" refused "is another program's file and $model is not" "$CAMBIUM" diff "$model" "$folder/t.npy"
head -c 200 "$folder/t.npy" >"$folder/cut.npy"
check "a cut array is named" refused "cut.npy" "$CAMBIUM" diff "$folder/t.npy" "$folder/cut.npy"
check "a missing file is named" refused "cannot open $folder/none" "$CAMBIUM" diff "$folder/t.npy" "$folder/none"
exit $bad
