/* A Hugging Face folder: config.json, one or several safetensors files, tokenizer.json. Rotary
 * pairs are half-split there, as here. */
#include <stdlib.h>
#include <sys/stat.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/io/hf_config.h"
#include "core/io/hf_tokenizer.h"
#include "core/io/model_import.h"
#include "core/io/param_names.h"
#include "core/io/safetensors.h"

enum { SHARDS_MAX = 4096 };

typedef struct HfModel {
    char *folder;
    SafeFile **files;
    int64_t n_files;
    ModelConfig config;
} HfModel;

static void hf_close(HfModel *model)
{
    for (int64_t i = 0; i < model->n_files; i++)
        safe_close(model->files[i]);
    free(model->files);
    free(model->folder);
}

/* Opens every file of the folder whose name ends so. An index file only repeats what they hold. */
static Status open_weights(HfModel *model, Err *err)
{
    StringList files = {0};
    Status status = file_list(model->folder, &files, err);
    model->files = xcalloc((size_t)files.count + 1, sizeof *model->files);
    for (int64_t i = 0; i < files.count && status == STATUS_OK; i++) {
        char *folder =
            xstrndup(files.items[i], (size_t)(file_base_name(files.items[i]) - files.items[i]));
        bool here = strlen(folder) <= strlen(model->folder) + 1; /* not in a folder below */
        free(folder);
        if (!here || !file_has_suffix(files.items[i], ".safetensors"))
            continue;
        if (model->n_files == SHARDS_MAX)
            status =
                err_set(err, "%s has more than %d safetensors files", model->folder, SHARDS_MAX);
        else
            status = safe_open(&model->files[model->n_files], files.items[i], err);
        if (status == STATUS_OK)
            model->n_files++;
    }
    string_list_clear(&files);
    if (status == STATUS_OK && model->n_files == 0)
        status = err_set(err, "%s has no *.safetensors files", model->folder);
    return status;
}

static Status read_config(HfModel *model, Err *err)
{
    char *path;
    json_t *json;
    Status status = hf_read_json(model->folder, "config.json", &json, &path, err);
    if (status == STATUS_OK)
        status = json ? hf_config_parse(json, path, &model->config, err)
                      : err_set(err, "%s has no config.json", model->folder);
    json_decref(json);
    free(path);
    return status;
}

static const SafeEntry *find_entry(const HfModel *model, const char *name)
{
    const SafeEntry *entry = NULL;
    for (int64_t i = 0; i < model->n_files && !entry; i++)
        entry = safe_find(model->files[i], name);
    return entry;
}

static Status find_param(void *context, const char *param, const Tensor *shape, ImportTensor *out,
                         Err *err)
{
    const HfModel *model = context;
    char name[PARAM_NAME_MAX];
    CHECK(param_name(NAMES_HF, param, name), "parameter %s", param);
    const SafeEntry *entry = find_entry(model, name);
    if (!entry)
        return err_set(err,
                       "%s has no tensor '%s', which its config.json asks for; fetch the shard "
                       "that holds it, or the config.json that belongs to these weights",
                       model->folder, name);
    bool fits = entry->n_dims == shape->n_dims;
    for (int i = 0; i < shape->n_dims && fits; i++)
        fits = entry->shape[i] == shape->shape[i];
    if (!fits)
        return err_set(err,
                       "%s: '%s' has not the shape that config.json asks for; fetch the "
                       "config.json that belongs to these weights",
                       model->folder, name);
    if (!stored_is_float(entry->type))
        return err_set(err, "%s: '%s' is of type %s; F32, F16 and BF16 are read", model->folder,
                       name, stored_name(entry->type));
    *out = (ImportTensor){.data = entry->data, .type = block_of(entry->type)};
    return STATUS_OK;
}

static bool has_entry(const void *context, const char *name)
{
    return find_entry(context, name) != NULL;
}

/* A tensor that no parameter of the model is named after would be left out silently. */
static Status check_names(const HfModel *model, Err *err)
{
    int64_t total = 0;
    char name[PARAM_NAME_MAX];
    for (int64_t i = 0; i < model->n_files; i++)
        total += safe_count(model->files[i]);
    int64_t known = param_names_known(NAMES_HF, &model->config, has_entry, model);
    for (int64_t layer = 0; layer < model->config.n_layers; layer++) {
        snprintf(name, sizeof name, "model.layers.%lld.self_attn.rotary_emb.inv_freq",
                 (long long)layer);
        known += find_entry(model, name) != NULL; /* a constant that old files store */
    }
    if (known != total)
        return err_set(err,
                       "%s holds %lld tensors that a model of its config.json does not have (are "
                       "two models in the folder?)",
                       model->folder, (long long)(total - known));
    return STATUS_OK;
}

/* `tokenizer`, `config`: their files. */
static Status import_open(HfModel *model, const char *tokenizer, const char *config,
                          const char *out, Err *err)
{
    TRY(read_config(model, err));
    TRY(open_weights(model, err));
    TRY(check_names(model, err));
    TokenizerSpec spec;
    TRY(hf_tokenizer_read(model->folder, tokenizer, &spec, err));
    Tokenizer *checked = tokenizer_new(&spec, err);
    if (!checked)
        return err_wrap(err, "%s", tokenizer);
    ImportModel import = {.path = out,
                          .name = file_base_name(model->folder),
                          .format = "Hugging Face",
                          .config_file = config,
                          .tokenizer_file = tokenizer,
                          .config = model->config,
                          .tokenizer = tokenizer_spec(checked),
                          .find = find_param,
                          .context = model};
    Status status = model_import(&import, err);
    tokenizer_free(checked);
    return status;
}

Status hf_import(const char *path, const char *tokenizer, const char *out, Err *err)
{
    HfModel model = {.folder = xstrdup(path)};
    struct stat info;
    size_t length = strlen(path);
    /* A file in the folder stands for the folder. */
    if (stat(path, &info) == 0 && S_ISREG(info.st_mode)) {
        length = (size_t)(file_base_name(path) - path);
        free(model.folder);
        model.folder = length ? xstrndup(path, length) : xstrdup(".");
    }
    for (length = strlen(model.folder); length > 1 && model.folder[length - 1] == '/';)
        model.folder[--length] = '\0';
    char *config = file_join(model.folder, "config.json");
    char *beside = file_join(model.folder, "tokenizer.json");
    Status status = import_open(&model, tokenizer ? tokenizer : beside, config, out, err);
    free(config);
    free(beside);
    hf_close(&model);
    return status;
}
