#!/usr/bin/env bash
# serve: every path by curl, streams, errors in OpenAI's form, limits, clients that go away or do not
# read, and how it ends.
repository=$PWD
folder=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill -9 $server 2>/dev/null; rm -rf "$folder"' EXIT
. tests/support/flow.sh
. tests/support/server.sh
cd "$folder" || exit 1
"$CAMBIUM" import "$repository/tests/golden/hf_llama" -o tiny.h5 >/dev/null 2>&1
model="tiny.h5 --weights float32 --context 30000 --kv-tokens 200K -q"
model=${model/ -q/}

check "starts on any free port and says which" start_server $model
check "is healthy" grep -qF '{"status":"ok"}' <(ask "$url/health")
check "names its model" grep -qF '"id":"tiny"' <(ask "$url/v1/models")
check "tells of a model" grep -qF '"max_model_len":30000' <(ask "$url/v1/models/tiny")
check "has a page" grep -q '<html' <(ask "$url/")

# ---- what it writes is what infer writes ----------------------------------------------------------
long='"prompt":"the cat sat","max_tokens":60,"temperature":0,"ignore_eos":true'
"$CAMBIUM" infer tiny.h5 --weights float32 -p "the cat sat" -n 60 --temperature 0 --ignore-end --json 2>/dev/null |
    text_of >want
post /v1/completions "{$long}" >whole
check "an answer is what infer writes" cmp want <(text_of <whole)
check "with its usage" grep -qF '"completion_tokens":60' whole
post /v1/completions "{$long,\"stream\":true,\"stream_options\":{\"include_usage\":true}}" -N >stream
check "a stream gives the same text" cmp want <(text_of <stream)
check "the last has the usage" bash -c 'tail -n 4 stream | grep -q "\"completion_tokens\":60"'
check "and it is done" [ "$(tail -n 2 stream | head -n 1)" = "data: [DONE]" ]
"$CAMBIUM" infer tiny.h5 --weights float32 -p "the cat sat" -n 12 --temperature 1 --top-p 1 --seed 8 --ignore-end --json 2>/dev/null |
    text_of >want8
post /v1/completions '{"prompt":"the cat sat","max_tokens":12,"seed":7,"n":3,"ignore_eos":true}' >three
check "n choices" [ "$(grep -o '"index":' three | wc -l)" = 3 ]
check "the second has the next seed" cmp want8 <(grep -o '{"index":1[^}]*}' three | text_of)
text=$(cat want)
post /v1/completions "{$long,\"stop\":[\"llo\",\"never\"]}" >stopped
check "ends before a stop string" [ "$(text_of <stopped)" = "${text%%llo*}" ]
check "and says so" grep -qF '"finish_reason":"stop"' stopped
post /v1/chat/completions '{"messages":[{"role":"system","content":"be brief"},{"role":"user","content":[{"type":"text","text":"hi"}]}],"max_tokens":5,"seed":1,"logprobs":true,"top_logprobs":3}' >chat
check "chats" grep -qF '"object":"chat.completion"' chat
check "with log-probabilities" [ "$(grep -o '"top_logprobs":' chat | wc -l)" = 5 ]
post /v1/chat/completions '{"messages":[{"role":"user","content":"hi"}],"max_tokens":5,"stream":true}' -N >chat
check "streams a chat" bash -c 'head -n 1 chat | grep -q "\"role\":\"assistant\"" && grep -q "DONE" chat'
post /v1/completions '{"prompt":"the cat sat","max_tokens":0,"echo":true,"logprobs":1}' >scored
check "scores a prompt" grep -qE '"token_logprobs":\[null,-' scored
check "and echoes it" [ "$(text_of <scored)" = "the cat sat" ]
for seed in 1 2 3; do
    post /v1/chat/completions "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"max_tokens\":40,\"seed\":$seed,\"response_format\":{\"type\":\"json_object\"}}" |
        sed -n 's/.*"content":"\(\([^"\\]\|\\.\)*\)".*/{"prompt":"\1"}/p' >quoted
    # The object, out of its string: the server's own JSON reader judges it.
    printf '{"tokens":[1],"x":%s}' "$(printf '%b' "$(sed 's/^{"prompt":"//; s/"}$//; s/\\"/"/g; s/\\\\/\\\\\\\\/g' quoted)")" >object
    check "JSON is JSON ($seed)" grep -qF '"prompt":' <(post /detokenize "$(cat object)")
