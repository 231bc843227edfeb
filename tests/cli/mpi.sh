#!/usr/bin/env bash
# Ranks that are processes: the collectives, and runs under mpirun that end with the bytes of runs
# whose ranks are threads, are resumed, stopped, killed and started wrongly.
. tests/support/flow.sh
bin=$(dirname "$CAMBIUM")
. tests/support/mpi.sh
. tests/support/processes.sh
tests=$PWD/$bin/tests/test_comm
[ "${bin#/}" = "$bin" ] || tests=$bin/tests/test_comm
for n in 2 3; do
    check "collectives of $n processes, with the bits of threads" bash -c "mpi $n '$tests'"
done

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder" || exit 1
C=$CAMBIUM
awk 'BEGIN { for (d = 0; d < 60; d++) { for (i = 0; i < 120; i++) printf "%d ", (d * 7 + i) % 97; printf "\f" } }' >a.txt
check "a table and a pack are made" bash -c "'$C' embed --corpus a.txt --vocab-size 500 --dim 32 -o t.h5 -q &&
    '$C' pack -t t.h5 a.txt --validation 0.1 -o a.pack -q"
cat >plan.yaml <<'Y'
stages:
  - {blocks: 2, train: [newest, head], tokens: 2K}
  - {blocks: 0, train: [lora, head], lora: {rank: 2, alpha: 4}, tokens: 1K}
  - {blocks: 1, start: identity, train: [newest, head], tokens: 2K}
Y
run=(--batch 6 --micro-batch 1 --context 32 --heads 2 --save-every 3 --eval-every 5 --log-every 1 -t t.h5 --data a.pack)
train=(train "${run[@]}" --layers 2 --dropout 0.1)
metrics() { sed 's/"seconds":[^,]*,//; s/,"tokens_per_second":[^}]*//; s/"bytes_predicted":[^,]*,//' "$1/metrics.jsonl"; }
equal() { cmp "$1/model.h5" "$2/model.h5" && diff <(metrics "$1") <(metrics "$2"); }
as_threads() { # ranks, name, arguments...: the same by threads and by processes
    local n=$1 name=$2
    shift 2
    "$C" "$@" --ranks "$n" -o "$name-threads" -q && (mpi "$n" "$C" "$@" -o "$name") && equal "$name-threads" "$name"
}
check "training by 3 processes is training by 3 threads" as_threads 3 trained "${train[@]}" --steps 10
check "growing by 2 processes is growing by 2 threads" as_threads 2 grown grow --plan plan.yaml "${run[@]}"
one_voice() {
    (mpi 3 "$C" "${train[@]}" --steps 2 -o voice) >out 2>err
    [ "$(wc -l <out)" = 1 ] && ! grep -v 'holds no checkpoint' err
}
check "only the first process speaks" one_voice

# ---- stopped, killed, resumed ----
begun() { # folder, pid
    until grep -qs '"step":7,' "$1/metrics.jsonl"; do kill -0 "$2" || return 1; sleep 0.05; done
}
stopped() { # signal
    rm -rf stopped
    # How many seconds Open MPI 4 gives to processes to save: it waits that long in any case, twice.
    (OMPI_MCA_odls_base_sigkill_timeout=2 mpi 2 "$C" "${train[@]}" --steps 100000 -o stopped) >said 2>&1 &
    local pid=$!
    begun stopped $pid
    kill "-$1" $pid
    wait $pid
    cat said
    grep -q "stopped/model.h5 holds it, and --resume goes on" said
}
check "SIGUSR1 at mpirun saves and stops" stopped USR1
if mpirun --version | grep -q ' 4[.]'; then
    check "and so does Ctrl-C" stopped INT
else
    echo "skip - Ctrl-C at mpirun: this one leaves no time to save"
