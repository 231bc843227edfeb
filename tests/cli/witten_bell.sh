#!/usr/bin/env bash
# The n-gram baseline against the same formula in awk, and its probabilities add up to one.
set -u
failed=0
check() { # what, condition...
    local what=$1
    shift
    if "$@"; then echo "ok - $what"; else
        echo "not ok - $what"
        failed=1
    fi
}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
program=$dir/witten_bell
${CC:-cc} -O1 -std=c11 -Wall -Wextra -Werror -o "$program" tests/demo/witten_bell.c -lm
check "it compiles alone" [ $? = 0 ]

# Training text a a b END: after nothing N = 4, T = 3; after "a" N = 2, T = 2 (a, b).
printf 'aab' >"$dir/train"
printf 'ab' >"$dir/held"
got=$("$program" -n 1 "$dir/train" "$dir/held" | cut -d' ' -f1)
want=$(awk 'BEGIN { u = 3 / 256; a = (2 + u) / 7; b = (1 + u) / 7; e = b
                    printf "%.4f", -(log(a) + log(b) + log(e)) / log(2) / 2 }')
check "order 1 follows the formula ($got = $want)" [ "$got" = "$want" ]
got=$("$program" -n 2 "$dir/train" "$dir/held" | cut -d' ' -f1)
want=$(awk 'BEGIN { u = 3 / 256; a = (2 + u) / 7; b = (1 + u) / 7; e = b
                    ab = (1 + 2 * b) / 4; be = (1 + 1 * e) / 2
                    printf "%.4f", -(log(a) + log(ab) + log(be)) / log(2) / 2 }')
check "order 2 follows the formula ($got = $want)" [ "$got" = "$want" ]

# Of the texts x, xx and x followed by any byte, the first two give p(x) and p(END); then the sum
# over the bytes tells whether p(byte) adds up to one. (A form feed is END.)
head -c 3000 tests/demo/witten_bell.c >"$dir/train"
printf 'x' >"$dir/x"
for i in $(seq 0 255); do
    [ "$i" = 12 ] || printf "x\\x$(printf %02x "$i")" >"$dir/x$i"
done
total=$("$program" -n 1 "$dir/train" "$dir/x" "$dir/x120" "$dir"/x[0-9]* |
    awk '{ p = 2 ^ (-$1 * $2) } NR == 1 { x_end = p } NR == 2 { x = p / x_end }
         NR > 2 { sum += p } END { printf "%.3f", sum / x_end + x_end / x }')
check "probabilities add up to one ($total)" [ "$total" = 1.000 ]

"$program" "$dir/none" "$dir/held" 2>"$dir/log"
check "a missing file is an error" [ $? = 1 ]
"$program" -n 9 "$dir/train" "$dir/held" 2>"$dir/log"
check "a wrong order is an error of usage" [ $? = 2 ]
exit $failed
