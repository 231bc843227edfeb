#include "train/sweep.h"

/* Tokens of a document that count. */
static int64_t counted(const Pack *pack, PackSplit split, int64_t document)
{
    return pack_document_start(pack, split, document + 1) -
           pack_document_start(pack, split, document) - 1;
}

/* Tokens that a row of T inputs sees, the one that is a target only among them. */
static int64_t context_of(int64_t row)
{
    return row > 2 ? row : 2;
}

/* Where a row ends that begins with `scored` tokens counted, in a document of `n`. */
static int64_t row_end(int64_t context, int64_t scored, int64_t n)
{
    int64_t end = scored + (scored == 0 ? context - 1 : context / 2);
    return end < n ? end : n;
}

int64_t sweep_rows(const Pack *pack, PackSplit split, int64_t row, int64_t limit)
{
    int64_t rows = 0, most = limit > row ? limit / row : limit ? 1 : INT64_MAX;
    for (int64_t d = 0; d < pack_info(pack)->documents[split] && rows < most; d++) {
        int64_t n = counted(pack, split, d), first = context_of(row) - 1, more = first + 1;
        rows += n <= first ? n > 0 : 1 + (n - first + more / 2 - 1) / (more / 2);
    }
    return rows < most ? rows : most;
}

Status sweep_init(Sweep *sweep, const Pack *pack, PackSplit split, int64_t row, int64_t limit,
                  Err *err)
{
    *sweep = (Sweep){.pack = pack, .split = split, .row = row};
    sweep->rows = sweep_rows(pack, split, row, limit);
    if (sweep->rows > 0)
        return STATUS_OK;
    return err_set(
        err,
        "%s has no %s documents; 'cambium pack' it with a larger --validation, or separate "
        "its documents",
        pack_info(pack)->path, split == PACK_TRAIN ? "training" : "validation");
}

/* Bytes of the next target: the token's own, or what is missing at the end of the document. */
static int32_t count_bytes(Sweep *sweep, int32_t token, bool last)
{
    int64_t bytes =
        last ? pack_document_bytes(sweep->pack, sweep->split, sweep->document) - sweep->seen
             : pack_token_bytes(sweep->pack, token);
    sweep->seen += bytes;
    return (int32_t)bytes;
}

/* Every input is the token before its target, eos before the first. */
static void fill_row(Sweep *s, int32_t *inputs, int32_t *targets, int32_t *bytes)
{
    int64_t context = context_of(s->row), n;
    while ((n = counted(s->pack, s->split, s->document)) == s->scored)
        s->document++, s->scored = s->seen = 0;
    int64_t start = pack_document_start(s->pack, s->split, s->document);
    int64_t end = row_end(context, s->scored, n), begin = end - context < -1 ? -1 : end - context;
    pack_read(s->pack, s->split, start + begin + 1, end - begin - 1, targets);
    for (int64_t t = 0; t < s->row; t++) {
        int64_t target = begin + 1 + t;
        bool inside = target < end;
        inputs[t] = t > 0 && inside ? targets[t - 1] : pack_info(s->pack)->eos;
        bytes[t] = inside && target >= s->scored ? count_bytes(s, targets[t], target == n - 1) : 0;
    }
    if (begin >= 0)
        pack_read(s->pack, s->split, start + begin, 1, inputs);
    for (int64_t t = 0; t < s->row; t++)
        if (begin + 1 + t < s->scored || begin + 1 + t >= end)
            targets[t] = -1;
    s->scored = end;
}

int64_t sweep_next(Sweep *sweep, int64_t rows, int32_t *inputs, int32_t *targets, int32_t *bytes)
{
    int64_t T = sweep->row, filled = 0;
    for (; filled < rows && sweep->rows > 0; filled++, sweep->rows--)
        fill_row(sweep, inputs + filled * T, targets + filled * T, bytes + filled * T);
    for (int64_t i = filled * T; i < rows * T; i++) {
        inputs[i] = pack_info(sweep->pack)->eos;
        targets[i] = -1;
        bytes[i] = 0;
    }
    return filled;
}
