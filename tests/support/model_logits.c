#include "tests/support/model_logits.h"

#include <math.h>
#include <stdlib.h>

#include "core/base/mem.h"
#include "core/decode/decoder.h"

float *model_logits_of(const Ensemble *ensemble, const int32_t *ids, int64_t n)
{
    Err err = {.text = ""};
    Decoder *decoder;
    int64_t v = ensemble->experts[0]->config.vocab_size;
    DecoderOptions options = {.max_sequences = 1, .max_positions = n, .kv_dtype = DTYPE_F32};
    CHECK(decoder_new(&decoder, ensemble, &options, &err) == STATUS_OK, "%s", err.text);
    int64_t sequence = decoder_open(decoder);
    float *logits = xmalloc((size_t)(n * v) * sizeof *logits);
    for (int64_t i = 0; i < n; i++) {
        DecodeItem item = {sequence, &ids[i], 1};
        CHECK(decoder_step(decoder, &item, 1, &err) == STATUS_OK, "%s", err.text);
        Device device = decoder_device(decoder);
        Tensor out = decoder_logits(decoder);
        CHECK(device_download(&device, &out, logits + i * v, &err) == STATUS_OK, "%s", err.text);
    }
    decoder_free(decoder);
    return logits;
}

float *model_logits(const Ensemble *ensemble, int64_t n)
{
    int32_t *ids = xmalloc((size_t)n * sizeof *ids);
    for (int64_t i = 0; i < n; i++)
        ids[i] = (int32_t)((i * 37 + 11) % ensemble->experts[0]->config.vocab_size);
    float *logits = model_logits_of(ensemble, ids, n);
    free(ids);
    return logits;
}

double model_logits_error(const Ensemble *ensemble, const NpyFile *want)
{
    float *logits = model_logits(ensemble, want->shape[0]);
    double worst = 0.0, largest = 0.0;
    for (int64_t i = 0; i < want->shape[0] * want->shape[1]; i++) {
        double golden = (double)((const float *)want->data)[i];
        worst = fmax(worst, fabs((double)logits[i] - golden));
        largest = fmax(largest, fabs(golden));
    }
    free(logits);
    return worst / largest;
}
