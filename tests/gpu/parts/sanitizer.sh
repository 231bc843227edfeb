# What NVIDIA's checkers say of memory and of races, in the time that is left: the smallest tests first.

find_sanitizer() {
    local place
    for place in "$(command -v compute-sanitizer)" /usr/local/cuda*/{bin,compute-sanitizer}/compute-sanitizer; do
        [ -x "$place" ] && { echo "$place"; return; }
    done
    return 1
}

part_sanitizer() {
    local tool name sanitizer
    [ "$device" = cuda ] || return 0
    sanitizer=$(find_sanitizer) || { skipped sanitizer "compute-sanitizer was not found"; return; }
    export TEST_BACKEND=cuda CMOCKA_MESSAGE_OUTPUT=STDOUT
    for tool in memcheck racecheck; do
        for name in act update decode attn sample norm head_loss quant gemm; do
            try $tool-$name 300 "$sanitizer" --tool $tool --error-exitcode 9 "./test_ops_$name"
        done
    done
}
