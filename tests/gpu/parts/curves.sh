# Training and decoding beside what the CPU made of them when the bundle was built (ready/).

train_curve() { # device, type, steps, folder: every loss is logged, and evaluations come between
    rm -rf "$4"
    ./cambium train --device "$1" --dtype "$2" --steps "$3" --layers 3 --heads 2 --batch 4 --context 256 --lr 2e-3 \
        --schedule constant --warmup 0 --log-every 1 --eval-every 5 --eval-tokens 2048 -t ready/table.h5 \
        --data ready/text.pack -o "$4" -q
}
losses() { # folder: of steps and of evaluations, in the order in which they were
    sed -nE 's/.*"event":"(train|eval)".*"loss":([0-9.e+-]+).*/\1 \2/p' "$1/metrics.jsonl"
}
near() { # file, file, lines at least, largest relative difference of a loss
    paste -d ' ' "$1" "$2" | awk -v least="$3" -v most="$4" '
        NF < 4 { next }
        { d = ($2 - $4) / $2; d = d < 0 ? -d : d; if (!(d <= worst)) worst = d; if ($1 != $3) worst = "other events"; n++ }
        END { printf "%d losses, differing by at most %.3g\n", n, worst; exit !(n >= least && worst + 0 <= most && worst != "other events") }'
}
continue_prompts() { # device, type, tokens
    ./cambium infer ready/model.h5 --device "$1" --weights "$2" --prompts ready/prompts.txt -n "$3" --temperature 0.9 \
        --seed 1 --ignore-end -q
}
curve() { # type, steps, tolerance
    train_curve "$device" "$1" "$2" "$work/curve-$1" && losses "$work/curve-$1" >"$work/losses-$1" &&
        near "ready/losses-$1" "$work/losses-$1" "$2" "$3"
}
# In float32 every token is the CPU's; in bfloat16 one that is about as probable may be drawn sooner or later.
texts() { # type
    local first
    continue_prompts "$device" "$1" 200 >"$work/texts-$1" || return
    first=$(cmp "ready/texts-$1" "$work/texts-$1" 2>&1 | sed -nE 's/.*(byte|char) ([0-9]+).*/\2/p')
    echo "the first ${first:-all} of $(stat -c %s "ready/texts-$1") bytes are the CPU's"
    [ -z "$first" ] || { [ "$1" = bfloat16 ] && [ "$first" -gt 2 ]; }
}

part_curves() {
    local type steps=50
    [ -z "$short" ] || steps=10
    export -f train_curve losses near continue_prompts curve texts
    for type in float32 bfloat16; do
        [ -z "$short" ] || [ $type = float32 ] || continue
        try curve-$type 90 curve $type $steps "$([ $type = float32 ] && echo 5e-3 || echo 3e-2)"
        try texts-$type 60 texts $type
        line "{\"beside_cpu\":\"$type\",\"is\":$(quoted "$(tail -qn 1 "$out/curve-$type.log" "$out/texts-$type.log" 2>/dev/null | paste -sd ';')")}"
        own_kernels curve-$type
        own_kernels texts-$type
    done
}
