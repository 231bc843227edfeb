# What flows with a server share: sourced after flow.sh, in a folder of its own.
# Starts `cambium serve`; sets server (process), port and url. Says why when it does not come up.
start_server() { # arguments of serve
    local tries=0
    : >serve.log
    "$CAMBIUM" serve "$@" --port 0 2>>serve.log &
    server=$!
    while ! grep -q '^serving' serve.log; do
        kill -0 $server 2>/dev/null && [ $((tries += 1)) -lt 1200 ] || { cat serve.log; return 1; }
        sleep 0.05
    done
    port=$(sed -n 's/^serving .*:\([0-9]*\)$/\1/p' serve.log)
    url=http://127.0.0.1:$port
}
stop_server() { # exit status of the server
    kill -TERM "$server" 2>/dev/null
    wait "$server"
}
ask() { curl -sS --max-time 60 "$@"; }
post() { # path, JSON, curl's options...
    local path=$1 body=$2
    shift 2
    ask "$url$path" -H 'Content-Type: application/json' -d "$body" "$@"
}
metric() { # name: its value
    ask "$url/metrics" | awk -v name="cambium_$1" '$1 == name { print $2 }'
}
becomes() { # name, value: waits until the metric has it
    local tries=0
    until [ "$(metric "$1")" = "$2" ]; do
        [ $((tries += 1)) -lt 600 ] || { echo "$1 is $(metric "$1"), not $2"; return 1; }
        sleep 0.05
    done
}
text_of() { # the texts of an answer or of a stream, joined
    sed -n 's/.*"\(text\|content\)":"\(\([^"\\]\|\\.\)*\)".*/\2/p' | tr -d '\n'
}