fi
killed() {
    local pid start ranks
    (mpi 3 "$C" "${train[@]}" --steps 100000 -o killed) >said 2>&1 &
    pid=$!
    begun killed $pid
    start=$SECONDS
    ranks=$(children_of $pid)
    kill -KILL "$(tail -n 1 <<<"$ranks")"
    wait $pid && return 1
    cat said
    # shellcheck disable=SC2086
    [ $((SECONDS - start)) -le 15 ] && grep -q "process rank [0-9].* exited on signal 9" <(tr '\n' ' ' <said) && gone $ranks
}
check "a rank that is killed ends all, and is named" killed
resumed() {
    (mpi 2 timeout -s KILL 0.7 "$C" "${train[@]}" --steps 40 -o again --resume) >said 2>&1
    (mpi 2 "$C" "${train[@]}" --steps 40 -o again --resume) >said 2>&1 || { cat said; return 1; }
    "$C" "${train[@]}" --steps 40 --ranks 2 -o whole -q && equal whole again
}
check "killed and resumed it ends with the same file and metrics" resumed
handed_over() { # half by threads, half by processes
    "$C" "${train[@]}" --steps 100000 --ranks 2 -o half -q &
    begun half $!
    kill -TERM $!
    wait $!
    cp -r half on
    (mpi 2 "$C" "${train[@]}" --steps 100000 -o on --resume) >said 2>&1 &
    local pid=$! step
    step=$(sed -n 's/.*"step":\([0-9]*\).*/\1/p' half/metrics.jsonl | tail -n 1)
    until [ "$(sed -n 's/.*"step":\([0-9]*\).*/\1/p' on/metrics.jsonl | tail -n 1)" -gt "$((step + 5))" ]; do
        kill -0 $pid || { cat said; return 1; }
        sleep 0.05
    done
    kill -USR1 $pid
    wait $pid
    grep -q "on/model.h5 holds it" said
}
check "processes go on where threads stopped" handed_over

# ---- what goes wrong ----
told() { # text, ranks, command...: fails, and the text is said exactly once
    local text=$1 status
    shift
    (mpi "$@") >said 2>&1
    status=$?
    cat said
    [ $status != 0 ] && [ $status != 124 ] && [ "$(grep -cF -- "$text" said)" = 1 ]
}
check "another number of ranks is refused" told "--ranks 3, but mpirun started 2" 2 "$C" "${train[@]}" --steps 4 --ranks 3 -o x
check "threads under mpirun are refused" told "--comm threads, but mpirun started 2" 2 "$C" "${train[@]}" --steps 4 --comm threads -o x
check "a batch that cannot be shared is refused" told "cannot be shared by 4 ranks" 4 "$C" "${train[@]}" --steps 4 -o x
check "a folder that holds a run is refused" told "holds a run already" 2 "$C" "${train[@]}" --steps 4 -o trained
check "NCCL wants GPUs" told "NCCL joins GPUs" 2 "$C" "${train[@]}" --steps 4 --comm nccl --device cpu -o x
second_lacks_a_pack='[ "$OMPI_COMM_WORLD_RANK" = 0 ] || set -- "$@" --data missing.pack; exec "$@"'
check "what fails in one process is told with its name" told "error: rank 1 of 2" \
    2 bash -c "$second_lacks_a_pack" _ "$C" "${train[@]}" --steps 4 -o y
check "a loss that is not finite ends all" told "is not finite" 2 "$C" "${train[@]}" --steps 400 --lr 999 --warmup 0 --clip 0 -o nan
vanished() { # the folder vanishes under the first process
    (mpi 2 "$C" "${train[@]}" --steps 100000 -o gone) >said 2>&1 &
    local pid=$!
    begun gone $pid
    mv gone elsewhere
    wait $pid && return 1
    cat said
    [ "$(grep -c "error: rank 0 of 2" said)" = 1 ]
}
check "a checkpoint that cannot be written ends all" vanished
check "without mpirun --comm mpi is one rank" misused_with "--ranks 2, but mpirun started 1" \
    "$C" "${train[@]}" --steps 4 --comm mpi --ranks 2 -o x
exit $bad
