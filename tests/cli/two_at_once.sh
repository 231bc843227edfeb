#!/usr/bin/env bash
# Two processes that write to the same place: one run in a folder, and no file that is a mixture.
folder=$(mktemp -d)
trap 'kill $child 2>/dev/null; rm -rf "$folder"' EXIT
. tests/support/flow.sh
cd "$folder" || exit 1
C=$CAMBIUM
child=

awk 'BEGIN { for (d = 0; d < 60; d++) { for (i = 0; i < 120; i++) printf "%d ", (d * 7 + i) % 97; printf "\f" } }' >a.txt
"$C" embed --corpus a.txt --vocab-size 300 --dim 32 -o t.h5 -q >/dev/null
"$C" pack -t t.h5 a.txt -o a.pack -q >/dev/null
run=(-t t.h5 --data a.pack --heads 2 --context 32 --batch 4 --layers 1 --save-every 1 --log-every 1 -q)

# ---- one run in a folder ----
"$C" train "${run[@]}" --steps 100000 -o r >/dev/null 2>first &
child=$!
while [ ! -e r/model.h5 ] && kill -0 $child 2>/dev/null; do sleep 0.01; done
told="another process (pid $child, $(hostname)) trains in r"
check "a run that is resumed while it runs is told who runs it" fails_with "$told" "$C" train "${run[@]}" --steps 100000 -o r --resume
check "also by another verb" fails_with "$told" "$C" grow "${run[@]:0:2}" --data a.pack --heads 2 --stages 1 -o r/../r --resume
check "and a new one" fails_with "another process (pid $child, $(hostname)) trains in $PWD/r" "$C" train "${run[@]}" --steps 5 -o "$PWD/r"
ln -s r link
check "by a link, too" fails_with "trains in link" "$C" train "${run[@]}" --steps 5 -o link
check "what only reads is free to" "$C" inspect r/model.h5 --verify
lines=$(wc -l <r/metrics.jsonl)
sleep 0.2
check "and the run was not disturbed" [ "$(wc -l <r/metrics.jsonl)" -gt "$lines" ]
if [ "$TEST_CONF" = tsan ]; then
    echo "skip - a lock under mpirun: Open MPI is not built for the thread sanitizer"
elif command -v mpirun >/dev/null && [ -e "$(dirname "$C")/cambium_mpi.so" ]; then
    # Open MPI keeps what it allocates.
    check "processes under mpirun hear of it together" fails_with "trains in r" \
        env ASAN_OPTIONS="${ASAN_OPTIONS:-}:detect_leaks=0" mpirun --allow-run-as-root --oversubscribe -n 2 "$C" train "${run[@]}" --steps 5 -o r --resume
else
    echo "skip - a lock under mpirun: no mpirun, or no plug-in"
fi
kill -KILL $child
wait $child 2>/dev/null
"$C" train "${run[@]}" --steps 100000 -o r --resume >/dev/null 2>&1 &
child=$!
sleep 0.5
kill -INT $child
wait $child
check "a killed run leaves no lock" [ $? = 130 ]
child=
check "a stopped one leaves no file" [ "$(ls r | tr '\n' ' ')" = "metrics.jsonl model.h5 " ]
in_order() { sed -n 's/.*"event":"train","step":\([0-9]*\).*/\1/p' r/metrics.jsonl >steps && seq "$(wc -l <steps)" | cmp - steps; }
check "and the metrics have every step once, in order" in_order

# ---- two new runs at once ----
one_of_two() {
    local a b
    "$C" train "${run[@]}" --steps 60 -o two >/dev/null 2>one &
    a=$!
    "$C" train "${run[@]}" --steps 60 -o two >/dev/null 2>other &
    b=$!
    wait $a
    a=$?
    wait $b
    b=$?
    cat one other
    [ $((a + b)) = 1 ] && grep -q 'trains in two\|holds a run already' one other &&
        [ "$(grep -c '"event":"train"' two/metrics.jsonl)" = 60 ]
}
check "of two new runs one goes on" one_of_two

# ---- two writers of one file ----
"$C" train "${run[@]}" --steps 2 -o m >/dev/null
same() { # output, command...: it is the same whether one or many write it
    local out=$1 fine=0 writers=() i
    shift
    rm -rf "$out"
    "$@" >/dev/null || return 1
    cp -r "$out" alone
    for i in 1 2 3; do
        "$@" >/dev/null &
        writers+=($!)
    done
    for i in "${writers[@]}"; do wait "$i" || fine=1; done
    diff -r alone "$out" || fine=1
    rm -rf alone
    [ $fine = 0 ] && ! compgen -G '*.tmp*'
}
for i in 1 2 3 4 5 6 7 8 9 10; do cat a.txt; done >many.txt
check "packs" same many.pack "$C" pack -t t.h5 many.txt -o many.pack -q
check "tables" same u.h5 "$C" embed --corpus a.txt --vocab-size 300 --dim 32 -o u.h5 -q
check "merged models" same both.h5 "$C" merge m/model.h5 m/model.h5 -o both.h5 -q
check "exported folders" same hf "$C" export m/model.h5 -o hf -q
check "tables for NumPy" same t.npy "$C" export t.h5 --format npy -o t.npy -q
check "results" same r.json "$C" eval m/model.h5 --tasks bpb --data a.txt -o r.json -q
check "saved KV caches" same kv "$C" infer m/model.h5 -p '1 2 3' -n 1 --save-kv kv -q
exit $bad
