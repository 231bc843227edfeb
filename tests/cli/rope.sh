#!/usr/bin/env bash
# Decoding beyond the trained context: a model is stretched when it is loaded, by every verb that
# decodes, on any ranks, and its file stays as it is.
. tests/support/flow.sh
. tests/support/two_experts.sh
. tests/support/server.sh
folder=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill -9 $server 2>/dev/null; rm -rf "$folder"' EXIT
cd "$folder" || exit 1
C=$CAMBIUM
check "two experts are made and merged" two_experts train --layers 1 --steps 40
sum=$(sha256sum both.h5)
text=$(seq -s ' ' 1 60)
said=(-p "$text" --weights float32 --temperature 0 --json -n 40)
own() { sed -n 's/.*"context": *\([0-9]*\).*/\1/p' "$1" | head -n 1; }
"$C" inspect a/model.h5 --json >a.json
context=$(own a.json)
check "the trained context is known" [ "${context:-0}" -gt 10 ]
twice=$((2 * context))

# ---- infer ----
"$C" infer both.h5 "${said[@]}" -q >own.json
texts() { sed 's/"logprobs":.*//' "$1"; } # log-probabilities may differ in their last digits
other() { # another text than without, the same on two ranks and with the factor that --context makes
    local s=("${said[@]}" --rope-scaling "$1")
    "$C" infer both.h5 "${s[@]}" --rope-factor 8 -q >one.json && ! cmp -s own.json one.json || return 1
    "$C" infer both.h5 "${s[@]}" --rope-factor 8 -q --ranks 2 --grid kvp=2 >two.json
    "$C" infer both.h5 "${s[@]}" --context $((8 * context)) -q >three.json
    diff <(texts one.json) <(texts two.json) && cmp one.json three.json
}
for s in linear ntk yarn; do check "$s stretches a merged model, on one rank and on two" other $s; done
same() { "$C" infer both.h5 "${said[@]}" -q "$@" | cmp - own.json; }
check "none is what the file says, where it has no scaling" same --rope-scaling none
check "so is model" same --rope-scaling model
check "a factor of 1 changes nothing" same --rope-scaling linear --rope-factor 1
auto() { "$C" infer both.h5 -p '1 2' -n 2 --ranks 3 --batch 1 --verbose "$@" 2>&1 | grep -o -- '--grid auto is [^:]*'; }
planned() { # for the context that the model has now
    [ "$(auto)" != "$(auto --context $((512 * context)))" ] && [ "$(auto --rope-scaling linear --rope-factor 512)" = "$(auto --context $((512 * context)))" ]
}
check "the grid is chosen for the stretched context" planned
long=$(seq -s ' ' 1 $context)
warned() { "$C" infer a/model.h5 -p "$long" -n 4 "$@" 2>&1 >/dev/null | grep -q "what follows may be poor"; }
check "a text beyond the context is warned of" warned
quiet() { ! warned "$@"; }
check "not where it is stretched" quiet --rope-scaling ntk --rope-factor 8

# ---- eval ----
e=(eval a/model.h5 --tasks passkey --depths 2 --limit 1 --weights float32 -q)
check "lengths beyond the context are refused" fails_with "more than the context of $context" "$C" "${e[@]}" --lengths $((context + 100))
check "a factor makes room for them" "$C" "${e[@]}" --lengths $((8 * context)) --rope-scaling yarn --rope-factor 8
check "no more than it says" fails_with "more than the context of $twice" "$C" "${e[@]}" --lengths $((twice + 1)) --rope-scaling yarn --rope-factor 2
check "none keeps the model's context" fails_with "more than the context of $context" "$C" "${e[@]}" --lengths $((context + 100)) --rope-scaling none
e+=(--lengths $((8 * context)) --context $((8 * context)))
check "answers are kept" "$C" "${e[@]}" --rope-scaling yarn --save-items items.jsonl
check "their file tells how it was stretched" grep -q '"rope_scaling":"yarn","rope_factor":0.0' items.jsonl
check "it goes on as it began" "$C" "${e[@]}" --rope-scaling yarn --save-items items.jsonl --resume
check "not with another scaling" fails_with "differs in settings: rope_scaling" "$C" "${e[@]}" --rope-scaling ntk --save-items items.jsonl --resume
check "nor with none" fails_with "differs in settings: rope_scaling" "$C" "${e[@]}" --save-items items.jsonl --resume
check "nor with another factor" fails_with "differs in settings: rope_factor" "$C" "${e[@]}" --rope-scaling yarn --rope-factor 9 --save-items items.jsonl --resume
windows() { # of the stretched context
    local b=(eval both.h5 --data a.txt --limit 3 -q --json --weights float32 --rope-scaling linear --rope-factor 2)
    "$C" "${b[@]}" >wide.json && "$C" "${b[@]}" --context $twice | cmp - wide.json && ! "$C" "${b[@]}" --context $context | cmp -s - wide.json
}
check "bits per byte are measured in the stretched context" windows

# ---- snapshots ----
kv=(infer both.h5 --weights float32 --temperature 0 -n 20 -q)
goes_on() {
    "$C" "${kv[@]}" -p "$text" --rope-scaling ntk --rope-factor 2 --save-kv s.kv >first &&
        "$C" "${kv[@]}" --rope-scaling ntk --rope-factor 2 --load-kv s.kv --ranks 2 >second && diff first second
}
check "a snapshot goes on with its scaling" goes_on
check "not with another" fails_with "another rotary scaling" "$C" "${kv[@]}" --rope-scaling yarn --rope-factor 2 --load-kv s.kv
check "nor without" fails_with "than this run's (the model's own); give the same --rope-scaling" "$C" "${kv[@]}" --load-kv s.kv
"$C" "${kv[@]}" -p "$text" --save-kv p.kv >/dev/null
check "one without goes on where none is asked for" "$C" "${kv[@]}" --load-kv p.kv --rope-scaling none
check "not with one" fails_with "(the model's own) than this run's" "$C" "${kv[@]}" --load-kv p.kv --rope-scaling linear --rope-factor 2

# ---- serve ----
check "a server is stretched" start_server both.h5 --weights float32 --rope-scaling ntk --rope-factor 8
check "it tells its context" grep -qF "\"max_model_len\":$((8 * context))" <(ask "$url/v1/models/both")
"$C" infer both.h5 "${said[@]}" -q --rope-scaling ntk --rope-factor 8 | text_of >want
served() {
    post /v1/completions "{\"prompt\":\"$text\",\"max_tokens\":40,\"temperature\":0}" | text_of >got
    [ -s want ] && cmp want got
}
check "it writes what infer writes" served
check "it ends" stop_server
server=

# ---- nonsense ----
for v in infer eval serve; do
    args=(both.h5)
    [ $v = eval ] && args+=(--data a.txt)
    [ $v = infer ] && args+=(-p x)
    check "$v: a factor alone" misused_with "name one of them" "$C" $v "${args[@]}" --rope-factor 2
    check "$v: a factor below 1" misused_with "--rope-factor 0.5 is not from 1" "$C" $v "${args[@]}" --rope-scaling linear --rope-factor 0.5
    check "$v: nothing that says how far" misused_with "give --rope-factor F or --context N" "$C" $v "${args[@]}" --rope-scaling yarn
done
check "several ranks tell it once" misused_with "give --rope-factor F or --context N" "$C" infer both.h5 -p x --rope-scaling yarn --ranks 2
check "the file is as it was" [ "$sum" = "$(sha256sum both.h5)" ]
exit $bad
