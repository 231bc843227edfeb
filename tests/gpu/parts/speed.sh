# How fast: each figure of `cambium bench` beside its ceiling, and PyTorch beside training where a
# Python with it is here.

has_torch() { LD_LIBRARY_PATH=$user_path timeout 60 "$python" -c 'import torch, sys; sys.exit(not torch.cuda.is_available())' 2>/dev/null; }
peer() { LD_LIBRARY_PATH=$user_path "$python" tests/gpu/peer_torch.py "$@"; }

measure() { # measurement, seconds that it lasts
    try "bench-$1" 60 ./cambium bench "$1" --device "$device" --seconds "$2" --json
    results "bench-$1"
    own_kernels "bench-$1"
}
results() { # check: its figures go to the report
    local figures
    figures=$(grep -a '^{' "$out/$1.log" 2>/dev/null) || return 0
    line "$figures"
}

part_speed() {
    local name torch=
    [ "$device" = cuda ] || { measure products 0.5 && measure bandwidth 0.5; return; }
    export -f peer
    for name in products bandwidth attn-8-1m attn-1-1m attn-8-128k attn-1-128k decode decode-int8 prompt train-124m \
        train-350m grow-1024; do
        measure $name 2
        case $name in train-124m | train-350m)
            [ "$(left)" -ge 30 ] || continue
            [ -n "$torch" ] || torch=$(has_torch && echo yes || echo no)
            if [ "$torch" = yes ]; then
                try "peer-$name" 120 peer "${name#train-}" 3
                results "peer-$name"
            else
                skipped "peer-$name" "no PyTorch that sees the GPU ($python; PEER_PYTHON names another)"
            fi
            ;;
        esac
    done
    awk -f tests/gpu/table.awk "$out/report.jsonl" | tee "$out/table.txt" >&2
}
