/* `cambium import`: models of other programs as model files of ours. */
#include <stdio.h>
#include <string.h>

#include "core/cli/options.h"
#include "core/io/foreign.h"
#include "core/io/model_import.h"

typedef struct ImportSettings {
    char *tokenizer;
    char *output;
} ImportSettings;

static const Option import_options[] = {
    {"output", OPTION_OUTPUT, offsetof(ImportSettings, output), "FILE", NULL,
     "the model file to write", NULL, 'o', NULL},
    {"tokenizer", OPTION_INPUT, offsetof(ImportSettings, tokenizer), "FILE", NULL,
     "its vocabulary, where it does not lie beside the model (tokenizer.json, tokenizer.bin)", NULL,
     0, NULL},
    {0},
};

typedef Status Importer(const char *path, const char *tokenizer, const char *out, Err *err);

/* By what the path is, whatever its name; unknown content is for llama2.c's reader to judge. */
static Status choose(const char *path, Importer **out, Err *err)
{
    *out = llama2c_import;
    switch (foreign_kind(path)) {
    case FOREIGN_GGUF:
        *out = gguf_import;
        return STATUS_OK;
    case FOREIGN_HF_FOLDER:
    case FOREIGN_FOLDER:
    case FOREIGN_SAFETENSORS:
    case FOREIGN_JSON:
        *out = hf_import;
        return STATUS_OK;
    case FOREIGN_OURS:
        return err_set(err, "%s is HDF5, as this program's own files are, which need no import",
                       path);
    case FOREIGN_RUN:
    case FOREIGN_PICKLE:
        return foreign_refuse(path, err);
    case FOREIGN_UNKNOWN:
        break;
    }
    if (file_has_suffix(path, ".safetensors")) /* damaged */
        *out = hf_import;
    return STATUS_OK;
}

static Status import_run(const void *settings, const StringList *positionals, Err *err)
{
    const ImportSettings *s = settings;
    const char *path = positionals->items[0];
    if (!s->output)
        return err_usage(err, "say which file to write with -o OUT.h5");
    Importer *import;
    TRY(choose(path, &import, err));
    TRY(import(path, s->tokenizer, s->output, err));
    printf("%s: the model of %s\n", s->output, path);
    return STATUS_OK;
}

const Verb verb_import = {
    .name = "import",
    .summary = "read a GGUF, Hugging Face or llama2.c model into a model file",
    .positionals = "FILE",
    .results = "*.h5",
    .positionals_min = 1,
    .positionals_max = 1,
    .details = "FILE is a .gguf file (any part of a split one), or a folder with config.json, "
               "*.safetensors and tokenizer.json, of a model of the Llama family or exported by "
               "this program; anything else is read as a llama2.c checkpoint (which needs "
               "--tokenizer). Quantised weights become float32.",
    .examples =
        {
            "import stories260K.bin --tokenizer tok512.bin -o stories.h5",
            "import llama-folder -o llama.h5",
            "import SmolLM2-135M-Instruct.Q4_1.gguf -o smollm2.h5",
        },
    .options = import_options,
    .settings_size = sizeof(ImportSettings),
    .run = import_run,
};
