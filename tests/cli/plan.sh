#!/usr/bin/env bash
# plan: tables, JSON, drawings, measured hardware given back, refusals.
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
. tests/support/flow.sh
gb200=(plan --hardware gb200-nvl72 --context 1M)
check "a grid is named" says "use        --grid kvp=8,tpa=8,tpf=64,ep=1, batch 32: 15 ms per token" \
    "$CAMBIUM" "${gb200[@]}" --model llama-405b --ttl 20ms
check "--batch fixes the batch" says "batch 4: 7.442 ms" "$CAMBIUM" "${gb200[@]}" --model llama-405b --batch 4
check "--gpus limits the ranks" says "kvp=2,tpa=8,tpf=16,ep=1" \
    "$CAMBIUM" "${gb200[@]}" --model llama-405b --gpus 16
check "the appendix's projection is labelled" says "as in the paper's appendix: 0.5615 ms" \
    "$CAMBIUM" "${gb200[@]}" --model llama-405b
check "--literal counts it" says "attention's weights        0.5615 ms" \
    "$CAMBIUM" "${gb200[@]}" --model llama-405b --literal
check "HOP-B hides some" says "HOP-B hides" "$CAMBIUM" "${gb200[@]}" --model deepseek-r1 --batch 64
check "--no-hopb hides nothing" eval \
    "! '$CAMBIUM' ${gb200[*]} --model deepseek-r1 --batch 64 --no-hopb | grep -q 'HOP-B hides'"

"$CAMBIUM" "${gb200[@]}" --model deepseek-r1 --ttl 8ms --json --svg "$folder/plan.svg" \
    --save-hardware "$folder/box.json" >"$folder/plan.json"
check "--json has the front" [ "$(grep -c '"tokens_per_second_user"' "$folder/plan.json")" -gt 8 ]
check "--json has the grid to type" grep -q '"option": "kvp=64,tpa=1,tpf=64,ep=1"' "$folder/plan.json"
if command -v xmllint >/dev/null; then
    check "--svg is XML" xmllint --noout "$folder/plan.svg"
else
    check "--svg is a whole drawing" grep -q '</svg>' "$folder/plan.svg"
fi
"$CAMBIUM" plan --hardware "$folder/box.json" --context 1M --model deepseek-r1 --ttl 8ms --json \
    >"$folder/again.json"
check "saved hardware can be given back" cmp "$folder/plan.json" "$folder/again.json"

"$CAMBIUM" import tests/golden/hf_llama -o "$folder/a.h5" 2>/dev/null
check "a model file on two ranks of this machine" says "use        --grid kvp=" "$CAMBIUM" plan \
    --model "$folder/a.h5" --context 16K --ranks 2 --batch 8 --seconds 0.1 --save-hardware "$folder/this.json"
check "all of them are used" eval \
    "'$CAMBIUM' plan --model '$folder/a.h5' --hardware '$folder/this.json' --ranks 2 | grep -q '^> helix      2 '"

refuse() { check "$1" fails_with "$2" "$CAMBIUM" plan "${@:3}"; }
misuse() { check "$1" misused_with "$2" "$CAMBIUM" plan "${@:3}"; }
misuse "no model" "no model: --model FILE" --hardware h100
misuse "an unknown model" "no model 'llama-500b'" --model llama-500b --hardware h100
misuse "unknown hardware" "no hardware 'h300'" --model llama-8b --hardware h300
misuse "a time without a unit" "--ttl is '20'; write a number and its unit" \
    --model llama-8b --hardware h100 --ttl 20
misuse "no time" "--ttl 0s is not above 0" --model llama-8b --hardware h100 --ttl 0s
misuse "too many ranks" "9 ranks are more than the 8" --model llama-8b --hardware h100 --gpus 9
misuse "two numbers of ranks" "--ranks and --gpus exclude each other" \
    --model llama-8b --hardware h100 --gpus 4 --ranks 4
refuse "what does not fit" "does not fit: a rank would hold" --model llama-405b --hardware h100
refuse "a time that no grid keeps" "no grid makes a token of llama-8b in 1 ms; the fastest takes" \
    --model llama-8b --hardware h100 --ttl 1ms
misuse "no context" "--context 0 is not from 1" --model llama-8b --hardware h100 --context 0
echo '{"name": "x", "ranks": 8' >"$folder/bad.json"
refuse "cut hardware" "is not JSON" --model llama-8b --hardware "$folder/bad.json"
refuse "a model file as hardware" "is not JSON" --model llama-8b --hardware "$folder/a.h5"
refuse "hardware as a model file" "not a Cambium file" --model "$folder/box.json" --hardware h100
refuse "a folder as hardware" "" --model llama-8b --hardware "$folder"
exit $bad