done
post /tokenize '{"prompt":"the cat sat"}' >tokens
check "tokenizes" grep -qE '"count":[0-9]+' tokens
ids=$(grep -o '"tokens":\[[0-9,]*\]' tokens)
check "and back" [ "$(post /detokenize "{$ids}")" = '{"prompt":"the cat sat"}' ]
check "takes ids as a prompt" [ "$(post /v1/completions "{\"prompt\":${ids#*:},\"max_tokens\":60,\"temperature\":0,\"ignore_eos\":true}" | text_of)" = "$(cat want)" ]
check "tells of tokens" grep -qE '"tokens":\[\{"id":[0-9]+,"text":"[^"]*","logprob":-?[0-9.]+,"top":\[\{' \
    <(post /v1/completions '{"prompt":"a","max_tokens":2,"logprobs":2,"return_tokens":true}')

# ---- many at once ---------------------------------------------------------------------------------
for i in $(seq 32); do
    body="{\"prompt\":\"number $i\",\"max_tokens\":$((20 + i)),\"seed\":$i,\"ignore_eos\":true"
    post /v1/completions "$body}" | text_of >"alone.$i"
    echo "$body,\"stream\":true}" >"body.$i"
done
for i in $(seq 32); do post /v1/completions "$(cat "body.$i")" -N >"stream.$i" & clients[i]=$!; done
wait "${clients[@]}"
same=0
for i in $(seq 32); do cmp -s "alone.$i" <(text_of <"stream.$i") && same=$((same + 1)); done
check "32 streams at once give what each gives alone ($same)" [ $same = 32 ]
prefix=$(printf 'all these words are the same %.0s' $(seq 20))
post /v1/completions "{\"prompt\":\"$prefix one\",\"max_tokens\":8,\"temperature\":0}" | text_of >first
before=$(metric prefix_tokens_total)
post /v1/completions "{\"prompt\":\"$prefix one\",\"max_tokens\":8,\"temperature\":0}" | text_of >again
check "a prompt that was read before is not read again" [ "$(metric prefix_tokens_total)" -gt "$before" ]
check "and the text is the same" cmp first again

# ---- errors ---------------------------------------------------------------------------------------
refused() { # status, text that the error has, curl's arguments...
    local status=$1 text=$2
    shift 2
    ask -w '\n%{http_code}' "$@" >said
    cat said
    [ "$(tail -n 1 said)" = "$status" ] && grep -q '^{"error":{"message":"' said && grep -qF -- "$text" said
}
body() { refused "$1" "$2" "$url/v1/completions" --data-binary "$3"; }
check "refuses what is not JSON" body 400 'not JSON' '{"prompt":'
check "refuses bytes that are not UTF-8" body 400 "'prompt' is not Unicode" $'{"prompt":"\xff\xfe"}'
check "refuses an array" body 400 'not a JSON object' '[]'
check "refuses an empty body" body 400 'not JSON' ''
check "suggests the right name" body 400 "did you mean 'max_tokens'" '{"prompt":"a","max_token":3}'
check "refuses a wrong type" body 400 '"param":"temperature"' '{"prompt":"a","temperature":"hot"}'
check "refuses an id beyond the vocabulary" body 400 'from 0 to 263' '{"prompt":[1,264]}'
check "refuses another model" body 404 model_not_found '{"model":"gpt-4","prompt":"a"}'
check "refuses a prompt beyond the context" body 400 context_length_exceeded "{\"prompt\":\"$(printf 'x%.0s' $(seq 31000))\"}"
check "refuses to force a call of a tool" refused 400 "'tool_choice' is auto or none" "$url/v1/chat/completions" \
    -d '{"messages":[{"role":"user","content":"a"}],"tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":"required"}'
check "takes a vendor's own member and names it" grep -qi '^x-ignored-members: keep_alive' \
    <(post /v1/completions '{"prompt":"a","max_tokens":2,"keep_alive":5}' -i)
check "refuses a schema" refused 400 'json_schema is not supported' "$url/v1/chat/completions" \
    -d '{"messages":[{"role":"user","content":"a"}],"response_format":{"type":"json_schema"}}'
check "refuses pages of other servers" refused 403 "another server's pages" "$url/v1/models" -H 'Origin: https://example.org'
check "not its own" ask -f "$url/v1/models" -H "Origin: $url"
check "refuses a name that is not its own" refused 403 '--allow-host' "$url/v1/models" -H 'Host: evil.example' -H 'Origin: http://evil.example'
check "knows its paths" refused 404 'nothing at /v2' "$url/v2"
check "knows their methods" refused 405 method_not_allowed "$url/v1/completions"
head -c 5000000 /dev/zero | tr '\0' ' ' >large
check "refuses a large body" refused 413 'larger than 4194304 bytes' "$url/v1/completions" --data-binary @large
check "refuses it when its size is not told" bash -c "! curl -sSf --max-time 60 '$url/v1/completions' -H 'Transfer-Encoding: chunked' --data-binary @large 2>/dev/null"
check "refuses a large header" [ "$(ask -o /dev/null -w '%{http_code}' "$url/health" -H "X-Large: $(head -c 60000 /dev/zero | tr '\0' x)")" = 431 ]
check "survives what is not HTTP" bash -c "exec 3<>/dev/tcp/127.0.0.1/$port && printf '\\0\\1\\2 nonsense\\r\\n\\r\\n' >&3; true"
check "and is well" ask -f "$url/health"

arrives() { # file: waits until something is in it
    local tries=0
    until [ -s "$1" ]; do
        [ $((tries += 1)) -lt 600 ] || return 1
        sleep 0.05
    done
}
# ---- clients that go away, and clients that do not read --------------------------------------------
endless='"prompt":"on and on","max_tokens":29000,"ignore_eos":true'
for kind in '"stream":true' '"stream":false'; do
    ended=$(ask "$url/metrics" | awk '/jobs_total.*cancelled/ { print $2 }')
    curl -sS -N "$url/v1/completions" -d "{$endless,$kind}" >began &
    client=$!
    check "a request runs ($kind)" becomes batch_size 1
    case $kind in *true) check "its text comes while it is written" arrives began ;; esac
    kill $client
    check "its client goes, and so does its KV ($kind)" becomes kv_positions_running 0
    check "it was cancelled ($kind)" [ "$(ask "$url/metrics" | awk '/jobs_total.*cancelled/ { print $2 }')" = $((ended + 1)) ]
