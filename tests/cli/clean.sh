#!/usr/bin/env bash
# `cambium clean`: what is kept, what is dropped, parallel hold-out, bad input.
set -u
. tests/support/flow.sh
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
mkdir -p "$dir/ru/sub" "$dir/zh/sub" "$dir/en"
for i in $(seq 1 60); do
    echo "<p>Русская страница номер $i, слово.</p><p>Общий абзац.</p><p>English text</p>" >"$dir/ru/sub/page$i.html"
    echo "<p>第 $i 页的中文文本。</p><p>Same in English 一</p>" | gzip >"$dir/zh/sub/page$i.html.gz"
done
echo "<p>Подражание   оригиналу.</p>" >"$dir/ru/copy.html"
printf 'Подражание\nоригиналу.\n' >"$dir/en/copy.txt"
printf '\xff\xfe\x00' >"$dir/ru/broken.txt"
head -c 40 "$dir/zh/sub/page1.html.gz" >"$dir/cut.html.gz"

"$CAMBIUM" clean "$dir/ru" -o "$dir/ru_out" --script cyrillic --reference "$dir/en" --holdout 0.3 \
    --json >"$dir/ru.json" 2>"$dir/ru.log"
check "Russian pages are cleaned" [ $? = 0 ]
"$CAMBIUM" clean "$dir/zh" -o "$dir/zh_out" --script han --holdout 0.3 >"$dir/zh.txt" 2>&1
check "Chinese pages are cleaned" [ $? = 0 ]
check "counts are printed" grep -q '"paragraphs":181,"in_reference":1,"wrong_script":60,"duplicates":59' "$dir/ru.json"
check "a page in no known encoding is left out with a warning" grep -q 'broken.txt is left out: byte 0' "$dir/ru.log"
pages() { tr '\f' '\n' <"$1" | grep -oE "$2" | grep -oE '[0-9]+' | sort -n | tr '\n' ' '; }
ru=$(pages "$dir/ru_out.heldout.txt" 'номер [0-9]+') zh=$(pages "$dir/zh_out.heldout.txt" '第 [0-9]+')
check "the same pages are held out in both languages" [ "$ru" = "$zh" ]
check "some pages are held out and some are not" [ -n "$ru" -a "$(echo "$ru" | wc -w)" -lt 40 ]
check "a repeated paragraph is kept once" \
    [ "$(cat "$dir"/ru_out.*.txt | grep -c 'Общий абзац')" = 1 ]
check "no English is left" sh -c "! grep -q English '$dir'/ru_out.*.txt"
check "no paragraph of the reference is left" sh -c "! grep -q Подражание '$dir'/ru_out.*.txt"
documents=$(($(tr -cd '\f' <"$dir/zh_out.train.txt" | wc -c) + $(tr -cd '\f' <"$dir/zh_out.heldout.txt" | wc -c) + 2))
check "form feeds separate the documents" [ "$documents" = 60 ]

"$CAMBIUM" clean "$dir/cut.html.gz" -o "$dir/out" --script han 2>"$dir/log"
check "a truncated file fails with status 1" [ $? = 1 ]
check "and is named" grep -q 'cut.html.gz is cut off' "$dir/log"
"$CAMBIUM" clean "$dir/en" -o "$dir/out" --script han 2>"$dir/log"
check "nothing left is an error" [ $? = 1 ]
check "and leaves no file" [ -z "$(ls "$dir" | grep '^out')" ]
"$CAMBIUM" clean "$dir/none" -o "$dir/out" --script han 2>"$dir/log"
check "a missing folder is an error that names it" grep -q "$dir/none" "$dir/log"
exit $bad
