#!/usr/bin/env bash
# A disk that fills up while a verb writes: one clear error, nothing half-written is left, what was
# there before is untouched, and a growth goes on once there is room.
set -u
# A small file system needs a mount namespace: as root, or as root of a user namespace.
if [ "${1:-}" != inside ]; then
    for flags in -m -rm; do
        unshare $flags bash -c 'mount -t tmpfs none /mnt' 2>/dev/null && exec unshare $flags bash "$0" inside
    done
    echo "skip - full disks: mounting a small file system is not permitted here"
    exit 0
fi
. tests/support/flow.sh
folder=$(mktemp -d)
small=$folder/small
trap 'umount "$small" 2>/dev/null; rm -rf "$folder"' EXIT
hf=$PWD/tests/golden/hf_llama
cd "$folder" || exit 1
mkdir "$small"
room() { mountpoint -q "$small" && umount "$small"; mount -t tmpfs -o size="$1"k none "$small"; }

for i in $(seq 60); do
    for _ in $(seq 15); do echo "Кот $i сидел на ковре, the cat $((i * 7)) sat. 第 $i 只猫。"; done
    printf '\f'
done >text.txt
"$CAMBIUM" embed --corpus text.txt --vocab-size 400 --dim 32 -o t.h5 >/dev/null 2>log &&
    "$CAMBIUM" pack -t t.h5 text.txt --validation 0.1 -o p.pack >/dev/null 2>log
run="--batch 4 --context 32 --heads 2 --dtype float32 --save-every 4 --log-every 1 -t t.h5 -q --data p.pack"
# shellcheck disable=SC2086
for seed in 1 2; do
    "$CAMBIUM" grow --stages 1+1 --tokens 1K -o whole$seed --seed $seed $run >/dev/null 2>log
done
check "files to work with" [ -s whole2/model.h5 ]

full() { # the error of a full disk alone, in $folder/said
    [ "$1" = 1 ] && [ "$(grep -c . said)" = 1 ] && grep -q ': error: .*No space left' said && return
    echo "# status $1: $(cat said)"
    return 1
}
# A verb that writes $small/out on disks too small by a page or by most of it; an older file stays.
fills() { # arguments...
    local need kib
    rm -rf out && "$CAMBIUM" "${@//@/out}" >/dev/null 2>log || { sed 's/^/# /' log; return 1; }
    need=$(du -s --apparent-size -k out | cut -f1)
    for kib in $((need - 4)) $((need / 2 + 4)) 8; do
        room "$kib"
        [ -d out ] || echo old >"$small/out"
        "$CAMBIUM" "${@//@/$small/out}" >/dev/null 2>said
        full $? || { echo "# with $kib KiB"; return 1; }
        [ -z "$(find "$small" -name '*.tmp')" ] || { echo "# left: $(find "$small")"; return 1; }
        [ -d out ] || [ "$(cat "$small/out")" = old ] || return 1
    done
}
check "embed" fills embed --corpus text.txt --vocab-size 400 --dim 32 -o @
check "a preview" fills embed t.h5 --preview @
check "pack" fills pack -t t.h5 text.txt -q -o @
check "merge" fills merge whole1/model.h5 whole2/model.h5 -o @
check "a KV snapshot" fills infer whole1/model.h5 -p 'Кот сидел на ковре' -n 2 --save-kv @
check "import" fills import "$hf" -o @
check "export of a model" fills export whole1/model.h5 -o @
check "export of a table as npy" fills export t.h5 --format npy -o @
check "export of a table as safetensors" fills export t.h5 --format safetensors -o @
check "report" fills report whole1 whole2 -o @

# Growth and training on disks of several sizes: from none for the first checkpoint to enough.
untimed() { sed -E 's/"(seconds|tokens_per_second)":[^,}]*[,}]//g' "$1/metrics.jsonl"; }
with_checkpoint=0 without=0
goes_on() { # size in KiB
    room "$1"
    # shellcheck disable=SC2086
    "$CAMBIUM" grow --stages 1+1 --tokens 1K -o "$small/run" $run >/dev/null 2>said
    full $? || return 1
    [ -z "$(find "$small" -name '*.tmp')" ] || return 1
    if [ -e "$small/run/model.h5" ]; then
        with_checkpoint=$((with_checkpoint + 1))
        "$CAMBIUM" infer "$small/run/model.h5" -p Кот -n 4 >/dev/null 2>log || return 1
    else
        without=$((without + 1))
    fi
    mount -o remount,size=100m "$small"
    # shellcheck disable=SC2086
    "$CAMBIUM" grow --stages 1+1 --tokens 1K -o "$small/run" $run --resume >/dev/null 2>log || return 1
    cmp whole1/model.h5 "$small/run/model.h5" && cmp <(untimed whole1) <(untimed "$small/run")
}
size=$(($(stat -c %s whole1/model.h5) / 1024))
for part in 2 60 100 130 160 200 230; do
    check "growth on a disk of $part % of its model goes on when there is room" goes_on $((size * part / 100))
done
check "some had a checkpoint" [ $with_checkpoint -ge 1 ]
check "and some had none" [ $without -ge 1 ]
exit $bad