done
wait 2>/dev/null $client
check "SIGTERM ends it well" stop_server

check "starts with a small buffer" start_server $model --stream-buffer 20000
request="{$endless,\"stream\":true,\"logprobs\":20,\"return_tokens\":true}"
exec 3<>"/dev/tcp/127.0.0.1/$port"
printf 'POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s' ${#request} "$request" >&3
check "a client that does not read is dropped" becomes dropped_total 1
check "and frees its KV" becomes kv_positions_running 0
exec 3>&-
stop_server

# ---- limits ---------------------------------------------------------------------------------------
check "starts with a key and little room" start_server $model --api-key 'open sesame' --batch 1 --queue 1 --timeout 20 --connections 100 --read-timeout 1
check "wants the key" refused 401 'API key' "$url/v1/models"
check "the right one" refused 401 'API key' "$url/v1/models" -H 'Authorization: Bearer open sesam'
check "health needs none" ask -f "$url/health"
key=(-H 'Authorization: Bearer open sesame')
check "opens with it" grep -q tiny <(ask "$url/v1/models" "${key[@]}")
check "whatever the case of the scheme" grep -q tiny <(ask "$url/v1/models" -H 'Authorization: bearer open sesame')
metric() { ask "$url/metrics" "${key[@]}" | awk -v name="cambium_$1" '$1 == name { print $2 }'; }
curl -sS -N "$url/v1/completions" "${key[@]}" -d "{$endless,\"stream\":true}" >/dev/null &
clients=($!)
check "one runs" becomes batch_size 1
curl -sS "$url/v1/completions" "${key[@]}" -d "{$endless}" >/dev/null &
clients+=($!)
check "one waits" becomes queue_length 1
check "the next is refused" refused 503 overloaded "$url/v1/completions" "${key[@]}" -d '{"prompt":"a"}'
kill "${clients[@]}"
check "both leave" becomes queue_length 0
check "the place is free" becomes batch_size 0
stop_server
check "starts with a few connections" start_server $model --connections 100 --read-timeout 1
for i in $(seq 150); do exec {idle[i]}<>"/dev/tcp/127.0.0.1/$port"; done 2>/dev/null
tries=0
until ask -f "$url/health" >/dev/null 2>&1 || [ $((tries += 1)) -gt 100 ]; do sleep 0.1; done
check "idle connections make room for others" ask -f "$url/health"
for i in $(seq 150); do eval "exec ${idle[i]}>&-"; done
stop_server

# ---- names and pages -------------------------------------------------------------------------------
check "starts with names and origins" start_server $model --allow-host llm.example.org --allow-origin https://a.example --allow-origin https://b.example
check "answers by its other name" ask -f "$url/v1/models" -H 'Host: llm.example.org' -H 'Origin: https://llm.example.org'
check "and pages that may ask" ask -f "$url/v1/models" -H 'Origin: https://b.example'
check "behind a proxy that says who it is for" ask -f -X OPTIONS "$url/v1/completions" -H 'Origin: https://a.example' -H 'Access-Control-Request-Method: POST'
stop_server
check "refuses what is no origin" misused_with "is not an origin" "$CAMBIUM" serve tiny.h5 --port 0 --allow-origin llm.example.org
if [ -e /proc/net/if_inet6 ] && grep -q '^0*1 ' /proc/net/if_inet6; then
    check "starts on IPv6" start_server $model --host ::1
    check "and says it as browsers want it" grep -qE '^serving tiny on http://\[::1\]:[0-9]+$' serve.log
    check "which works" ask -f "http://[::1]:$port/v1/models"
    stop_server
else
    echo "skip - no IPv6 here"
fi

# ---- ranks ----------------------------------------------------------------------------------------
check "starts on ranks" start_server $model --ranks 2 --grid kvp=2,tpa=1
check "which write the same" [ "$(post /v1/completions "{$long}" | text_of)" = "$(cat want)" ]
for i in 1 2 3 4; do post /v1/completions "$(cat "body.$i")" -N >"stream.$i" & clients[i]=$!; done
wait "${clients[@]}"
same=0
for i in 1 2 3 4; do cmp -s "alone.$i" <(text_of <"stream.$i") && same=$((same + 1)); done
check "also together" [ $same = 4 ]
check "and leave well" stop_server

# ---- the end --------------------------------------------------------------------------------------
check "starts once more" start_server $model --timeout 300
curl -sS -N "$url/v1/completions" -d '{"prompt":"on and on","max_tokens":4000,"ignore_eos":true,"stream":true}' >last &
client=$!
check "a request runs" becomes batch_size 1
kill -TERM $server
wait $client
check "a signal lets it finish" grep -q 'DONE' last
wait $server
check "and the server leaves with 0" [ $? = 0 ]
check "starts again" start_server $model
curl -sS -N "$url/v1/completions" -d "{$endless,\"stream\":true}" >/dev/null 2>&1 &
client=$!
check "a request runs" becomes batch_size 1
kill -TERM $server
tries=0
until grep -q finishing serve.log || [ $((tries += 1)) -gt 200 ]; do sleep 0.05; done
kill -TERM $server
wait $server
check "a second signal ends it at once" [ $? = 143 ]
wait $client 2>/dev/null
server=
check "refuses a port that is taken" bash -c "
    . '$repository/tests/support/server.sh'; start_server tiny.h5 || exit 1
    '$CAMBIUM' serve tiny.h5 --port \$port 2>err; code=\$?; stop_server; [ \$code = 1 ] && grep -q 'choose another --port' err"
check "refuses a host that is none" fails_with "--host" "$CAMBIUM" serve tiny.h5 --host no.such.host.invalid --port 0
exit $bad
