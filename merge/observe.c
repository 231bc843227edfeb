#include "merge/observe.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/decode/decoder.h"
#include "core/io/corpus_list.h"

enum { SEATS = 64, WINDOWS_PER_DOCUMENT = 4 };

/* ---- sample ------------------------------------------------------------------------------------
 */

static void add_windows(Sample *sample, int64_t *capacity, const IdList *ids, int32_t start,
                        int64_t limit)
{
    int64_t body = sample->length - 1;
    for (int64_t w = 0; w < WINDOWS_PER_DOCUMENT && sample->n_windows < limit; w++) {
        if ((w + 1) * body > ids->count)
            return;
        int64_t need = (sample->n_windows + 1) * sample->length;
        sample->tokens = mem_grow(sample->tokens, capacity, need, sizeof *sample->tokens);
        int32_t *to = sample->tokens + sample->n_windows++ * sample->length;
        to[0] = start;
        memcpy(to + 1, ids->items + w * body, (size_t)body * sizeof *to);
    }
}

/* Windows of the file's documents, until there are `limit`. */
static Status read_windows(Sample *sample, const char *path, const CorpusOptions *reading,
                           const Tokenizer *tokenizer, int64_t limit, Err *err)
{
    const TokenizerSpec *spec = tokenizer_spec(tokenizer);
    int32_t start = spec->eos >= 0 ? spec->eos : spec->bos >= 0 ? spec->bos : 0;
    CorpusReader *reader = corpus_reader_open(path, reading, err);
    if (!reader)
        return STATUS_FAIL;
    int64_t capacity = sample->n_windows * sample->length;
    StrBuf text = {0};
    IdList ids = {0};
    Status status = STATUS_OK;
    while (sample->n_windows < limit) {
        bool found = false;
        status = corpus_reader_next(reader, &text, &found, err);
        if (status != STATUS_OK || !found)
            break;
        ids.count = 0;
        tokenizer_encode(tokenizer, text.data, text.size, &ids);
        add_windows(sample, &capacity, &ids, start, limit);
    }
    corpus_reader_close(reader);
    strbuf_clear(&text);
    id_list_clear(&ids);
    return status;
}

Status sample_read(Sample *sample, const char *path, const CorpusOptions *reading,
                   const Tokenizer *tokenizer, int64_t length, int64_t tokens, Err *err)
{
    *sample = (Sample){.length = length};
    int64_t limit = tokens / length > 0 ? tokens / length : 1;
    StringList files = {0};
    StringList paths = {.items = (char *[]){(char *)(uintptr_t)path}, .count = 1};
    Status status = corpus_list(&paths, &files, err);
    for (int64_t i = 0; i < files.count && status == STATUS_OK; i++)
        status = read_windows(sample, files.items[i], reading, tokenizer, limit, err);
    string_list_clear(&files);
    if (status == STATUS_OK && sample->n_windows == 0)
        status = err_set(err, "%s has no document of %lld tokens or more", path, (long long)length);
    if (status != STATUS_OK)
        sample_clear(sample);
    return status;
}

void sample_clear(Sample *sample)
{
    free(sample->tokens);
    *sample = (Sample){0};
}

/* ---- observations ------------------------------------------------------------------------------
 */

/* One expert's walk over up to SEATS windows, all one token further at each step. */
typedef struct Walk {
    Decoder *decoder;
    Device device;
    DecodeItem items[SEATS];
    Tensor values, ids; /* (SEATS, top) */
    float *host;        /* (SEATS, top) */
    int64_t vocab;
} Walk;

static void walk_clear(Walk *walk)
{
    if (walk->values.data)
        walk->device.ops->free(walk->values.data);
    if (walk->ids.data)
        walk->device.ops->free(walk->ids.data);
    free(walk->host);
    decoder_free(walk->decoder);
}

