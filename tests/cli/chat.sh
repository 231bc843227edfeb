#!/usr/bin/env bash
# infer --chat: the same conversation as the server's, turn by turn.
repository=$PWD
folder=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill -9 $server 2>/dev/null; rm -rf "$folder"' EXIT
. tests/support/flow.sh
. tests/support/server.sh
cd "$folder" || exit 1
"$CAMBIUM" import "$repository/tests/golden/hf_llama" -o tiny.h5 >/dev/null 2>&1
style=(--weights float32 --chat-template llama2)
say() { "$CAMBIUM" infer tiny.h5 --chat "${style[@]}" --temperature 0 -n 9 "$@"; }

check "starts a server" start_server tiny.h5 "${style[@]}" --context 200
turn() { # messages: the server's answer
    post /v1/chat/completions "{\"messages\":[$1],\"max_tokens\":9,\"temperature\":0}" | text_of
}
system='{"role":"system","content":"be brief"}' cat='{"role":"user","content":"the cat sat"}'
first=$(turn "$cat")
second=$(turn "$cat,{\"role\":\"assistant\",\"content\":\"$first\"},{\"role\":\"user\",\"content\":\"and then\"}")
brief=$(turn "$system,$cat")
stop_server
server=
printf 'the cat sat\nand then\n\nthe cat sat\n' | say >said
# Answers are one line each here; the server's are as JSON writes them.
check "the first answer is the server's" [ "$(sed -n 1p said)" = "$(printf '%b' "$first")" ]
check "the second knows the first" [ "$(sed -n 2p said)" = "$(printf '%b' "$second")" ]
check "which is not what the line alone gets" [ "$(sed -n 2p said)" != "$(echo 'and then' | say)" ]
check "an empty line starts anew" [ "$(sed -n 3p said)" = "$(sed -n 1p said)" ]
echo 'the cat sat' | say --system 'be brief' >said
check "--system is the server's system message" [ "$(cat said)" = "$(printf '%b' "$brief")" ]
check "and changes the answer" [ "$(cat said)" != "$(printf '%b' "$first")" ]
check "a last line without its end counts" [ "$(printf 'the cat sat' | say)" = "$(printf '%b' "$first")" ]

plain() { printf '%b' "$1" | "$CAMBIUM" infer tiny.h5 --chat --weights float32 --temperature 0 -n 9; }
check "without a template it is one text" [ "$(plain 'the cat\n' | head -n 1)" = \
    "$("$CAMBIUM" infer tiny.h5 --weights float32 --temperature 0 -n 9 --stop $'\n' -p $'the cat\n' | head -n 1)" ]
check "an unknown template lists those that are known" fails_with "chatml" "$CAMBIUM" infer tiny.h5 --chat --chat-template none-such
check "--system without a template says what to do" fails_with "--chat-template" "$CAMBIUM" infer tiny.h5 --chat --system x
check "--system without a chat, too" misused_with "add --chat" "$CAMBIUM" infer tiny.h5 -p x --system x
exit $bad
