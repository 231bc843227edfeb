/* `cambium import`: models of other programs as model files of ours. */
#include <stdio.h>
#include <string.h>

#include "core/cli/options.h"
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

/* A folder, its config.json or its weights: Hugging Face. */
static bool is_hugging_face(const char *path)
{
    return file_is_folder(path) || file_has_suffix(path, ".json") ||
           file_has_suffix(path, ".safetensors");
}

/* By what the file begins with, whatever its name. */
static bool is_gguf(const char *path)
{
    char head[4] = "";
    FILE *file = fopen(path, "rb");
    if (!file)
        return false;
    size_t n = fread(head, 1, sizeof head, file);
    fclose(file);
    return n == sizeof head && memcmp(head, "GGUF", sizeof head) == 0;
}

static Status import_run(const void *settings, const StringList *positionals, Err *err)
{
    const ImportSettings *s = settings;
    const char *path = positionals->items[0];
    if (!s->output)
        return err_usage(err, "say which file to write with -o OUT.h5");
    Status (*import)(const char *, const char *, const char *, Err *) =
        is_hugging_face(path) ? hf_import
        : is_gguf(path)       ? gguf_import
                              : llama2c_import;
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
    .details = "FILE is a .gguf file, or a folder with config.json, *.safetensors and "
               "tokenizer.json, of a model of the Llama family; anything else is read as a "
               "llama2.c checkpoint (which needs --tokenizer). Quantised weights become float32.",
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
