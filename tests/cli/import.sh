#!/usr/bin/env bash
# Models of other programs: a llama2.c model says word for word what llama2.c says; files that are
# cut, empty or of another kind are refused in one sentence.
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
data=$TEST_DATA/stories260k
model=$data/stories260K.bin words=$data/tok512.bin out=$folder/stories.h5
if [ -f "$model" ]; then
    check "imports a llama2.c model" "$CAMBIUM" import "$model" --tokenizer "$words" -o "$out"
    "$CAMBIUM" infer "$out" -p "" --temperature 0 --max-tokens 200 --weights float32 >"$folder/text"
    check "which then says what llama2.c says" cmp "$folder/text" "$data/greedy-200.txt"
    check "wants the vocabulary" refused "--tokenizer" "$CAMBIUM" import "$model" -o "$out"
    for bytes in 0 10 27 300 4096 1000000 1056539; do
        head -c "$bytes" "$model" >"$folder/cut.bin"
        check "refuses a model of $bytes bytes" refused "cut.bin" \
            "$CAMBIUM" import "$folder/cut.bin" --tokenizer "$words" -o "$folder/never.h5"
    done
    head -c 3000 "$words" >"$folder/cut.tok"
    check "refuses a cut vocabulary" refused "cut.tok" \
        "$CAMBIUM" import "$model" --tokenizer "$folder/cut.tok" -o "$folder/never.h5"
    check "refuses a text as a model" refused "greedy-200" \
        "$CAMBIUM" import "$data/greedy-200.txt" --tokenizer "$words" -o "$folder/never.h5"
else
    echo "skip - llama2.c models: no $model"
fi
tiny=tests/golden/gguf_tiny/model.gguf
check "imports a GGUF file" "$CAMBIUM" import "$tiny" -o "$folder/tiny.h5"
check "which speaks" "$CAMBIUM" infer "$folder/tiny.h5" -p "The tree" -n 3
cp "$tiny" "$folder/named-otherwise"
check "knows it by its content" "$CAMBIUM" import "$folder/named-otherwise" -o "$folder/same.h5"
check "and reads the same" cmp <("$CAMBIUM" inspect "$folder/same.h5" | tail -n 12) \
    <("$CAMBIUM" inspect "$folder/tiny.h5" | tail -n 12)
check "takes a tokenizer.json instead" "$CAMBIUM" import "$tiny" --tokenizer tests/golden/hf_llama/tokenizer.json \
    -o "$folder/other.h5"
check "with the file's chat template" grep -q "im_start" "$folder/other.h5"
sed 's/tokenizer.ggml.modelx*\(.\{12\}\)llama/tokenizer.ggml.model\1bertx/' "$tiny" >"$folder/bert.gguf"
check "names an unknown vocabulary" refused "'bertx'" "$CAMBIUM" import "$folder/bert.gguf" -o "$folder/never.h5"
for bytes in 4 30 3000 200000 251000; do
    head -c "$bytes" "$tiny" >"$folder/cut.gguf"
    check "refuses a GGUF file of $bytes bytes" refused "cut.gguf" \
        "$CAMBIUM" import "$folder/cut.gguf" -o "$folder/never.h5"
done
sed 's/\(general.architecture.\{12\}\)llama/\1bloom/' "$tiny" >"$folder/bloom.gguf"
check "names its unknown architecture" refused "bloom" \
    "$CAMBIUM" import "$folder/bloom.gguf" -o "$folder/never.h5"
cp -r tests/golden/hf_llama "$folder/hf"
check "imports a Hugging Face folder" "$CAMBIUM" import "$folder/hf" -o "$folder/hf.h5"
sed 's/"hello": *259/"hello": 303/' tests/golden/hf_llama/tokenizer.json >"$folder/hf/tokenizer.json"
check "names the vocabulary that is too large" refused "hf/tokenizer.json" \
    "$CAMBIUM" import "$folder/hf" -o "$folder/never.h5"
cp tests/golden/hf_llama/tokenizer.json "$folder/hf"
head -c 20000 tests/golden/hf_llama/model-00002-of-00003.safetensors \
    >"$folder/hf/model-00002-of-00003.safetensors"
check "refuses a cut shard" refused "model-00002" "$CAMBIUM" import "$folder/hf" -o "$folder/never.h5"
rm "$folder/hf/model-00002-of-00003.safetensors"
check "names a missing shard" refused "has no model-00002-of-00003.safetensors" \
    "$CAMBIUM" import "$folder/hf" -o "$folder/never.h5"
sed 's/"num_hidden_layers": 2/"num_hidden_layers": 3/' tests/golden/hf_llama/config.json \
    >"$folder/hf/config.json"
cp tests/golden/hf_llama/*.safetensors "$folder/hf"
check "names the settings that ask for a layer too many" refused "weight', which its config.json asks for" \
    "$CAMBIUM" import "$folder/hf" -o "$folder/never.h5"
sed -i 's/LlamaForCausalLM/BertModel/' "$folder/hf/config.json"
check "names an unknown architecture" refused "BertModel" \
    "$CAMBIUM" import "$folder/hf" -o "$folder/never.h5"
check "leaves no file behind a failure" [ ! -e "$folder/never.h5" ]
check "nor a temporary one" [ -z "$(ls "$folder" | grep never)" ]
exit $bad
