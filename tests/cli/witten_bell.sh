#!/usr/bin/env bash
# The n-gram baseline against the same formula in awk, and its probabilities add up to one.
set -u
. tests/support/flow.sh
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
program=$dir/witten_bell
${CC:-cc} -O1 -std=c11 -Wall -Wextra -Werror -o "$program" tests/demo/witten_bell.c -lm
check "it compiles alone" [ $? = 0 ]

# Training text a a b END: after nothing N = 4, T = 3; after "a" N = 2, T = 2 (a, b).
printf 'aab' >"$dir/train"
printf 'ab' >"$dir/held"
got=$("$program" -n 1 "$dir/train" "$dir/held" | cut -d' ' -f1)
want=$(awk 'BEGIN { u = 3 / 256; a = (2 + u) / 7; b = (1 + u) / 7
                    printf "%.4f", -(log(a) + log(b)) / log(2) / 2 }')
check "order 1 follows the formula ($got = $want)" [ "$got" = "$want" ]
got=$("$program" -n 2 "$dir/train" "$dir/held" | cut -d' ' -f1)
want=$(awk 'BEGIN { u = 3 / 256; a = (2 + u) / 7; b = (1 + u) / 7; ab = (1 + 2 * b) / 4
                    printf "%.4f", -(log(a) + log(ab)) / log(2) / 2 }')
check "order 2 follows the formula ($got = $want)" [ "$got" = "$want" ]

# One text for each byte but the form feed; what is left to one is p(END), which is known.
head -c 3000 tests/demo/witten_bell.c >"$dir/train"
for i in $(seq 0 255); do
    [ "$i" = 12 ] || printf "\\x$(printf %02x "$i")" >"$dir/x$i"
done
kinds=$(od -An -v -tu1 -w1 "$dir/train" | sort -u | wc -l)
total=$("$program" -n 1 "$dir/train" "$dir"/x[0-9]* |
    awk -v t=$((kinds + 1)) '{ sum += 2 ^ -$1 } END { printf "%.3f", sum + (1 + t / 256) / (3001 + t) }')
check "probabilities add up to one ($total)" [ "$total" = 1.000 ]

"$program" "$dir/none" "$dir/held" 2>"$dir/log"
check "a missing file is an error" [ $? = 1 ]
"$program" -n 9 "$dir/train" "$dir/held" 2>"$dir/log"
check "a wrong order is an error of usage" [ $? = 2 ]
exit $bad
