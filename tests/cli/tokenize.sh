#!/usr/bin/env bash
# `cambium tokenize`: lines to ids and back, in order for any number of threads, and clear errors.
set -u
. tests/support/flow.sh
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cat >"$dir/t.json" <<'JSON'
{"added_tokens": [{"id": 259, "content": "<s>", "special": true}],
 "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "use_regex": true},
 "model": {"type": "BPE", "merges": ["a b", "Ġ ab"], "vocab": {
JSON
letters=$(for i in $(seq 0 255); do
    c=$i
    if [ "$i" -lt 33 ]; then c=$((256 + i)); elif [ "$i" -gt 126 ] && [ "$i" -lt 161 ]; then
        c=$((289 + i - 127)); elif [ "$i" = 173 ]; then c=323; fi
    printf '"\\u%04x": %d, ' "$c" "$i"
done)
echo "$letters \"ab\": 256, \"Ġab\": 257}}}" >>"$dir/t.json"
tok() { "$CAMBIUM" tokenize "$dir/t.json" "$@"; }

printf 'ab ab\n\nx<s>\xff' >"$dir/in"
printf '[256,257]\n[]\n[120,60,115,62,255]\n' >"$dir/want"
check "lines become arrays of ids" cmp -s "$dir/want" <(tok <"$dir/in")
check "the last line needs no line feed back" cmp -s <(cat "$dir/in"; echo) <(tok <"$dir/in" | tok --decode)
check "names of specials become ids when asked" [ "$(echo 'x<s>' | tok --specials)" = '[120,259]' ]
check "specials are shown when asked" [ "$(echo '[120, 259 ]' | tok -d --specials)" = 'x<s>' ]
check "specials are hidden else" [ "$(echo '[120,259]' | tok -d)" = x ]
check "no input gives no output" [ -z "$(tok </dev/null)" ]

for i in $(seq 1 30000); do echo "line $i ab ab $((i * 7919)) ж 中"; done >"$dir/many"
OMP_NUM_THREADS=1 tok <"$dir/many" >"$dir/one"
OMP_NUM_THREADS=4 tok <"$dir/many" >"$dir/four"
check "four threads print what one prints" cmp -s "$dir/one" "$dir/four"
check "and all of it comes back" cmp -s "$dir/many" <(tok -d <"$dir/four")
head -c 3000000 /dev/zero | tr '\0' a >"$dir/long"
check "a line of three megabytes comes back" cmp -s <(cat "$dir/long"; echo) <(tok <"$dir/long" | tok -d)
answers=$({ echo ab; sleep 0.3; echo x; } | tok | { read -r a; echo "$a"; cat; })
check "each line is answered as it comes" [ "$answers" = $'[256]\n[120]' ]

refuses() { # part of the message, input, arguments...
    local part=$1 input=$2 output code
    shift 2
    output=$(printf '%b' "$input" | "$CAMBIUM" tokenize "$@" 2>&1 >/dev/null)
    code=$?
    [ "$code" = 1 ] && grep -qF -- "$part" <<<"$output" || { echo "# $code $output"; return 1; }
}
check "an id outside the vocabulary is refused" refuses "line 2 is not" '[1]\n[260]\n' "$dir/t.json" -d
for wrong in '1' '[1' '[1,]' '[1 2]' '[-1]' '[a]' '[1]x' '[99999999999999999999]' '' '[1.5]'; do
    check "'$wrong' is no array of ids" refuses "line 1 is not" "$wrong\n" "$dir/t.json" -d
done
check "an absent file is named" refuses "none.json" '' "$dir/none.json"
echo '{"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false},"model":{"type":"BPE","vocab":{"A":0,"b":1,"\u0120":2},"merges":[]}}' \
    >"$dir/few.json"
printf 'Ab\303\244 zA b\n' >"$dir/lost"
check "characters without a token are left out" [ "$("$CAMBIUM" tokenize "$dir/few.json" <"$dir/lost" 2>"$dir/told")" = '[0,1,2,0,2,1]' ]
check "which is said" grep -qF "bytes C3" "$dir/told"
check "once" [ "$(wc -l <"$dir/told")" = 1 ]
echo '{"model":{"type":"Unigram"}}' >"$dir/u.json"
check "an unsupported model is named" refuses "Unigram" '' "$dir/u.json"
echo 'not a table' >"$dir/t.h5"
check "a file that is no table is refused" refuses "t.h5" '' "$dir/t.h5"
exit $bad
