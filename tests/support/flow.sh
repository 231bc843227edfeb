# What shell flows share; sourced from the repository's root. A flow ends with `exit $bad`.
bad=0
flow_log=$(mktemp) # what the command of a check prints: shown when it fails
check() { # what, command...: one line of the test's log
    local what=$1
    shift
    if "$@" >"$flow_log" 2>&1; then
        echo "ok - $what"
    else
        echo "not ok - $what"
        sed 's/^/# /' "$flow_log" | tail -n 20
        bad=1
    fi
    rm -f "$flow_log"
}
fails_with() { # text, command...: exit status 1 and the text in the error
    local text=$1 said status
    shift
    said=$("$@" 2>&1 >/dev/null)
    status=$?
    echo "$said"
    [ $status = 1 ] && grep -qF -- "$text" <<<"$said"
}
says() { # text, command...: it is in what the command prints
    local text=$1
    shift
    "$@" 2>&1 | grep -qF -- "$text"
}
