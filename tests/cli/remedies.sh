#!/usr/bin/env bash
# An option that a message or a help text names exists, for every verb that can print it. Which
# verbs these are follows from the file; a text that names its verb ('cambium pack ...') is left out.
set -u
. tests/support/flow.sh
verbs_of() { # file: every one of these verbs prints its texts; "a/b": one or the other
    case $1 in
    infer/eval/eval_score.c | infer/eval/score_report.c) echo eval_score ;;
    infer/eval/eval_compare.c) echo eval_compare ;;
    */bench_*.c | infer/long_case.c) echo bench ;;
    */cmd_*.[ch]) basename "${1%.*}" | sed 's/^cmd_//' ;;
    embed/*) echo embed ;;
    merge/*) echo merge ;;
    grow/report*) ;; # colours of a style sheet look like options
    grow/*) echo grow ;;
    train/clean*) echo clean ;;
    train/pack_build.c) echo pack ;;
    train/*) echo train grow ;;
    infer/serve/*) echo serve ;;
    infer/eval/item*) echo eval/eval_compare ;;
    infer/eval/*) echo eval ;;
    infer/helix/* | core/decode/budget.c | core/model/context_extension.c | core/cli/load_model.h) echo infer eval serve ;;
    core/decode/sampler.c | core/decode/kv_cache.c) echo infer ;;
    infer/plan/plan_text.c) echo infer ;; # what the plan is for
    infer/plan/*) echo plan ;;
    infer/*) echo infer ;;
    core/io/corpus* | core/cli/corpus*) echo pack embed eval merge ;;
    core/text/chat*) echo infer serve ;;
    core/comm/*) echo train grow ;;
    core/tensor/*) echo train grow infer eval serve merge bench ;;
    core/io/*export*) echo export ;;
    core/io/checkpoint*) echo train grow infer eval serve merge export ;;
    core/io/*) echo import ;;
    core/*) echo any ;;
    esac
}
# String literals, adjacent ones joined, without those that name a verb.
texts() {
    tr '\n' ' ' <"$1" | sed 's/\([^\\]\)"[[:space:]]*"/\1/g' | grep -oE '"([^"\\]|\\.)*"' | grep -v "'cambium "
}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for verb in $("$CAMBIUM" --help | sed -n "s/^  \([a-z]*\)  .*/\1/p") eval_score eval_compare; do
    # shellcheck disable=SC2086
    "$CAMBIUM" ${verb/_/ } --help | grep -oE '^ +(-., )?--[a-z][a-z0-9-]*' | sed 's/.*--/--/' >"$folder/$verb"
done
sort -u "$folder"/* >"$folder/any"
has() { # option, verb or a/b
    local name
    for name in ${2//\// }; do
        grep -qx -e "$1" -e "--${1#--no-}" "$folder/$name" && return
    done
    return 1
}
checked=0 missing=
for file in $(find core embed train grow merge infer -name '*.[ch]' | grep -vE '^core/cli/(main|help|options)' | sort); do
    for option in $(texts "$file" | grep -oE '(^|[^-a-zA-Z0-9])--[a-z][a-z0-9-]*[a-z0-9]' | sed 's/.*--/--/' | sort -u); do
        for verb in $(verbs_of "$file"); do
            checked=$((checked + 1))
            has "$option" "$verb" || missing="$missing
# $file names $option, which $verb does not have"
        done
    done
done
echo "# $checked mentions of options"
check "options that are named exist" [ -z "$missing" ]
echo "$missing"
check "and there are some to look at" [ $checked -gt 200 ]
exit $bad
