/* config.json of any bytes, of the Llama family or of this program's own folders: what is accepted
 * is a model that can be built. */
#include <stddef.h>
#include <stdint.h>

#include "core/io/hf_config.h"
#include "core/io/hf_own.h"
#include "core/text/json_read.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Err err;
    ModelConfig config;
    CheckpointInfo info;
    TokenizerSpec spec = {.bos = -1};
    json_error_t why;
    json_t *json = json_read((const char *)data, (int64_t)size, 0, &why);
    if (json && hf_config_parse(json, "config.json", &config, &err) == STATUS_OK)
        if (model_config_check(&config, &err) != STATUS_OK)
            __builtin_trap();
    if (json && hf_own_info(json, "config.json", "folder", NULL, &info, &err) == STATUS_OK) {
        for (int64_t i = 0; i < info.n_experts; i++)
            if (model_config_check(&info.experts[i].config, &err) != STATUS_OK)
                __builtin_trap();
        hf_provenance_tokenizer(json, &spec);
        json_decref(hf_provenance_json(&info, &spec));
        tokenizer_spec_clear(&spec);
        checkpoint_info_clear(&info);
    }
    json_decref(json);
    return 0;
}
