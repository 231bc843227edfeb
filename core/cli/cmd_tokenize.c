/* cambium tokenize: lines of text to lines of ids, or back. */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/lines.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/parallel.h"
#include "core/cli/options.h"
#include "core/io/tokenizer_io.h"
#include "core/text/tokenizer.h"

enum {
    READ_BYTES = 4 << 20,  /* asked of standard input at once */
    PIECE_BYTES = 1 << 16, /* of lines given to a thread at once */
};

typedef struct TokenizeSettings {
    bool decode;
    bool specials;
} TokenizeSettings;

/* Whole lines that one thread turns into output. */
typedef struct Piece {
    const char *text;
    int64_t bytes;
    int64_t first_line; /* counted from 1 */
    StrBuf out;
    Status status;
    Err err;
} Piece;

typedef struct Job {
    const Tokenizer *tokenizer;
    const TokenizeSettings *settings;
    Piece *pieces;
    int64_t n_pieces;
    int64_t pieces_capacity;
    int64_t next_line;
} Job;

/* ---- one line ------------------------------------------------------------------------------- */

static void append_number(StrBuf *out, int32_t number)
{
    char digits[12];
    int at = sizeof digits;
    uint32_t rest = (uint32_t)number;
    do
        digits[--at] = (char)('0' + rest % 10);
    while (rest /= 10);
    strbuf_append(out, digits + at, sizeof digits - (size_t)at);
}

static void encode_line(const Job *job, const char *text, int64_t bytes, IdList *ids, StrBuf *out)
{
    ids->count = 0;
    if (job->settings->specials)
        tokenizer_encode_with_specials(job->tokenizer, text, bytes, ids);
    else
        tokenizer_encode(job->tokenizer, text, bytes, ids);
    strbuf_putc(out, '[');
    for (int64_t i = 0; i < ids->count; i++) {
        if (i > 0)
            strbuf_putc(out, ',');
        append_number(out, ids->items[i]);
    }
    strbuf_puts(out, "]\n");
}

static const char *skip_blanks(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\t' || *p == '\r'))
        p++;
    return p;
}

/* Reads one id, which must be in the vocabulary; NULL when there is none. */
static const char *read_id(const Job *job, const char *p, const char *end, int32_t *id)
{
    int64_t value = 0, size = tokenizer_size(job->tokenizer);
    const char *start = p;
    for (; p < end && *p >= '0' && *p <= '9' && value < size; p++)
        value = 10 * value + (*p - '0');
    *id = (int32_t)value;
    return p > start && value < size ? skip_blanks(p, end) : NULL;
}

/* Reads a JSON array of ids; *stop is where reading ended, whether well or not. */
static bool read_ids(const Job *job, const char *text, const char *end, IdList *ids,
                     const char **stop)
{
    const char *p = *stop = skip_blanks(text, end);
    if (p == end || *p != '[')
        return false;
    p = *stop = skip_blanks(p + 1, end);
    bool more = p == end || *p != ']';
    while (more) {
        int32_t id;
        p = read_id(job, p, end, &id);
        if (!p)
            return false;
        id_list_add(ids, id);
        *stop = p;
        if (p == end || (*p != ',' && *p != ']'))
            return false;
        more = *p == ',';
        if (more)
            p = *stop = skip_blanks(p + 1, end);
    }
    *stop = skip_blanks(p + 1, end);
    return *stop == end;
}

static Status decode_line(const Job *job, const TextLine *line, IdList *ids, Piece *piece)
{
    const char *stop;
    ids->count = 0;
    if (!read_ids(job, line->text, line->text + line->bytes, ids, &stop))
        return err_set(&piece->err,
                       "line %lld is not a JSON array of ids below %lld (byte %lld of it)",
                       (long long)line->number, (long long)tokenizer_size(job->tokenizer),
                       (long long)(stop - line->text));
    tokenizer_decode(job->tokenizer, ids->items, ids->count, job->settings->specials, &piece->out);
    strbuf_putc(&piece->out, '\n');
    return STATUS_OK;
}

static void run_pieces(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const Job *job = context;
    IdList ids = {0};
    for (int64_t i = begin; i < end; i++) {
        Piece *piece = &job->pieces[i];
        TextLine line = lines_of(piece->text, piece->bytes);
        line.number = piece->first_line - 1;
        while (piece->status == STATUS_OK && lines_next(&line))
            if (job->settings->decode)
                piece->status = decode_line(job, &line, &ids, piece);
            else
                encode_line(job, line.text, line.bytes, &ids, &piece->out);
    }
    id_list_clear(&ids);
}

