# The report: a JSON line for each thing learnt, on standard output and in $out/report.jsonl as soon as
# it is known. Needs $out (a folder), $budget (seconds in all); what is said to people goes to stderr.
export LC_ALL=C

line() { printf '%s\n' "$1" | tee -a "$out/report.jsonl"; }
quoted() { # a text as JSON has it, in one line of plain characters
    local text=${1//\\/\\\\}
    text=${text//\"/\\\"}
    printf '"%s"' "${text//[^ -~]/ }"
}
say() { printf '%4ds  %s\n' "$SECONDS" "$*" >&2; }
left() { echo $((budget - SECONDS)); }
skipped() { # check, why
    say "$1 skipped: $2"
    line "{\"check\":\"$1\",\"skipped\":$(quoted "$2")}"
}

# One check: its name, how many seconds it may take, and a command or an exported function. What it
# prints goes to $out/NAME.log. A check that only the end of all time stops has not failed.
try() {
    local name=$1 limit=$2 start=$SECONDS status rest log=$out/$1.log
    shift 2
    rest=$(left)
    [ "$rest" -ge 5 ] || { skipped "$name" "no time left"; return 0; }
    timeout -k 5 $((limit < rest ? limit : rest)) bash -c '"$@"' try "$@" >"$log" 2>&1 </dev/null &
    wait $!
    status=$?
    if [ $status = 124 ] && [ "$rest" -lt "$limit" ]; then
        skipped "$name" "no time left after $((SECONDS - start)) s"
    elif [ $status = 0 ]; then
        say "$name ok"
        line "{\"check\":\"$name\",\"device\":\"$device\",\"ok\":true,\"seconds\":$((SECONDS - start))}"
    else
        say "$name FAILED ($([ $status = 124 ] && echo "more than $limit s" || echo "status $status"))"
        grep -aE '^(not ok|\[  FAILED)|error|Error' "$log" | tail -n 5 | cut -c1-300 | sed 's/^/         /' >&2
        line "{\"check\":\"$name\",\"device\":\"$device\",\"ok\":false,\"seconds\":$((SECONDS - start)),\"status\":$status,\"said\":$(
            quoted "$(tail -n 6 "$log" | tail -c 600)")}"
    fi
    return 0
}

# A library that left its work to Cambium's own kernels is told when it is first seen.
not_used() { # check, text
    grep -qsF "\"not_used\":$(quoted "$2")" "$out/report.jsonl" && return
    say "NOT USED: $2"
    line "{\"check\":\"$1\",\"not_used\":$(quoted "$2")}"
}
own_kernels() { # check: whether its log tells of such work
    local text
    while IFS= read -r text; do not_used "$1" "$text"; done < <(
        grep -ahE 'own kernel, because|slower kernel' "$out/$1.log" 2>/dev/null | sort -u)
}
export -f quoted
