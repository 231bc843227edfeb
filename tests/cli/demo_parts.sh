#!/usr/bin/env bash
# The parts of `make demo` that need no training: its size, corpora out of packages (stand-ins for
# them, no network), and the verdict over measurements.
set -u
. tests/support/flow.sh
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# ---- size ----------------------------------------------------------------------------------------
# A machine of a given rate: what bench prints there.
sized() { # GFLOP/s: sets the sizes, and the seconds that were promised
    printf '#!/bin/sh\necho %s\n' "'{\"name\":\"train-a\",\"tokens_per_second\":1,\"gflops\":$1,\"x\":2}'" >"$dir/machine"
    chmod +x "$dir/machine"
    tests/demo/size "$dir/machine" auto >"$dir/size" 2>"$dir/why" && . "$dir/size" &&
        promised=$(sed -n 's/.*about \([0-9]*\) s of training.*/\1/p' "$dir/why")
}
check "a fast machine runs the large demo" eval 'sized 700 && [ $width = 384 ] && [ $stage_tokens = 301056 ]'
check "and no larger one when it is faster" eval 'sized 1e5 && [ $width = 384 ] && [ $stage_tokens = 301056 ]'
before=1000000000 fits=yes
for gflops in 900 500 250 130 90 60 40; do
    sized $gflops && [ $((width * stage_tokens)) -le $before ] && [ "$promised" -le 260 ] || fits="$gflops: $(cat "$dir/why")"
    before=$((width * stage_tokens))
done
check "a slower one a smaller one, in the same time" [ "$fits" = yes ] || echo "# $fits"
check "the slowest still learns something" eval 'sized 1 && [ $stage_tokens -ge 30000 ]'
check "it says what it measured" grep -q 'trains at 1 GFLOP/s' "$dir/why"
for name in large medium small tiny; do tests/demo/size /nonexistent $name; done >"$dir/named" 2>/dev/null
check "named sizes measure nothing" [ "$(sort -u "$dir/named" | wc -l)" = 4 ]
tests/demo/size /nonexistent huge >"$dir/out" 2>&1
code=$?
check "another name is refused, with those there are" eval '[ $code = 2 ] && grep -q "large, medium, small or tiny" "$dir/out"'

# ---- verdict -------------------------------------------------------------------------------------
measured() { # bayes on Chinese, bayes on mixed text
    printf '[\n'
    while read -r model data bits; do
        printf ' {\n  "model": "%s",\n  "data": "%s.eval.txt",\n  "bits_per_byte": %s,\n  "bytes": 1\n },\n' \
            "${model//_/ }" "$data" "$bits"
    done <<END
expert_0_(ru/model.h5) ru 1.0
expert_0_(ru/model.h5) zh 4.0
expert_0_(ru/model.h5) mixed 2.5
expert_1_(zh/model.h5) ru 3.0
expert_1_(zh/model.h5) zh 2.0
expert_1_(zh/model.h5) mixed 2.5
oracle_(better_expert_per_document) mixed 1.5
both.h5,_mean ru 2.0
both.h5,_bayes ru 1.005
both.h5,_bayes zh $1
both.h5,_bayes mixed $2
END
    printf ']\n'
}
echo 1.2 >"$dir/ru" && echo 2.1 >"$dir/zh"
measured 2.01 1.52 >"$dir/good.json"
measured 2.03 1.52 >"$dir/zh_worse.json"
measured 2.01 1.54 >"$dir/mixed_worse.json"
head -n 20 "$dir/good.json" >"$dir/cut.json"
tests/demo/verdict "$dir/ru" "$dir/zh" "$dir/good.json" >"$dir/out"
check "promises kept" [ $? = 0 ]
check "each with its margin" [ "$(grep -cE 'less than [0-9.]+ needed: kept by [0-9.]+ %' "$dir/out")" = 5 ]
for broken in zh_worse mixed_worse cut; do
    tests/demo/verdict "$dir/ru" "$dir/zh" "$dir/$broken.json" >"$dir/out"
    check "$broken: a promise broken" [ $? = 1 ]
