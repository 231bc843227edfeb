#!/usr/bin/env bash
# The chat template that a model brings is run, through import, export, infer and serve; one that cannot
# be run refuses conversations with the reason and nothing else.
repository=$PWD
folder=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill -9 $server 2>/dev/null; rm -rf "$folder"' EXIT
. tests/support/flow.sh
. tests/support/server.sh
cd "$folder" || exit 1
added() { # id, text
    printf '{"id":%s,"content":"%s","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true}' "$@"
}
tokens="$(added 260 '<s>'),$(added 261 '</s>'),$(added 262 '<|user|>'),$(added 263 '<|bot|>')"
model() { # folder, tokenizer_config's member chat_template
    cp -r "$repository/tests/golden/hf_llama" "$1"
    sed -i "s#\"added_tokens\": \[\]#\"added_tokens\": [$tokens]#" "$1/tokenizer.json"
    printf '{"bos_token": "<s>", "eos_token": "</s>"%s}' "${2:+, \"chat_template\": $2}" >"$1/tokenizer_config.json"
}
served() { # messages and more members -> the text that the model is to continue
    post /tokenize "{$1}" | sed 's/.*"pieces":\[//; s/\].*//; s/^"//; s/"$//; s/","//g'
}
hi='"messages":[{"role":"user","content":"hi</s>"}]'
tools='"tools":[{"type":"function","function":{"name":"f"}}]'

# ---- two templates -----------------------------------------------------------------------------------
plain='{{ bos_token }}{% for m in messages %}{{ \"<|\" ~ m.role ~ \"|>\" ~ m.content | upper }}{% endfor %}<|bot|>'
tooled='T{% for t in tools %}{{ t.function.name }}{% endfor %}<|bot|>'
list="[{\"name\": \"tool_use\", \"template\": \"$tooled\"}, {\"name\": \"default\", \"template\": \"$plain\"}]"
model two "$list"
check "imports a list of templates" "$CAMBIUM" import two -o two.h5
assert_both() { # model
    check "serves $1" start_server "$1" --weights float32
    check "$1: runs the model's own" [ "$(served "$hi")" = '<s><|user|>HI</S><|bot|>' ]
    check "$1: and another with tools" [ "$(served "$hi,$tools")" = 'Tf<|bot|>' ]
    check "$1: a role builds the name of a token, a content does not" \
        [ "$(post /tokenize "{$hi}" | grep -oE '\b26[0-3]\b' | tr '\n' ' ')" = '260 262 263 ' ]
    stop_server
    server=
}
assert_both two.h5
check "exports to a folder" "$CAMBIUM" export two.h5 -o out
check "with both" grep -q '"tool_use"' out/tokenizer_config.json
check "and back" "$CAMBIUM" import out -o folder.h5
assert_both folder.h5
check "exports to GGUF" "$CAMBIUM" export two.h5 --format gguf -o two.gguf
check "and back, too" "$CAMBIUM" import two.gguf -o gguf.h5
assert_both gguf.h5
model files ''
printf '{"chat_template": "%s"}' "$plain" >files/chat_template.json
mkdir files/additional_chat_templates
printf '%b' "${tooled//\\\"/\"}" >files/additional_chat_templates/tool_use.jinja
check "imports templates from files of their own" "$CAMBIUM" import files -o files.h5
assert_both files.h5

# ---- one that cannot be run --------------------------------------------------------------------------
model broken '"a\n{% include \"x\" %}"'
check "imports a template that it cannot run" "$CAMBIUM" import broken -o broken.h5
check "infer --chat says why" fails_with "line 2: the tag 'include' is not supported" \
    "$CAMBIUM" infer broken.h5 --chat
check "and how to go on" fails_with "chatml" "$CAMBIUM" infer broken.h5 --chat
check "serves it all the same" start_server broken.h5 --weights float32
check "completions work" grep -q '"text_completion"' <(post /v1/completions '{"prompt":"a","max_tokens":1}')
check "conversations are refused with the reason" grep -q "'include' is not supported" <(post /v1/chat/completions "{$hi,\"max_tokens\":1}")
stop_server
server=
check "takes a style instead" start_server broken.h5 --weights float32 --chat-template zephyr
check "in its form" [ "$(served "$hi" | cut -c 1-10)" = '<|user|>\n' ]
stop_server
server=
printf '{{ messages | length }} {{ messages[0].content }}{%% if x is defined %%}{{ x.y.z }}{%% endif %%}' >own.jinja
check "or a file" start_server broken.h5 --weights float32 --chat-template own.jinja
check "and runs it" [ "$(served "$hi")" = '1 hi</s>' ]
check "errors of a run are answers" grep -q "is undefined" <(post /v1/chat/completions "{$hi,\"chat_template_kwargs\":{\"x\":{}}}")
stop_server
server=
printf '{%% if %%}' >bad.jinja
check "a file that is no template is refused at once" fails_with "bad.jinja: line 1" \
    "$CAMBIUM" serve broken.h5 --chat-template bad.jinja
check "and so is an unknown name" fails_with "neither a style nor a file" "$CAMBIUM" infer broken.h5 --chat --chat-template nosuch
exit $bad
