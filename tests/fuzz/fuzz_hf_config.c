/* config.json of any bytes: what is accepted is a model that can be built. */
#include <stddef.h>
#include <stdint.h>

#include "core/io/hf_config.h"
#include "core/model/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Err err;
    ModelConfig config;
    json_t *json = json_loadb((const char *)data, size, 0, NULL);
    if (json && hf_config_parse(json, "config.json", &config, &err) == STATUS_OK)
        if (model_config_check(&config, &err) != STATUS_OK)
            __builtin_trap();
    json_decref(json);
    return 0;
}
