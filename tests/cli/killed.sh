#!/usr/bin/env bash
# A growth that is killed ten times at random moments, and stopped by signals, and goes on each time
# ends with the same bytes, and the same metrics, as one that was not disturbed.
#   TEST_SEED=N repeats the moments of an earlier run (as far as the machine's pace allows);
#   KILLS=N is how many kills are wanted
set -u
. tests/support/flow.sh
folder=$(mktemp -d)
pid=
trap '[ -z "$pid" ] || kill -9 "$pid" 2>/dev/null; rm -rf "$folder"' EXIT
seed=${TEST_SEED:-$RANDOM} kills=${KILLS:-10}
echo "# TEST_SEED=$seed"
RANDOM=$seed

# Real text: books and laws where the test data are, and else what lies about here.
text=$TEST_DATA/text
for name in ru-literature zh-laws; do
    if [ -f "$text/$name.txt.xz" ]; then
        xz -dc "$text/$name.txt.xz" 2>/dev/null | head -c 200000 >"$folder/$name.txt"
    else
        cat README.md tests/*/*.sh core/*/*.h | head -c 200000 >"$folder/$name.txt"
    fi
done
cd "$folder" || exit 1
export OMP_NUM_THREADS=1 # a model this small gains nothing from more, and loses on a busy machine
cat >plan.yaml <<'END'
stages:
  - {blocks: 1, train: [newest, head], tokens: 25K, lr: 5e-3}
  - {blocks: 1, start: identity, train: [newest, head], tokens: 25K, lr: 5e-3}
  - {blocks: 0, train: [lora, head], lora: {rank: 4, alpha: 8}, tokens: 25K, lr: 2e-3}
END
iconv -c -f UTF-8 -t UTF-8 ./*.txt 2>/dev/null | tr '\n' '\f' >all.txt # one document a line
"$CAMBIUM" embed --corpus all.txt --vocab-size 1000 --dim 64 -o t.h5 -q >/dev/null 2>log &&
    "$CAMBIUM" pack -t t.h5 all.txt --validation 0.05 -o p.pack -q >/dev/null 2>log
check "a table and a pack are made" [ $? = 0 ]
grow() { # folder
    exec "$CAMBIUM" grow --plan plan.yaml -t t.h5 --data p.pack -o "$1" --resume --batch 4 \
        --context 64 --heads 2 --save-every 6 --eval-every 7 --eval-tokens 1000 --log-every 1 \
        --sample-every 9 -q
}
before=$(date +%s%N)
(grow whole) >whole.out 2>log
check "an undisturbed run" [ $? = 0 ]
pace=$((($(date +%s%N) - before) / 1000000)) # milliseconds

untimed() { sed -E 's/"(seconds|tokens_per_second)":[^,}]*[,}]//g' "$1/metrics.jsonl"; }
same_as_whole() { # folder
    "$CAMBIUM" diff whole/model.h5 "$1/model.h5" | sed 's/^/# /'
    cmp whole/model.h5 "$1/model.h5" || return 1
    diff <(untimed whole) <(untimed "$1") | head -n 20 | sed 's/^/# /'
    cmp -s <(untimed whole) <(untimed "$1")
}
pause() { sleep "$(($1 / 1000)).$(printf %03d $(($1 % 1000)))"; }

# A kill comes after a random time; every third one then waits for the next checkpoint to be begun,
# and every third one comes when a stage has just begun. A run that was faster is compared, and
# another one begun.
stages() { cat killed/metrics.jsonl 2>/dev/null | grep -c '"event":"stage"'; }
alive() { kill -0 "$pid" 2>/dev/null; }
landed=0 tries=0 in_save=0 moments=
while [ $landed -lt "$kills" ] && [ $tries -lt $((kills * 6)) ]; do
    tries=$((tries + 1))
    [ -d killed ] || echo "# a run begins"
    (grow killed) >>killed.out 2>>log &
    pid=$!
    case $((tries % 3)) in
    0) pause $((pace / 40 + RANDOM % (pace / 5 + 1))) ;;
    1)
        begun=$(stages)
        while [ "$(stages)" -le "$begun" ] && alive; do :; done
        ;;
    2)
        pause $((pace / 40 + RANDOM % (pace / 5 + 1)))
        while [ ! -e killed/model.h5.$pid-0.tmp ] && alive; do :; done
        [ $((RANDOM % 2)) = 0 ] || pause $((RANDOM % 4))
        ;;
    esac
    kill -9 $pid 2>/dev/null
    wait $pid 2>/dev/null
    status=$?
    temporary=killed/model.h5.$pid-0.tmp
    pid=
    if [ $status = 137 ]; then
        landed=$((landed + 1))
        lines=$(cat killed/metrics.jsonl 2>/dev/null | wc -l)
        [ ! -e $temporary ] || { in_save=$((in_save + 1)) lines="$lines(saving)"; }
        moments="$moments $lines"
    elif [ $status = 0 ]; then
        check "a run that was killed ends as the whole one" same_as_whole killed
        rm -r killed
    else
        tail -n 3 log | sed 's/^/# /'
        check "a run that was killed goes on" false
        break
    fi
done
echo "# killed when the metrics had$moments lines"
check "$kills kills landed" [ $landed -ge "$kills" ]
check "some of them while a checkpoint was written" [ $in_save -ge 1 ]
check "and at different moments" [ "$(tr ' ' '\n' <<<"$moments" | sort -u | wc -l)" -gt $((kills / 3)) ]
(grow killed) >>killed.out 2>>log
check "the run goes on to its end" [ $? = 0 ]
check "killed and resumed is undisturbed to the last bit" same_as_whole killed
check "no temporary file is left, nor a lock" [ -z "$(ls killed | grep -v '^\(model.h5\|metrics.jsonl\|stage[0-9]*.h5\)$')" ]

# Asked to stop, it saves, says so, and goes on later.
stopped() { # signal
    rm -rf stopped
    local wanted=$((RANDOM % 250 + 3)) said
    (grow stopped) >stopped.out 2>said &
    pid=$!
    while [ "$(cat stopped/metrics.jsonl 2>/dev/null | wc -l)" -lt $wanted ] && kill -0 $pid; do
        sleep 0.01
    done
    kill -"$1" $pid
    wait $pid
    local status=$?
    pid=
    [ $status = 130 ] && tail -n 1 said |
        grep -qE '^cambium grow: stopped after step [0-9]+ of 98; stopped/model.h5 is saved' ||
        { echo "# status $status after $wanted lines: $(cat said)"; return 1; }
    (grow stopped) >>stopped.out 2>log && same_as_whole stopped
}
check "SIGINT saves and stops, and the rest gives the same bits" stopped INT
check "SIGTERM likewise" stopped TERM
check "SIGHUP likewise, when the terminal goes away" stopped HUP
exit $bad
