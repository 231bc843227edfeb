# A server with one client, with two, and with one again: rows come and go in what is recorded. Its
# clients are the shell's own sockets, since a bare machine has nothing else.

ask() { # port, prompt, tokens: the text of the answer, as JSON has it
    local body="{\"prompt\":\"$2\",\"max_tokens\":$3,\"temperature\":0,\"ignore_eos\":true}"
    exec 3<>"/dev/tcp/127.0.0.1/$1" || return
    printf 'POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s' \
        ${#body} "$body" >&3
    sed -n 's/.*"text":"\(\([^"\\]\|\\.\)*\)".*/\1/p' <&3
}
asked_together() { # port, round: the long text goes on when the short one has ended
    ask "$1" 'static Status' 200 >"$work/long-$2" &
    local long=$!
    ask "$1" 'The model' 30 >"$work/short-$2"
    wait $long
}
one_two_one() {
    local server port= tries=0 round
    ./cambium serve ready/model.h5 --device "$device" --weights float32 --port 0 2>"$work/serve.log" &
    server=$!
    trap 'kill $server 2>/dev/null; cat "$work/serve.log"' EXIT
    until [ -n "$port" ]; do
        kill -0 $server 2>/dev/null && [ $((tries += 1)) -lt 600 ] || return 1
        sleep 0.1
        port=$(sed -n 's/^serving .*:\([0-9]*\)$/\1/p' "$work/serve.log")
    done
    ask "$port" 'static Status' 200 >"$work/long-alone"
    ask "$port" 'The model' 30 >"$work/short-alone"
    [ -s "$work/long-alone" ] && [ -s "$work/short-alone" ] || return 1
    for round in 1 2 3; do
        asked_together "$port" $round
        cmp "$work/long-alone" "$work/long-$round" && cmp "$work/short-alone" "$work/short-$round" || return 1
    done
    kill -TERM $server
    wait $server
}
