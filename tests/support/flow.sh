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
ends_with() { # exit status, text, command...: both are what is said
    local wanted=$1 text=$2 said status
    shift 2
    said=$("$@" 2>&1 >/dev/null)
    status=$?
    echo "$said (exit status $status)"
    [ $status = "$wanted" ] && grep -qF -- "$text" <<<"$said"
}
fails_with() { # text, command...: the work failed
    ends_with 1 "$@"
}
misused_with() { # text, command...: what was typed is wrong
    ends_with 2 "$@"
}
says() { # text, command...: it is in what the command prints
    local text=$1
    shift
    "$@" 2>&1 | grep -qF -- "$text"
}
# A small frozen table, made with the program `$C` of corpora; where no font is, FLOW_TABLE names a ready one.
flow_table() { # file, embed's options...
    local table=$1
    shift
    if [ -n "${FLOW_TABLE:-}" ]; then cp "$FLOW_TABLE" "$table"; else "$C" embed "$@" -o "$table" -q; fi
}