done
echo 0.9 >"$dir/ru"
tests/demo/verdict "$dir/ru" "$dir/zh" "$dir/good.json" >"$dir/out"
check "an n-gram model that wins is noticed" grep -q '^NO .*Russian expert beats' "$dir/out"

# ---- corpora -------------------------------------------------------------------------------------
if ! command -v dpkg-deb >/dev/null; then
    echo "skip - corpora out of packages: no dpkg-deb here"
    exit $bad
fi
# An apt-get that makes packages: help pages in one language, or manual pages, or the book.
mkdir "$dir/bin"
cat >"$dir/bin/apt-get" <<'END'
#!/usr/bin/env bash
[ "$1" = update ] && exit 0
[ -z "${REFUSE:-}" ] || { echo "E: no network" >&2; exit 100; }
package=${!#}
share=tree/usr/share
page() { # file, language, number
    case $2 in
    ru*) echo "<p>Страница номер $3 о деле.</p><p>An English page $3.</p>" ;;
    zh*) echo "<p>第 $3 页的中文文本。</p><p>An English page $3.</p>" ;;
    *) echo "<p>An English page $3.</p>" ;;
    esac >"$1"
}
case $package in
libreoffice-help-*)
    case $package in *ru) l=ru ;; *cn) l=zh-CN ;; *) l=en-US ;; esac
    mkdir -p $share/libreoffice/help/$l/text
    for i in $(seq 1000); do page $share/libreoffice/help/$l/text/$i.html $l $i; done ;;
debian-handbook)
    for l in ru-RU zh-CN en-US; do
        mkdir -p $share/doc/debian-handbook/html/$l
        page $share/doc/debian-handbook/html/$l/book.html $l 5000
    done ;;
manpages-*)
    case $package in *ru) l=ru ;; *) l=zh_CN ;; esac
    mkdir -p $share/man/$l/man1
    { echo ".TH x 1"; page /dev/stdout $l 6000; } | sed "s,<[^>]*>,\n,g" | gzip >$share/man/$l/man1/x.1.gz ;;
esac
mkdir -p tree/DEBIAN
printf 'Package: %s\nVersion: 1\nArchitecture: all\nMaintainer: x <x@x.x>\nDescription: x\n' $package >tree/DEBIAN/control
dpkg-deb -b tree ${package}_1_all.deb >/dev/null
rm -rf tree
END
chmod +x "$dir/bin/apt-get"
PATH=$dir/bin:$PATH tests/demo/corpora "$CAMBIUM" "$dir/demo" >"$dir/out" 2>"$dir/log"
check "corpora are made" [ $? = 0 ]
check "Russian text is there" grep -q 'номер' "$dir/demo/ru.train.txt"
check "Chinese text is there" grep -q '第' "$dir/demo/zh.train.txt"
check "text of the manual is there" sh -c "cat '$dir'/demo/zh.*.txt | grep -q 6000"
check "no English among it" sh -c "! cat '$dir'/demo/ru.*.txt '$dir'/demo/zh.*.txt | grep -q English"
numbers() { tr '\f' '\n' <"$1" | grep -oE '[0-9]+' | sort -n | tr '\n' ' '; }
check "parallel pages are held out together" \
    [ "$(numbers "$dir/demo/ru.heldout.txt")" = "$(numbers "$dir/demo/zh.heldout.txt")" ]
rm -r "$dir/demo/packages/manpages-ru" && REFUSE=1 PATH=$dir/bin:$PATH \
    tests/demo/corpora "$CAMBIUM" "$dir/demo" >"$dir/out" 2>"$dir/log"
check "without network it fails" [ $? = 1 ]
check "naming the package and the remedy" grep -q 'cannot download manpages-ru' "$dir/log"
PATH=$dir/bin:$PATH tests/demo/corpora "$CAMBIUM" "$dir/demo" >"$dir/out" 2>"$dir/log"
check "a second run goes on" [ $? = 0 ]
check "and downloads only what is missing" [ "$(grep -c downloading "$dir/log")" = 1 ]
exit $bad
