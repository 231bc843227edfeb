#include "train/run_sample.h"

#include <string.h>

#include "core/base/log.h"
#include "core/decode/generate.h"
#include "core/io/json_put.h"
#include "core/text/utf8.h"

enum { SAMPLE_TOKENS = 48 };

static void write_line(const char *prompt, const StrBuf *text, const TrainerStatus *status,
                       const json_t *fields, Metrics *metrics)
{
    json_t *line = json_pack("{s:s, s:I, s:I, s:f, s:f, s:o, s:s%}", "event", "sample", "step",
                             (json_int_t)status->step, "tokens", (json_int_t)status->tokens,
                             "flops", status->flops, "seconds", status->seconds, "prompt",
                             json_name(prompt), "text", text->data, (size_t)text->size);
    if (fields)
        json_object_update_missing(line, (json_t *)(uintptr_t)fields);
    metrics_write(metrics, line);
}

Status run_sample(Model *model, const Tokenizer *tokenizer, const char *prompt,
                  const TrainerStatus *status, const json_t *fields, Metrics *metrics, Err *err)
{
    Ensemble alone = {.n_experts = 1, .experts = &model};
    IdList ids = {0};
    IdList ends = {0};
    int32_t eos = tokenizer_spec(tokenizer)->eos;
    tokenizer_ends(tokenizer, &ends);
    if (eos >= 0)
        id_list_add(&ids, eos);
    tokenizer_encode(tokenizer, prompt, (int64_t)strlen(prompt), &ids);
    if (ids.count == 0) {
        id_list_clear(&ends);
        return STATUS_OK;
    }
    DecoderOptions options = {.max_sequences = 1,
                              .max_positions = ids.count + SAMPLE_TOKENS,
                              .chunk = 64,
                              .kv_dtype = model->compute};
    Decoder *decoder;
    Status result = decoder_new(&decoder, &alone, &options, err);
    if (result == STATUS_OK) {
        Sampling sampling = sampling_default();
        sampling.seed = (uint64_t)status->step;
        /* A wish to stop is the trainer's to see, after this step; a resumed run does not come
         * back to this sample. */
        sampling.finish = true;
        Generation generation = {
            .prompt = ids.items, .n_prompt = ids.count, .max_tokens = SAMPLE_TOKENS, .ends = &ends};
        result = generate(decoder, 1, &sampling, &generation, 1, NULL, NULL, err);
        /* A token may be a single byte, and bytes that are no character have no JSON form. */
        StrBuf raw = {0}, text = {0};
        tokenizer_decode(tokenizer, generation.output.items, generation.output.count, false, &raw);
        utf8_append_clean(&text, raw.data, raw.size);
        strbuf_clear(&raw);
        if (result == STATUS_OK && text.size) {
            log_info("step %lld: %s%s", (long long)status->step, prompt, text.data);
            write_line(prompt, &text, status, fields, metrics);
        }
        strbuf_clear(&text);
        id_list_clear(&generation.output);
        decoder_free(decoder);
    }
    id_list_clear(&ids);
    id_list_clear(&ends);
    return result;
}
