# The table of tests/bench/run, from lines of flat JSON: medians, and each promise with its limit.

function value(line, key,    at) {
    if (!match(line, "\"" key "\": ?[^,}]*")) return ""
    line = substr(line, RSTART, RLENGTH)
    sub(/^[^:]*: ?/, "", line)
    gsub(/"/, "", line)
    return line
}

# The median of `key` over all lines of a measurement; "" when there is none.
function median(name, key,    list, n, i, j, swap, text, k) {
    n = 0
    for (i = 1; i <= lines[name]; i++) {
        text = value(line_of[name, i], key)
        if (text != "") list[++n] = text + 0
    }
    for (i = 2; i <= n; i++)
        for (j = i; j > 1 && list[j - 1] > list[j]; j--) {
            swap = list[j]; list[j] = list[j - 1]; list[j - 1] = swap
        }
    return n == 0 ? "" : list[int((n + 1) / 2)]
}

# One row: what, a figure with its unit, what it is compared with, the ratio and its promise.
function row(what, figure, unit, against, ratio, promise, least,    kept, limit) {
    if (figure == "") return
    if (ratio != "") kept = (least ? ratio >= promise : ratio <= promise) ? "yes" : "NO"
    if (kept == "NO") missed++
    limit = kept == "" ? "" : sprintf("%s %.4g", least ? ">=" : "<=", promise)
    if (kept != "") ratio = sprintf("%.3f", ratio)
    printf "%-38s %12s %-9s %-34s %8s %9s %4s\n", what, sprintf("%.4g", figure), unit, against,
        ratio, limit, kept
}

function train(model, type, promise, memory,    own, peer, beside, ratio) {
    own = median("train-" model " " type, "tokens_per_second")
    peer = median("peer train-" model " " type, "tokens_per_second")
    if (own == "") return
    beside = "no PyTorch here"
    ratio = ""
    if (peer != "") {
        beside = sprintf("PyTorch %.0f tokens/s, %.2f GB", peer,
            median("peer train-" model " " type, "peak_bytes") / 1e9)
        ratio = own / peer
    }
    row("train " model ", " type, own, "tokens/s", beside, ratio, promise, 1)
    row("  share of the product rate", median("train-" model " " type, "gflops"), "GFLOP/s",
        sprintf("products %.0f GFLOP/s", median("train-" model " " type, "product_gflops")), "", 0, 1)
    if (memory)
        row("  peak memory", median("train-" model " " type, "peak_bytes") / 1e9, "GB", "",
            median("train-" model " " type, "peak_bytes") / 1e9, memory, 0)
}

function rate(script, type,    own) {
    own = median("tokenize " type, script "_mb_per_second")
    row("tokenize " script " text, one core", own, "MB/s", "", own, 20, 1)
}

# A step of ranks and its memory, over what the planner predicts: within 10 % either way.
function planned(type, name, what,    seconds, bytes) {
    seconds = median("plan " type, name "_seconds_ratio")
    bytes = median("plan " type, name "_bytes_ratio")
    if (seconds == "") return
    row("plan: " what, median("plan " type, name "_measured_seconds") * 1e3, "ms/step",
        sprintf("predicted %.4g ms", median("plan " type, name "_predicted_seconds") * 1e3),
        seconds < 1 ? 1 / seconds : seconds, 1.1, 0)
    row("  memory", median("plan " type, name "_measured_bytes") / 1e9, "GB",
        sprintf("predicted %.4g GB", median("plan " type, name "_predicted_bytes") / 1e9),
        bytes < 1 ? 1 / bytes : bytes, 1.1, 0)
}

{
    name = value($0, "name") " " value($0, "dtype")
    if (value($0, "name") == "") name = "peer " value($0, "bench") name
    line_of[name, ++lines[name]] = $0
    types[value($0, "dtype")]
}

END {
    printf "%-38s %12s %-9s %-34s %8s %9s %4s\n", "", "figure", "", "beside", "ratio", "promise", "kept"
    train("a", "bfloat16", 1.3, 0.45)
    train("b", "bfloat16", 1.3, 1.6)
    train("a", "float32", 1.15, 0)
    train("b", "float32", 1.15, 0)
    for (type in types) {
        rate("latin", type)
        rate("cyrillic", type)
        rate("han", type)
        row("embed, 65,536 tokens to 1,024 columns", median("embed " type, "whole_seconds"), "s", "",
            median("embed " type, "whole_seconds"), 3, 0)
        row("  peak memory", median("embed " type, "peak_gb"), "GB", "",
            median("embed " type, "peak_gb"), 1.2, 0)
        row("growth stage of b", median("grow-b " type, "tokens_per_second"), "tokens/s",
            "time / what its FLOPs predict", median("grow-b " type, "time_over_predicted"), 1.1, 0)
        row("  with a cached prefix", median("grow-b " type, "cached_tokens_per_second"), "tokens/s",
            "time / what its FLOPs predict", median("grow-b " type, "cached_time_over_predicted"), 1.1, 0)
        row("time of frozen, cached blocks", median("grow-scaling " type, "frozen_block_share"), "",
            "of a training block's time", median("grow-scaling " type, "frozen_block_share"), 0.02, 0)
        row("time of each further training block", median("grow-scaling " type, "further_block_ratio"), "",
            "over that of the first ones", median("grow-scaling " type, "further_block_ratio"), 1.1, 0)
        row("decode", median("decode " type, "tokens_per_second"), "tokens/s",
            sprintf("memory %.1f GB/s", median("decode " type, "read_gb_per_second")),
            median("decode " type, "share_of_bandwidth"), 0.85, 1)
        row("decode, int8 weights", median("decode-int8 " type, "tokens_per_second"), "tokens/s",
            sprintf("memory %.1f GB/s", median("decode-int8 " type, "read_gb_per_second")),
            median("decode-int8 " type, "share_of_bandwidth"), 0.85, 1)
        row("prompt", median("prompt " type, "tokens_per_second"), "tokens/s",
            sprintf("products %.0f GFLOP/s", median("prompt " type, "product_gflops")),
            median("prompt " type, "share_of_products"), 0.65, 1)
        if (median("helix-1m " type, "helix_step_seconds") != "")
            row("1,000,000 tokens on 4 ranks", median("helix-1m " type, "helix_step_seconds") * 1e3, "ms/token",
            sprintf("memory %.1f GB/s", median("helix-1m " type, "helix_read_gb_per_second")),
            median("helix-1m " type, "helix_step_over_bound"), 1.2, 0)
        planned(type, "one", "1 rank, 256K")
        planned(type, "kvp2", "kvp=2, 512K")
        planned(type, "tpa2", "tpa=2, 8 x 64K")
        planned(type, "helix", "kvp=2,tpa=2, 8 x 256K")
        planned(type, "lockstep", "  the same, HOP-B off")
        planned(type, "tp", "tpa=4, doubled heads, 8 x 256K")
        row("error of int8 weights", median("int8-error " type, "int8_divergence"), "nats",
            sprintf("bfloat16: %.2g nats", median("int8-error " type, "bfloat16_divergence")), "", 0, 0)
    }
    startup = median("start-up ", "seconds")
    if (startup != "") row("start-up", startup * 1e3, "ms", "cambium --version",
        startup * 1e3, 20, 0)
    if (missed) printf "%d promises are not kept in this run\n", missed
}
