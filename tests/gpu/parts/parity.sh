# Every operation against its plain-C reference, the model's gradients against golden files, decoder
# and trainer: the test programs, several at a time.

part_parity() {
    local program name jobs tests=(test_*)
    jobs=$(($(nproc) / 4))
    jobs=$((jobs < 1 ? 1 : jobs > 4 ? 4 : jobs))
    export TEST_BACKEND=$device CMOCKA_MESSAGE_OUTPUT=STDOUT OMP_NUM_THREADS=$((($(nproc) + jobs - 1) / jobs))
    [ -z "$short" ] || tests=(test_model_golden test_ops_act test_ops_attn test_ops_update test_decoder)
    for program in "${tests[@]}"; do
        name=parity-${program#test_}
        [ "$program" != test_replay ] || continue # among the sequences
        while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do wait -n; done
        (trap 'kill $(jobs -p); exit' TERM && try "$name" 180 "./$program") &
    done
    wait
    unset OMP_NUM_THREADS TEST_BACKEND
    # Shapes that a library does not take are among them, so this is a figure and not a fault.
    line "{\"parity\":\"programs in which own kernels stood in for a library's\",\"count\":$(
        grep -alE 'own kernel, because|slower kernel' "$out"/parity-*.log 2>/dev/null | wc -l)}"
}
