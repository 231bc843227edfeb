#include "core/io/corpus_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/hash.h"
#include "core/base/mem.h"
#include "core/io/unpack.h"

enum { INPUT_BYTES = 1 << 16 };

struct CorpusFile {
    FILE *stream;
    char *name;
    Unpacker *unpacker; /* NULL: plain */
    bool finished;
    int64_t position;
    UnpackInput input; /* points into `buffer` */
    uint8_t buffer[INPUT_BYTES];
};

static Status refill(CorpusFile *file, Err *err)
{
    UnpackInput *input = &file->input;
    if (input->available || input->ended)
        return STATUS_OK;
    input->next = file->buffer;
    input->available = fread(file->buffer, 1, INPUT_BYTES, file->stream);
    if (ferror(file->stream))
        return err_set(err, "cannot read %s: %s", file->name, strerror(errno));
    input->ended = input->available == 0;
    file->position += (int64_t)input->available;
    return STATUS_OK;
}

static Status begin_unpacking(CorpusFile *file, Err *err)
{
    TRY(refill(file, err));
    file->unpacker = unpack_new(file->name, file->input.next, file->input.available);
    if (file->input.available == 0 && unpack_name_length(file->name) < strlen(file->name))
        return err_set(err, "%s is empty, as no packed file is; copy or make it again", file->name);
    return STATUS_OK;
}

CorpusFile *corpus_file_open(const char *path, Err *err)
{
    bool standard = strcmp(path, "-") == 0;
    FILE *stream = standard ? stdin : fopen(path, "rb");
    if (!stream) {
        err_set(err, "cannot open %s: %s", path, strerror(errno));
        return NULL;
    }
    CorpusFile *file = xcalloc(1, sizeof *file);
    file->stream = stream;
    file->name = xstrdup(standard ? "standard input" : path);
    if (begin_unpacking(file, err) != STATUS_OK) {
        corpus_file_close(file);
        return NULL;
    }
    return file;
}

void corpus_file_close(CorpusFile *file)
{
    if (!file)
        return;
    unpack_free(file->unpacker);
    if (file->stream != stdin)
        fclose(file->stream);
    free(file->name);
    free(file);
}

static void step_plain(CorpusFile *file, void *out, int64_t room, int64_t *got)
{
    UnpackInput *input = &file->input;
    size_t count = input->available < (size_t)room ? input->available : (size_t)room;
    memcpy(out, input->next, count);
    input->next += count, input->available -= count;
    file->finished = input->ended;
    *got = (int64_t)count;
}

Status corpus_file_read(CorpusFile *file, int64_t limit, StrBuf *out, int64_t *got, Err *err)
{
    char block[INPUT_BYTES];
    *got = 0;
    while (*got < limit && !file->finished) {
        int64_t room = limit - *got < INPUT_BYTES ? limit - *got : INPUT_BYTES;
        int64_t step = 0;
        TRY(refill(file, err));
        if (file->unpacker)
            TRY(unpack_step(file->unpacker, &file->input, block, room, &step, &file->finished,
                            err));
        else
            step_plain(file, block, room, &step);
        strbuf_append(out, block, (size_t)step);
        *got += step;
    }
    return STATUS_OK;
}

int64_t corpus_file_position(const CorpusFile *file)
{
    return file->position - (int64_t)file->input.available;
}

Status corpus_file_whole(const char *path, int64_t limit, StrBuf *out, Err *err)
{
    CorpusFile *file = corpus_file_open(path, err);
    if (!file)
        return STATUS_FAIL;
    int64_t got;
    Status status = corpus_file_read(file, limit + 1, out, &got, err);
    if (status == STATUS_OK && got > limit)
        status = err_set(err, "%s holds more than %lld bytes; cut it into smaller files", path,
                         (long long)limit);
    corpus_file_close(file);
    return status;
}

uint64_t text_key(const void *text, int64_t bytes)
{
    Sha256 hash = hash_of(text, (size_t)bytes);
    uint64_t key = 0;
    for (int i = 0; i < 8; i++)
        key = key << 8 | hash.bytes[i];
    return key;
}
