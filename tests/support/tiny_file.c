#include "tests/support/tiny_file.h"

#include <stdlib.h>

#include "core/base/mem.h"
#include "core/io/checkpoint.h"
#include "tests/support/folder.h"
#include "tests/support/spec_builder.h"

void tiny_hash_table(Model *model)
{
    Substrate *s = &model->substrate;
    Err err;
    float *values = xmalloc(tensor_bytes(&s->table));
    CHECK(device_download(&model->device, &s->table, values, &err) == STATUS_OK, "%s", err.text);
    Sha256 hash = table_hash(values, DTYPE_F32, tensor_count(&s->table));
    hash_text(&hash, s->hash);
    free(values);
}

const char *tiny_file(const char *name, const Ensemble *ensemble)
{
    TokenizerSpec spec;
    Err err;
    spec_start(&spec);
    for (char c = ' '; c < ' ' + 90; c++)
        spec_text(&spec, (char[]){c, '\0'});
    for (int64_t i = 0; i < ensemble->n_experts; i++)
        tiny_hash_table(ensemble->experts[i]);
    CheckpointSave save = {
        .path = folder_path(name), .ensemble = ensemble, .tokenizer = &spec, .dtype = DTYPE_F32};
    CHECK(checkpoint_save(&save, &err) == STATUS_OK, "%s", err.text);
    tokenizer_spec_clear(&spec);
    return folder_path(name);
}
