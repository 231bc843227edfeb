# The table of tests/gpu/run, from lines of flat JSON: each figure beside its ceiling or peer.
function value(line, key) {
    if (!match(line, "\"" key "\": ?[^,}]*")) return ""
    line = substr(line, RSTART, RLENGTH)
    sub(/^[^:]*: ?/, "", line)
    gsub(/"/, "", line)
    return line
}
function row(what, figure, unit, beside, ratio, promise, least,    kept) {
    kept = (least ? ratio >= promise : ratio <= promise) ? "yes" : "NO"
    printf "%-32s %12.5g %-9s %-40s %7.3f  %s %-5s %s\n", what, figure, unit, beside, ratio,
        least ? ">=" : "<=", promise, kept
}
{
    name = value($0, "name")
    if (name == "") name = "peer " value($0, "bench")
    line_of[name] = $0
}
function train(name, share,    line, peer) {
    line = line_of["train-" name]
    if (line == "") return
    row("train " name ", bfloat16", value(line, "gflops") / 1000, "TFLOP/s",
        sprintf("products %.0f TFLOP/s", value(line, "product_gflops") / 1000),
        value(line, "share_of_products"), share, 1)
    row("  memory", value(line, "peak_bytes") / 1e9, "GB",
        sprintf("--dry-run says %.2f GB", value(line, "planned_bytes") / 1e9),
        value(line, "peak_bytes") / value(line, "planned_bytes"), 1.1, 0)
    peer = value(line_of["peer train-" name], "tokens_per_second")
    if (peer == "") { printf "%-32s %12.5g %-9s no PyTorch here\n", "  tokens", value(line, "tokens_per_second"), "tokens/s"; return }
    row("  tokens", value(line, "tokens_per_second"), "tokens/s", sprintf("PyTorch %.0f tokens/s", peer),
        value(line, "tokens_per_second") / peer, 1.3, 1)
}
function attention(name,    line) {
    line = line_of[name]
    if (line == "") return
    row("decode attention " substr(name, 6), value(line, "gb_per_second"), "GB/s",
        sprintf("copying %.0f GB/s", value(line, "copy_gb_per_second")), value(line, "share_of_copy"), 0.85, 1)
}
function decode(name, promise,    line) {
    line = line_of[name]
    if (line == "") return
    row(name ", 1 B parameters, batch 1", value(line, "tokens_per_second"), "tokens/s",
        sprintf("reading %.0f GB/s", value(line, "read_gb_per_second")), value(line, "share_of_bandwidth"), promise, 1)
}
END {
    train("124m", 0.55)
    train("350m", 0.60)
    line = line_of["grow-1024"]
    if (line != "")
        row("growth stage, 3 on 6 frozen", value(line, "tokens_per_second"), "tokens/s",
            "time / what its FLOPs predict", value(line, "time_over_predicted"), 1.1, 0)
    attention("attn-8-128k"); attention("attn-8-1m"); attention("attn-1-128k"); attention("attn-1-1m")
    decode("decode", 0.8)
    decode("decode-int8", 0.8)
}
