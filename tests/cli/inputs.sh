#!/usr/bin/env bash
# No verb writes over what it reads, by whatever name, nor over another of its outputs; what is written
# into a folder with other files in it takes the place of its own files alone.
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
. tests/support/flow.sh
top=$PWD
cd "$folder" || exit 1
C=$CAMBIUM

awk 'BEGIN { for (d = 0; d < 60; d++) { for (i = 0; i < 120; i++) printf "%d ", (d * 7 + i) % 97; printf "\f" } }' >a.txt
"$C" embed --corpus a.txt --vocab-size 300 --dim 32 -o t.h5 -q >/dev/null
"$C" pack -t t.h5 a.txt -o a.pack -q >/dev/null
run=(--heads 2 --context 32 --batch 4 -q)
"$C" train -t t.h5 --data a.pack "${run[@]}" --layers 1 --steps 3 -o r >/dev/null
cp r/model.h5 m.h5
cp -r "$top/tests/golden/hf_llama" hf
cp "$top/tests/golden/gguf_tiny/model.gguf" tiny.gguf
"$C" import tiny.gguf -o tiny.h5 -q >/dev/null
mkdir texts pages && cp a.txt texts/one.txt && echo '<p>A page of a few words, read to the end.</p>' >pages/one.html
cp pages/one.html one.train.txt
printf 'stages:\n  - {blocks: 1, tokens: 512, data: [r2/model.h5]}\n' >plan.yaml
mkdir r2 && cp a.pack r2/model.h5
printf 'output: settings.yaml\n' >settings.yaml
printf 'data: [same/model.h5]\n' >data.yaml
mkdir same && cp a.pack same/model.h5
ln -s m.h5 soft.h5
ln m.h5 hard.h5
ln -s r linked
"$C" eval m.h5 --tasks bpb --data a.txt -o r.json -q >/dev/null
"$C" plan --model m.h5 --hardware h100 --save-hardware own.json --json >/dev/null
find . -type f -exec sha256sum {} + | sort -k2 >sums
untouched() { find . -type f ! -name sums ! -name flow -exec sha256sum {} + | grep -v '\./sums$' | sort -k2 | diff <(grep -v '\./sums$' sums) -; }
keeps() { # text, command...: it fails with the text, and nothing has changed
    fails_with "$@" && untouched
}
over="would be overwritten"

check "export: a GGUF file" keeps "$over" "$C" export m.h5 --format gguf -o m.h5
check "export: a table" keeps "$over" "$C" export t.h5 --format npy -o t.h5
check "export: a tokenizer" keeps "$over" "$C" export t.h5 --format tokenizer -o ./t.h5
check "export: by a symbolic link" keeps "$over" "$C" export m.h5 --format gguf -o soft.h5
check "export: by a hard link" keeps "$over" "$C" export hard.h5 --format npy -o m.h5
check "export: by a folder that is a link" keeps "$over" "$C" export linked/model.h5 --format npy -o r/../r/model.h5
check "import: a GGUF file" keeps "$over" "$C" import tiny.gguf -o tiny.gguf
check "import: the weights of a folder" keeps "$over" "$C" import hf -o hf/model-00001-of-00003.safetensors
check "import: its settings" keeps "$over" "$C" import hf/ -o "$PWD/hf/config.json"
check "import: nothing new that would be read with it" keeps "would be read with it" "$C" import hf -o hf/model.safetensors
check "import: the vocabulary" keeps "$over" "$C" import tiny.gguf --tokenizer hf/tokenizer.json -o hf/tokenizer.json
check "eval: the model" keeps "$over" "$C" eval m.h5 --data a.txt -o m.h5 -q
check "eval: the text" keeps "$over" "$C" eval m.h5 --data a.txt -o a.txt -q
check "eval: a text of a folder" keeps "$over" "$C" eval m.h5 --data texts -o texts/one.txt -q
check "eval: answers over the model" keeps "$over" "$C" eval m.h5 --tasks copa --data texts --save-items m.h5 --resume -q
check "report: the checkpoint" keeps "$over" "$C" report r -o r/model.h5
check "report: the metrics" keeps "$over" "$C" report r -o linked/metrics.jsonl
check "report: results" keeps "$over" "$C" report r.json -o r.json
check "train: the model to go on with" keeps "$over" "$C" train --init r/model.h5 --data a.pack "${run[@]:2}" --steps 1 -o r/model.h5
check "train: the same in its folder" keeps "model.h5" "$C" train --init r2/model.h5 --data a.pack "${run[@]:4}" --steps 1 -o r2
check "grow: data that a plan names" keeps "r2 holds a run already" "$C" grow -t t.h5 --plan plan.yaml "${run[@]}" -o r2
check "pack: the settings" keeps "$over" "$C" pack -t t.h5 a.txt --config settings.yaml
check "pack: a text of a folder" keeps "$over" "$C" pack -t t.h5 texts -o texts/one.txt
check "embed: a corpus of a folder" keeps "$over" "$C" embed --corpus texts --vocab-size 300 --dim 16 -o texts/one.txt -q
check "clean: a page, by its prefix" keeps "$over" "$C" clean one.train.txt pages --script latin -o one
check "merge: an expert" keeps "$over" "$C" merge m.h5 r/model.h5 -o hard.h5
check "infer: the model" keeps "$over" "$C" infer m.h5 -p 1 -n 1 --save-kv soft.h5 -q
check "plan: the model" keeps "$over" "$C" plan --model m.h5 --hardware h100 --svg m.h5
check "plan: the machine" keeps "$over" "$C" plan --model m.h5 --hardware own.json --save-hardware own.json
check "two outputs are two files" keeps "are one file" "$C" plan --model m.h5 --hardware h100 --svg x.svg --save-hardware ./x.svg
check "also when they are there" keeps "are one file" "$C" embed --corpus a.txt --vocab-size 300 --dim 16 -o own.json --preview ./own.json

# ---- what may be written beside ----
check "a page in its run's folder, twice" bash -c "'$C' report r -o r/r.html >log && '$C' report r -o r/r.html >log"
check "a model beside its source, twice" bash -c "'$C' import hf -o hf/m.h5 -q && '$C' import hf -o hf/m.h5 -q"
rm r/r.html hf/m.h5 log

# ---- folders with a model in them ----
foreign="did not write"
check "export: not over a model of others" keeps "$foreign" "$C" export tiny.h5 -o hf
mkdir single && cp hf/config.json single && find ./single -type f -exec sha256sum {} + >>sums && sort -k2 -o sums sums
check "export: not over half of one" keeps "$foreign" "$C" export tiny.h5 -o single
export_again() {
    "$C" export tiny.h5 -o out -q && "$C" export tiny.h5 --dtype bfloat16 -o out -q && touch out/notes.txt && "$C" export tiny.h5 -o out -q &&
        "$C" import out -o again.h5 -q && ! "$C" diff tiny.h5 again.h5 | grep /experts
}
check "export: over an earlier one, beside other files" export_again
cp hf/model-00002-of-00003.safetensors out
check "export: not beside another's shards" fails_with "model-00002-of-00003.safetensors" "$C" export tiny.h5 -o out
exit $bad
