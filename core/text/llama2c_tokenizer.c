#include "core/text/llama2c_tokenizer.h"

#include <string.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/text/byte_alphabet.h"

enum { FILE_LIMIT = 1 << 28, TOKEN_LIMIT = 1 << 16, SPECIALS = 3 };

typedef struct Record {
    float score;
    int32_t length;
} Record;

/* Reads the head of the token at `at`; its text follows. */
static Status read_record(const char *data, int64_t bytes, int64_t at, Record *record, Err *err)
{
    if (bytes - at < (int64_t)sizeof *record)
        return err_set(err, "tokenizer.bin is cut off at byte %lld", (long long)at);
    memcpy(&record->score, data + at, 4);
    memcpy(&record->length, data + at + 4, 4);
    if (record->length < 0 || record->length > TOKEN_LIMIT)
        return err_set(err,
                       "tokenizer.bin: a token of %d bytes at byte %lld; is this a file of "
                       "llama2.c?",
                       record->length, (long long)at);
    if (bytes - at - (int64_t)sizeof *record < record->length)
        return err_set(err, "tokenizer.bin is cut off in the token at byte %lld", (long long)at);
    return STATUS_OK;
}

static void add_token(TokenizerSpec *spec, StrBuf *text, const char *token, Record record)
{
    int64_t id = spec->n_tokens++;
    int32_t length = record.length;
    int byte = byte_token_value(token, (size_t)length);
    TokenType type = length == 0 ? TOKEN_UNUSED : byte >= 0 ? TOKEN_BYTE : TOKEN_TEXT;
    if (id < SPECIALS && length > 0) {
        /* The export put line feeds around the names of bos and eos. */
        for (; length > 2 && token[0] == '\n' && token[length - 1] == '\n'; length -= 2)
            token++;
        type = TOKEN_SPECIAL;
    }
    if (type == TOKEN_BYTE)
        strbuf_putc(text, (char)byte);
    else
        strbuf_append(text, token, (size_t)length);
    spec->types[id] = (uint8_t)type;
    spec->scores[id] = record.score;
    spec->offsets[id + 1] = text->size;
}

Status llama2c_tokenizer_parse(const char *data, int64_t bytes, TokenizerSpec *spec, Err *err)
{
    *spec = (TokenizerSpec){.kind = TOKENIZER_SCORED, .pad = -1, .bos = -1, .eos = -1, .unk = -1};
    const int64_t start = 4; /* behind the length of the longest token, which nothing needs */
    int64_t count = 0;
    Record record;
    for (int64_t at = start; at != bytes; at += (int64_t)sizeof record + record.length, count++)
        TRY(read_record(data, bytes, at, &record, err));
    if (count <= SPECIALS)
        return err_set(err, "tokenizer.bin holds only %lld tokens", (long long)count);
    StrBuf text = {0};
    spec->offsets = xcalloc((size_t)count + 1, sizeof *spec->offsets);
    spec->types = xcalloc((size_t)count, 1);
    spec->scores = xcalloc((size_t)count, sizeof *spec->scores);
    for (int64_t at = start; at != bytes; at += (int64_t)sizeof record + record.length) {
        TRY(read_record(data, bytes, at, &record, err));
        add_token(spec, &text, data + at + sizeof record, record);
    }
    spec->text = strbuf_detach(&text);
    spec->unk = 0;
    spec->bos = 1;
    spec->eos = 2;
    spec->add_prefix_space = true;
    spec->name = xstrdup("llama2.c");
    return STATUS_OK;
}

Status llama2c_tokenizer_read(const char *path, TokenizerSpec *spec, Err *err)
{
    *spec = (TokenizerSpec){.pad = -1, .bos = -1, .eos = -1, .unk = -1};
    StrBuf data = {0};
    Status status = file_read(path, FILE_LIMIT, &data, err);
    if (status == STATUS_OK &&
        llama2c_tokenizer_parse(data.data, data.size, spec, err) != STATUS_OK)
        status = err_wrap(err, "%s", path);
    strbuf_clear(&data);
    return status;
}
