/* `cambium export`: models and tables for other programs. */
#include <stdio.h>
#include <string.h>

#include "core/cli/options.h"
#include "core/io/gguf_export.h"
#include "core/io/hf_export.h"
#include "core/io/table_export.h"
#include "core/io/tokenizer_io.h"
#include "core/text/tokenizer_json.h"

typedef struct ExportSettings {
    char *output;
    char *format;
    char *dtype;
    char *table;
} ExportSettings;

static const Option export_options[] = {
    {"output", OPTION_OUTPUT, offsetof(ExportSettings, output), "PATH", NULL,
     "the folder (hf) or file (the other formats) to write", NULL, 'o', NULL},
    {"format", OPTION_CHOICE, offsetof(ExportSettings, format), NULL, "hf",
     "hf: a folder for Hugging Face's transformers; gguf: a file for llama.cpp; npy, safetensors: "
     "the embedding table alone; tokenizer: the vocabulary alone, as tokenizer.json",
     "hf|gguf|npy|safetensors|tokenizer", 0, NULL},
    {"dtype", OPTION_CHOICE, offsetof(ExportSettings, dtype), NULL, "float32",
     "type of the weights (hf, gguf; q8_0, blocks of 8-bit numbers, only in gguf)",
     "float32|float16|bfloat16|q8_0", 0, NULL},
    {"table", OPTION_INPUT, offsetof(ExportSettings, table), "FILE", NULL,
     "the substrate, for a model file that left it out", NULL, 0, NULL},
    {0},
};

static BlockType type_of(const char *name)
{
    return strcmp(name, "float32") == 0    ? BLOCK_F32
           : strcmp(name, "float16") == 0  ? BLOCK_F16
           : strcmp(name, "bfloat16") == 0 ? BLOCK_BF16
                                           : BLOCK_Q8_0;
}

static Status export_model(const ExportSettings *s, const char *path, const Device *device,
                           const char **architecture, Err *err)
{
    BlockType type = type_of(s->dtype);
    if (strcmp(s->format, "gguf") == 0) {
        GgufExport args = {path, s->output, s->table, device, type};
        return gguf_export(&args, architecture, err);
    }
    if (type == BLOCK_Q8_0)
        return err_usage(err, "transformers has no q8_0; use --format gguf or another --dtype");
    HfExport args = {path, s->output, s->table, device, type};
    return hf_export(&args, architecture, err);
}

static Status run_model(const ExportSettings *s, const char *path, Err *err)
{
    Device device;
    const char *architecture;
    TRY(device_open(&device, "cpu", err));
    Status status = export_model(s, path, &device, &architecture, err);
    device_close(&device);
    if (status == STATUS_OK)
        printf("%s: %s%s\n", s->output, architecture,
               strcmp(architecture, "CambiumForCausalLM") == 0
                   ? " (load with trust_remote_code=True)"
                   : "");
    return status;
}

static Status export_tokenizer(const char *path, const char *out, Err *err)
{
    TokenizerSpec spec;
    TRY(tokenizer_spec_load(path, &spec, err));
    Tokenizer *tokenizer = tokenizer_new(&spec, err);
    if (!tokenizer)
        return err_wrap(err, "%s", path);
    Status status = tokenizer_json_write(tokenizer, out, err);
    tokenizer_free(tokenizer);
    return status;
}

static Status export_run(const void *settings, const StringList *positionals, Err *err)
{
    const ExportSettings *s = settings;
    const char *path = positionals->items[0];
    if (!s->output)
        return err_usage(err, "say where to write with -o PATH");
    if (strcmp(s->format, "hf") == 0 || strcmp(s->format, "gguf") == 0)
        return run_model(s, path, err);
    if (strcmp(s->format, "tokenizer") == 0)
        return export_tokenizer(path, s->output, err);
    TRY((strcmp(s->format, "npy") == 0 ? table_export_npy
                                       : table_export_safetensors)(path, s->output, err));
    printf("%s: the table of %s\n", s->output, path);
    return STATUS_OK;
}

const Verb verb_export = {
    .name = "export",
    .summary = "write a model for transformers or llama.cpp; a table as npy or safetensors; a "
               "tokenizer.json",
    .positionals = "FILE",
    .positionals_min = 1,
    .positionals_max = 1,
    .details =
        "A single model of the Llama family loads in transformers as it is. All others, merged "
        "models included, come with modeling_cambium.py. GGUF holds models of the Llama family.",
    .examples =
        {
            "export ru/model.h5 -o ru-hf",
            "export smollm2.h5 --format gguf --dtype q8_0 -o smollm2-q8_0.gguf",
            "export table.h5 --format npy -o table.npy",
        },
    .options = export_options,
    .settings_size = sizeof(ExportSettings),
    .run = export_run,
};
