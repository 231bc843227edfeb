#!/usr/bin/env bash
# The program's manners: help, versions, wrong usage, exit statuses.
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
. tests/support/flow.sh
status_is() { # status, command...
    local want=$1
    shift
    "$@" >/dev/null 2>&1
    [ $? = "$want" ]
}
check "prints its version" says "cambium 0." "$CAMBIUM" --version
check "no verb is wrong usage" status_is 2 "$CAMBIUM"
check "an unknown verb is wrong usage" status_is 2 "$CAMBIUM" emebd
check "suggests the nearest verb" says "did you mean 'embed'" "$CAMBIUM" emebd
check "suggests the nearest option" says "did you mean --devices" "$CAMBIUM" info --devcies
check "an unknown option is wrong usage" status_is 2 "$CAMBIUM" info --devcies
check "every verb explains itself" bash -c '
    verbs=$("$CAMBIUM" --help | sed -n "s/^  \([a-z]*\)  .*/\1/p")
    [ -n "$verbs" ] || exit 1
    for v in $verbs; do "$CAMBIUM" $v --help | grep -q "^Usage: cambium $v" || { echo "# $v"; exit 1; }; done'
check "help gives examples and keeps to 100 columns" bash -c '
    for v in $("$CAMBIUM" --help | sed -n "s/^  \([a-z]*\)  .*/\1/p"); do
        "$CAMBIUM" $v --help | LC_ALL=C awk -v v=$v "{ text = \$0; gsub(/[\200-\277]/, \"\", text) }
            length(text) > 100 { print \"# \" v \": \" \$0; bad = 1 }
            /^  cambium / && \$2 == v { found = 1 } END { exit bad || !found }" || exit 1; done'
misuses() { # verb and options whose values are wrong
    "$CAMBIUM" "$@" >/dev/null 2>"$folder/said"
    [ $? = 2 ] && [ "$(grep -c "^cambium .*: error: " "$folder/said")" = 1 ] && return
    echo "# $*: $(cat "$folder/said")"
    return 1
}
check "wrong values end with status 2, whatever the verb" bash -c "$(declare -f misuses); folder='$folder'
    misuses bench attn-1-128k --seconds 0 && misuses bench nonsense && misuses clean x --script han -o y --share 2 &&
        misuses clean x -o y && misuses embed --side 3 && misuses embed --bits -1 && misuses embed --recipe codes && misuses embed x.h5 -o y.h5 &&
        misuses embed --vocab-size 3 && misuses eval m.h5 --limit -1 && misuses eval m.h5 --tasks nonsense &&
        misuses eval m.h5 --rules best --data x && misuses eval m.h5 && misuses eval score --resamples 0 &&
        misuses eval compare a b --resamples 0 && misuses export m.h5 && misuses export m.h5 -o x --dtype q8_0 &&
        misuses grow && misuses grow --stages x && misuses grow --stages 1 --train tail && misuses grow --stages 1 --lr -1 &&
        misuses import x && misuses infer m.h5 -p x --temperature -1 && misuses infer m.h5 -p x --max-tokens 0 &&
        misuses infer m.h5 -p x --grid kvp=2 --ranks 0 &&
        misuses infer m.h5 -p x --device tpu && misuses merge a b && misuses merge a b -o c --forget 2 &&
        misuses merge a b -o c --rule adapter && misuses pack x && misuses pack x -t t -o y --validation 2 &&
        misuses plan && misuses plan --model llama-8b --hardware h300 && misuses serve m.h5 --port 99999 &&
        misuses train --steps 1 && misuses train --batch 0 --steps 1 --data x -t y && misuses train --tokens -1 --steps 1 -o x && misuses train --tokens 1 --steps 1"
out_of_range() { # verb, then option=value...: each is refused by its name
    local verb=$1 option
    shift
    for option in "$@"; do
        misuses $verb --$option && grep -q -- "error: --${option%%=*} " "$folder/said" || { echo "# $verb $option"; cat "$folder/said"; return 1; }
    done
}
check "numbers have ranges" bash -c "$(declare -f misuses out_of_range); folder='$folder'
    out_of_range train weight-decay=-0.1 weight-decay=nan weight-decay=1e300 clip=-1 clip=inf lr-floor=-1 lr-floor=1.5 embed-scale=-2 embed-scale=1e300 &&
        out_of_range grow lora-rank=0 lora-rank=9e18 lora-alpha=-1 lora-alpha=0 weight-decay=-1 clip=-0.5 &&
        out_of_range 'infer m.h5' temperature=1e300 temperature=nan repetition-penalty=0 repetition-penalty=1e300 &&
        out_of_range 'eval m.h5' shots=-2 depths=0 samples=-5 && out_of_range embed corpus-bytes=-1 vocab-size=-1 identity-code=-2 &&
        out_of_range 'diff a b' tolerance=-1 && out_of_range 'bench x' seconds=-1"
printf 'weight-decay: -3\n' >"$folder/settings.yaml"
check "in a config file, too" misused_with "--weight-decay is between 0 and 1000, not -3" "$CAMBIUM" train --config "$folder/settings.yaml"
check "help says what weight decay leaves out" says "LoRA" "$CAMBIUM" train --help
check "a file that is not there is no wrong usage" fails_with "cannot open" "$CAMBIUM" inspect "$folder/none"
check "a full disk behind stdout is a failure" bash -c '"$CAMBIUM" info >/dev/full 2>/dev/null; [ $? = 1 ]'
check "numbers that would overflow are refused" bash -c '
    printf "%0.sa b c d e " $(seq 300) >"$0/text"
    "$CAMBIUM" embed --corpus "$0/text" --vocab-size 300 --dim 16 -o "$0/t.h5" >/dev/null 2>&1 &&
        "$CAMBIUM" pack -t "$0/t.h5" "$0/text" -o "$0/p" >/dev/null 2>&1 || exit 1
    for option in --threads=4294967296 --threads=-1 --batch=9223372036854775807 --batch=0 --ranks=0 \
        --micro-batch=9223372036854775807 --tokens=9223372036854775807 --save-every=-1; do
        "$CAMBIUM" grow --stages 1 -t "$0/t.h5" --data "$0/p" --heads 2 --dry-run $option 2>"$0/said" >&2
        case $? in 1 | 2) grep -q ": error: .*${option%=*}" "$0/said" || grep -q "error: .*tokens" "$0/said" ;; *) false ;; esac ||
            { echo "# $option: $(cat "$0/said")"; exit 1; }
    done' "$folder"
exit $bad