static Status walk_init(Walk *walk, const Ensemble *alone, const Sample *sample, int64_t top,
                        Err *err)
{
    const Model *model = alone->experts[0];
    *walk = (Walk){.device = model->device, .vocab = model->config.vocab_size};
    DecoderOptions options = {.max_sequences = SEATS,
                              .max_positions = sample->length,
                              .chunk = SEATS,
                              .kv_dtype = model->compute};
    TRY(decoder_new(&walk->decoder, alone, &options, err));
    for (int64_t i = 0; i < SEATS; i++)
        walk->items[i].sequence = decoder_open(walk->decoder);
    walk->values = tensor_2d(NULL, DTYPE_F32, SEATS, top);
    walk->ids = tensor_2d(NULL, DTYPE_I32, SEATS, top);
    walk->host = xmalloc((size_t)(SEATS * top) * sizeof *walk->host);
    Status status = device_tensor(&walk->device, &walk->values, "observations", err);
    if (status == STATUS_OK)
        status = device_tensor(&walk->device, &walk->ids, "observations", err);
    return status;
}

/* After a step: log-probabilities of what follows and the largest ones, of `n` windows. */
static Status walk_read(Walk *walk, const int32_t *following, int64_t stride, int64_t n,
                        float *logp, Err *err)
{
    const Backend *ops = walk->device.ops;
    Queue *queue = walk->device.queue;
    Tensor logits = decoder_logits(walk->decoder);
    Tensor values = tensor_slice(&walk->values, 0, n), ids = tensor_slice(&walk->ids, 0, n);
    ops->log_softmax(queue, &(LogSoftmaxArgs){.x = logits, .y = logits});
    ops->top_k(queue, &(TopKArgs){.x = logits, .values = values, .ids = ids});
    for (int64_t i = 0; i < n; i++)
        ops->download(queue, &logp[i],
                      (const float *)logits.data + i * walk->vocab + following[i * stride],
                      sizeof(float));
    return device_download(&walk->device, &values, walk->host, err);
}

static Status walk_windows(Walk *walk, const Sample *sample, int64_t first, int64_t n,
                           int64_t expert, Observations *out, Err *err)
{
    int64_t body = sample->length - 1, top = out->top;
    float logp[SEATS];
    for (int64_t i = 0; i < n; i++)
        decoder_reset(walk->decoder, walk->items[i].sequence);
    for (int64_t t = 0; t < body; t++) {
        const int32_t *tokens = sample->tokens + first * sample->length + t;
        for (int64_t i = 0; i < n; i++) {
            walk->items[i].tokens = tokens + i * sample->length;
            walk->items[i].n_tokens = 1;
        }
        TRY(decoder_step(walk->decoder, walk->items, n, err));
        TRY(walk_read(walk, tokens + 1, sample->length, n, logp, err));
        for (int64_t i = 0; i < n; i++) {
            int64_t at = ((first + i) * body + t) * out->n_experts + expert;
            out->logp[at] = logp[i];
            memcpy(out->features + at * top, walk->host + i * top, (size_t)top * sizeof(float));
        }
        if (stop_requested())
            return STATUS_STOPPED;
    }
    return STATUS_OK;
}

Status observe(Observations *out, const Ensemble *ensemble, const Sample *sample, int64_t top,
               Err *err)
{
    int64_t E = ensemble->n_experts;
    *out =
        (Observations){.n = sample->n_windows * (sample->length - 1), .n_experts = E, .top = top};
    out->logp = xcalloc((size_t)(out->n * E), sizeof *out->logp);
    out->features = xcalloc((size_t)(out->n * E * top), sizeof *out->features);
    Status status = STATUS_OK;
    Progress bar;
    progress_start(&bar, "windows", E * sample->n_windows);
    for (int64_t e = 0; e < E && status == STATUS_OK; e++) {
        Ensemble alone = {.n_experts = 1, .experts = ensemble->experts + e};
        Walk walk;
        status = walk_init(&walk, &alone, sample, top, err);
        for (int64_t w = 0; w < sample->n_windows && status == STATUS_OK; w += SEATS) {
            int64_t n = sample->n_windows - w < SEATS ? sample->n_windows - w : SEATS;
            status = walk_windows(&walk, sample, w, n, e, out, err);
            progress_update(&bar, e * sample->n_windows + w + n, NULL);
        }
        walk_clear(&walk);
    }
    progress_end(&bar);
    if (status != STATUS_OK)
        observations_clear(out);
    return status;
}

void observations_clear(Observations *o)
{
    free(o->logp);
    free(o->features);
    *o = (Observations){0};
}