/* ---- all lines ------------------------------------------------------------------------------ */

/* Cuts whole lines into pieces for the threads. */
static void cut_pieces(Job *job, const char *text, int64_t bytes)
{
    job->n_pieces = 0;
    while (bytes > 0) {
        int64_t length = bytes;
        if (bytes > PIECE_BYTES) {
            const char *feed = memchr(text + PIECE_BYTES, '\n', (size_t)(bytes - PIECE_BYTES));
            length = feed ? feed + 1 - text : bytes;
        }
        job->pieces =
            mem_grow(job->pieces, &job->pieces_capacity, job->n_pieces + 1, sizeof *job->pieces);
        job->pieces[job->n_pieces++] =
            (Piece){.text = text, .bytes = length, .first_line = job->next_line};
        job->next_line += lines_count_feeds(text, length);
        text += length;
        bytes -= length;
    }
}

static Status run_lines(Job *job, const char *text, int64_t bytes, Err *err)
{
    cut_pieces(job, text, bytes);
    parallel_dynamic(job->n_pieces, 1, run_pieces, job);
    Status status = STATUS_OK;
    for (int64_t i = 0; i < job->n_pieces; i++) {
        Piece *piece = &job->pieces[i];
        if (status == STATUS_OK && piece->out.size > 0 &&
            fwrite(piece->out.data, 1, (size_t)piece->out.size, stdout) != (size_t)piece->out.size)
            status = err_set(err, "cannot write to standard output: %s", strerror(errno));
        if (status == STATUS_OK && piece->status != STATUS_OK) {
            status = piece->status;
            *err = piece->err;
        }
        strbuf_clear(&piece->out);
    }
    /* Whoever feeds lines one by one gets each answer at once. */
    if (fflush(stdout) != 0 && status == STATUS_OK)
        status = err_set(err, "cannot write to standard output: %s", strerror(errno));
    return status;
}

static Status run_stdin(Job *job, Err *err)
{
    StrBuf held = {0};
    char *block = xmalloc(READ_BYTES);
    Status status = STATUS_OK;
    while (status == STATUS_OK) {
        if (stop_requested()) {
            status = STATUS_STOPPED;
            break;
        }
        ssize_t got = read(STDIN_FILENO, block, READ_BYTES);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            status = err_set(err, "cannot read standard input: %s", strerror(errno));
        if (got <= 0)
            break;
        const char *feed = memrchr(block, '\n', (size_t)got);
        int64_t whole = feed ? feed + 1 - block : 0;
        strbuf_append(&held, block, (size_t)(feed ? whole : got));
        if (!feed)
            continue;
        status = run_lines(job, held.data, held.size, err);
        strbuf_reset(&held);
        strbuf_append(&held, block + whole, (size_t)(got - whole));
    }
    if (status == STATUS_OK && held.size > 0)
        status = run_lines(job, held.data, held.size, err);
    free(block);
    strbuf_clear(&held);
    return status;
}

static Status run(const void *settings, const StringList *positionals, Err *err)
{
    TokenizerSpec spec;
    TRY(tokenizer_spec_load(positionals->items[0], &spec, err));
    Tokenizer *tokenizer = tokenizer_new(&spec, err);
    if (!tokenizer)
        return err_wrap(err, "%s", positionals->items[0]);
    Job job = {.tokenizer = tokenizer, .settings = settings, .next_line = 1};
    Status status = run_stdin(&job, err);
    free(job.pieces);
    tokenizer_free(tokenizer);
    return status;
}

static const Option options[] = {
    {.name = "decode",
     .kind = OPTION_FLAG,
     .offset = offsetof(TokenizeSettings, decode),
     .letter = 'd',
     .help = "read JSON arrays of ids and print the text they stand for"},
    {.name = "specials",
     .kind = OPTION_FLAG,
     .offset = offsetof(TokenizeSettings, specials),
     .help = "names of special tokens and of a chat's marks in the text become their ids; --decode "
             "prints special ones"},
    {.name = NULL},
};

const Verb verb_tokenize = {
    .name = "tokenize",
    .summary = "turn lines of text into token ids, or back",
    .positionals = "TABLE",
    .positionals_min = 1,
    .positionals_max = 1,
    .details =
        "Reads lines on standard input and prints one JSON array of ids a line, without the "
        "line feed, bos or eos. TABLE is a table or a checkpoint (HDF5) or a tokenizer.json.",
    .examples =
        {
            "tokenize table.h5 < ru.heldout.txt",
            "tokenize table.h5 --decode < ids.jsonl",
        },
    .options = options,
    .settings_size = sizeof(TokenizeSettings),
    .run = run,
};
