#!/usr/bin/env bash
# `cambium embed`: tables from text and from codes, looking at them, same bytes for any number of
# threads, and clear errors.
set -u
. tests/support/flow.sh
refuses() { # part of the message, arguments...
    local part=$1 output code
    shift
    output=$("$CAMBIUM" embed "$@" 2>&1)
    code=$?
    [ "$code" = 1 ] || [ "$code" = 2 ] || return 1
    grep -qF -- "$part" <<<"$output" || { echo "# $output"; return 1; }
}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
for i in $(seq 1 200); do
    echo "А рыжий кот номер $i сидел на ковре, the cat number $i sat on the mat. 第 $i 只猫坐在垫子上。"
done >"$dir/text.txt"
small=(--corpus "$dir/text.txt" --vocab-size 900 --dim 96)

OMP_NUM_THREADS=1 "$CAMBIUM" embed "${small[@]}" -o "$dir/one.h5" --json >"$dir/one.json" 2>"$dir/log"
check "a table is built from a text" [ $? = 0 ]
OMP_NUM_THREADS=3 "$CAMBIUM" embed "${small[@]}" -o "$dir/three.h5" >/dev/null 2>&1
check "three threads write the same bytes as one" cmp -s "$dir/one.h5" "$dir/three.h5"
CAMBIUM_ISA=generic "$CAMBIUM" embed "${small[@]}" -o "$dir/generic.h5" >/dev/null 2>&1
check "plain instructions write the same bytes" cmp -s "$dir/one.h5" "$dir/generic.h5"
check "no two tokens share a row" grep -q '"same_rows":0' "$dir/one.json"
check "the text is measured" grep -q '"file":"text.txt"' "$dir/one.json"

"$CAMBIUM" embed "$dir/one.h5" --json --neighbours 'A ж _the' --preview "$dir/sheet.png" >"$dir/look.json" 2>&1
check "a table is looked at" [ $? = 0 ]
check "and has the hash it was written with" \
    grep -qF "$(grep -o '"sha256":"[0-9a-f]*"' "$dir/one.json")" "$dir/look.json"
check "the nearest of Latin A is Cyrillic А" grep -q '"token":"A","cosine":1.0},{"id":[0-9]*,"token":"А"' "$dir/look.json"
check "the sheet is a PNG file" [ "$(head -c 4 "$dir/sheet.png" | tail -c 3)" = PNG ]
check "neighbours are drawn" grep -q '⣿' <("$CAMBIUM" embed "$dir/one.h5" --neighbours 中 2>&1 ||
    "$CAMBIUM" embed "$dir/one.h5" --neighbours 猫 2>&1)
check "collisions are listed" grep -q "'A' U+0041  'А' U+0410" <("$CAMBIUM" embed "$dir/one.h5" --collisions 2>&1)

printf 'the cat \xd0\xb6 \xf0\x9f\x8e\x89\xff!\n' >"$dir/line"
check "any bytes come back through tokenize" cmp -s "$dir/line" \
    <("$CAMBIUM" tokenize "$dir/one.h5" <"$dir/line" | "$CAMBIUM" tokenize "$dir/one.h5" --decode)

"$CAMBIUM" embed --tokenizer "$dir/one.h5" --dim 64 --json >"$dir/again.json" 2>&1
check "a vocabulary is taken from a table" grep -q '"tokens":900,"dim":64' "$dir/again.json"
for kind in '--bits 16' '--bits 64' '--float 16' '--affine'; do
    # shellcheck disable=SC2086
    "$CAMBIUM" embed --recipe codes $kind --tokenizer "$dir/one.h5" -o "$dir/codes.h5" --json >"$dir/codes.json" 2>&1
    check "codes with $kind have no two rows the same" grep -q '"same_rows":0' "$dir/codes.json"
    check "codes with $kind keep their hash in the file" \
        grep -qF "$(grep -o '"sha256":"[0-9a-f]*"' "$dir/codes.json")" <("$CAMBIUM" embed "$dir/codes.h5" --json 2>&1)
done
check "the widest published table has its own width" \
    grep -q '131072 x 4096' <("$CAMBIUM" embed --dry-run --recipe bvv241-abs)
"$CAMBIUM" embed --tokenizer "$dir/one.h5" --dim 640 >"$dir/wide.txt" 2>&1
check "columns that stay zero are told" grep -qE '[0-9]+ of 640 columns are zero' "$dir/wide.txt"
check "a table too narrow to tell tokens apart is refused" refuses "take a larger --dim" \
    --tokenizer "$dir/one.h5" --dim 1
check "a dry run prints the plan" grep -q '65536 x 256' <("$CAMBIUM" embed --dry-run --dim 256)

printf 'OTTO no font' >"$dir/junk.otf"
echo "[{'lang': 5" >"$dir/bad.txt"
head -c 5000 "$dir/one.h5" >"$dir/cut.h5"
check "a broken font is refused" refuses "not a font" --font "$dir/junk.otf"
check "a missing font is refused" refuses "nowhere.ttf" --font /nowhere.ttf
check "a broken n-gram file is refused" refuses "bad.txt:1:" --recipe bvv241-2-3 --ngrams "$dir/bad.txt"
check "a published recipe without its lists is refused" refuses "--ngrams" --recipe bvv241-2-3
check "a published recipe with a corpus is refused" refuses "--corpus" --recipe bvv241-2-3 --corpus "$dir/text.txt"
check "a missing corpus is refused" refuses "nowhere.txt" --corpus /nowhere.txt
printf 'one\ntw\xf6\n' >"$dir/latin.txt"
check "a corpus that is not UTF-8 is refused" refuses "latin.txt:2: byte 0xf6 is not UTF-8" --corpus "$dir/latin.txt"
check "a corpus that is no text is named" refuses "one.h5 is an HDF5 file" --corpus "$dir/one.h5"
check "a cut table is refused" refuses "cut.h5" "$dir/cut.h5"
check "a tiny vocabulary is refused" refuses "--vocab-size" --vocab-size 10
check "codes without a kind are refused" refuses "--bits" --recipe codes
check "bits without codes are refused" refuses "--recipe codes" --bits 16
check "too many code columns are refused" refuses "--identity-code" --tokenizer "$dir/one.h5" --dim 16 --identity-code 9
check "an unknown neighbour is refused" refuses "not a token" "$dir/one.h5" --neighbours qqqq
check "an unwritable place is refused" refuses "/nonexistent" "${small[@]}" -o /nonexistent/table.h5

lists=${TEST_DATA:-}/bvv241
if [ -f "$lists/_n-gramms-2-3.txt" ] && [ "${TEST_CONF:-release}" = release ]; then
    "$CAMBIUM" embed --recipe bvv241-2-3 --ngrams "$lists/_n-gramms-2-3.txt" -o "$dir/big.h5" >"$dir/big.txt" 2>&1
    check "the published table is built" grep -q '65536 x 1024' "$dir/big.txt"
    check "with the published collisions" grep -q '1926 tokens in 756 groups look alike' "$dir/big.txt"
else
    echo "skip - the published table: $lists is absent, or this is not a release build"
fi
exit $bad
