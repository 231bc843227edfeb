#!/usr/bin/env bash
# Corpora as people have them: every verb that reads one reads the same text, and says what it left
# out.
set -u
. tests/support/flow.sh
. tests/support/two_experts.sh
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1

# JSON lines of which only two members are plain, a mark at the beginning, CR LF; then lines that
# are none. The same documents as text.
words='the quick brown fox jumps over a lazy dog and on and on until the night falls'
printf '\xef\xbb\xbf' >good.jsonl
for i in $(seq 60); do
    text="$i $words $((i * 7)) $words $((i * 11)) $words $((i * 13)) $words"
    printf '{"id":9223372036854775808%d,"score":NaN,"big":-1e999,"half":"\\ud800","deep":[[{}]],"body":"%s","meta":{"body":"%s"}}\r\n' \
        "$i" "$text" "$text" >>good.jsonl
    printf '%s\f' "$text" >>plain.txt
done
{ cat good.jsonl; echo '{"body": "cut'; echo '{"body": 7, "meta": 8}'; printf '\0\0\n'; } >bad.jsonl

sha() { "$CAMBIUM" embed --vocab-size 300 --dim 32 --json "$@" 2>err | grep -o '"sha256":"[^"]*"'; }
same_table() { [ "$(sha --corpus plain.txt)" = "$(sha "$@")" ]; }
check "embed reads the member of JSON lines" same_table --corpus good.jsonl --field body
check "embed reads a member of a member" same_table --corpus good.jsonl --field meta.body
check "embed reads it from standard input" bash -c "$(declare -f sha same_table); same_table --corpus - --field body <good.jsonl"
check "embed leaves out bad lines" same_table --corpus bad.jsonl --field body --skip-bad
check "and counts them" grep -qF "3 lines could not be read and are left out; the first: bad.jsonl:61: not JSON" err
cp good.jsonl good.json
check "JSON that is read as text is told" says "good.json is read as plain text" \
    "$CAMBIUM" embed --corpus good.json --vocab-size 300 --dim 32
check "a wrong member has a remedy" fails_with 'no member "text"; name the one that holds the text with --field' \
    "$CAMBIUM" embed --corpus good.jsonl
check "a bad line has one" fails_with 'bad.jsonl:61: not JSON (a text that does not end, at byte 10); mend or remove the line, or leave out such lines with --skip-bad' \
    "$CAMBIUM" embed --corpus bad.jsonl --field body
check "nothing but bad lines is an error" fails_with 'no text in bad.jsonl: 63 lines cannot be read; the first: bad.jsonl:1' \
    "$CAMBIUM" embed --corpus bad.jsonl --skip-bad
files() { grep -o '"file":"[^"]*"' out | tr '\n' ' '; }
"$CAMBIUM" embed --corpus - --json --vocab-size 300 --dim 32 <plain.txt >out 2>err
check "standard input is not measured when it is used up" [ -z "$(files)" ]
"$CAMBIUM" embed --corpus - --measure plain.txt --json --vocab-size 300 --dim 32 <plain.txt >out 2>err
check "but other texts are" [ "$(files)" = '"file":"plain.txt" ' ]
check "it cannot be read twice" misused_with "standard input can be read once" \
    "$CAMBIUM" embed --corpus - --measure - </dev/null

check "two experts are trained" two_experts train --layers 1 --steps 10
counts() { "$CAMBIUM" pack -t t.h5 --json -o p.pack "$@" 2>err | sed 's/.*"train"/"train"/'; }
same_pack() { [ -n "$want" ] && [ "$want" = "$(counts "$@")" ]; }
want=$(counts plain.txt)
check "pack reads the member of JSON lines" same_pack good.jsonl --field body
check "pack leaves out bad lines" same_pack bad.jsonl --field body --skip-bad
check "and counts them" bash -c '"$CAMBIUM" pack -t t.h5 --json -o p.pack --field body --skip-bad bad.jsonl 2>err | grep -q "\"skipped\":3"'
check "pack reads a file once that has two names" bash -c "$(declare -f counts same_pack); want='$want'
    ln -s plain.txt link.txt; same_pack plain.txt ./plain.txt link.txt"
check "and says so" grep -qF "is the same file as plain.txt; each file is read once (names left out: 2)" err
bits() { "$CAMBIUM" eval a/model.h5 --json --data "$@" 2>err | grep -o '"bits_per_byte":.*' | head -1; }
same_bits() { [ -n "$(bits plain.txt)" ] && [ "$(bits plain.txt)" = "$(bits "$@")" ]; }
"$CAMBIUM" eval a/model.h5 --json --data plain.txt >eval.json
check "eval reads the member of JSON lines" same_bits good.jsonl --field body
check "eval leaves out bad lines" same_bits bad.jsonl --field body --skip-bad
check "and counts them" grep -qF "3 lines could not be read and are left out" err
fitted() { "$CAMBIUM" merge a/model.h5 b/model.h5 --rule weighted -o m.h5 --json --tune-tokens 1K --tune-weights "$@" 2>err | grep -o '"loss_before".*"loss_after":[^,]*'; }
same_fit() { [ -n "$(fitted plain.txt)" ] && [ "$(fitted plain.txt)" = "$(fitted "$@")" ]; }
check "merge reads the member of JSON lines" same_fit good.jsonl --field body
mkdir folder && cp bad.jsonl folder
check "merge leaves out bad lines, of a folder, too" same_fit folder --field body --skip-bad
exit $bad
