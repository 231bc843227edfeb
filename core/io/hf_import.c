/* A Hugging Face folder: config.json, one or several safetensors files, tokenizer.json. Rotary
 * pairs are half-split there, as here. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/base/file.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/io/hf_config.h"
#include "core/io/hf_tokenizer.h"
#include "core/io/hf_weights.h"
#include "core/io/model_import.h"
#include "core/io/param_names.h"

typedef struct HfModel {
    char *folder;
    HfWeights *weights;
    ModelConfig config;
    bool says_tied; /* config.json says whether the head is the table */
} HfModel;

static const char table_name[] = "model.embed_tokens.weight", head_name[] = "lm_head.weight";

static Status read_config(HfModel *model, Err *err)
{
    char *path;
    json_t *json;
    Status status = hf_read_json(model->folder, "config.json", &json, &path, err);
    if (status == STATUS_OK)
        status = json ? hf_config_parse(json, path, &model->config, err)
                      : err_set(err, "%s has no config.json: it is no Hugging Face model",
                                model->folder);
    const json_t *tied = json_object_get(json, "tie_word_embeddings");
    model->says_tied = tied && !json_is_null(tied);
    json_decref(json);
    free(path);
    return status;
}

static bool same_values(const SafeEntry *a, const SafeEntry *b)
{
    return a->type == b->type && a->bytes == b->bytes &&
           memcmp(a->data, b->data, (size_t)a->bytes) == 0;
}

/* Where config.json and the weights do not agree on the head, `transformers` is followed: a head
 * that is there and differs from the table is no tied one. Where config.json is silent, a model
 * without a head has a tied one. */
static void settle_head(HfModel *model)
{
    const SafeEntry *table = hf_weights_find(model->weights, table_name);
    const SafeEntry *head = hf_weights_find(model->weights, head_name);
    if (!model->says_tied && !head)
        model->config.tied_head = true;
    if (!model->config.tied_head || !head || !table || same_values(table, head))
        return;
    log_warn("%s: config.json ties the head to the table, and the weights hold a head that "
             "differs; it is read as its own",
             model->folder);
    model->config.tied_head = false;
}

static Status find_param(void *context, const char *param, const Tensor *shape, ImportTensor *out,
                         Err *err)
{
    const HfModel *model = context;
    char name[PARAM_NAME_MAX];
    CHECK(param_name(NAMES_HF, param, name), "parameter %s", param);
    const SafeEntry *entry = hf_weights_find(model->weights, name);
    if (!entry && model->config.tied_head && strcmp(name, table_name) == 0)
        entry = hf_weights_find(model->weights, head_name);
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
        return err_set(err, "%s: '%s' is of type %s; F64, F32, F16 and BF16 are read",
                       model->folder, name, stored_name(entry->type));
    *out = (ImportTensor){.data = entry->data, .type = block_of(entry->type)};
    return STATUS_OK;
}

static bool has_entry(const void *context, const char *name)
{
    const SafeEntry *entry = hf_weights_find(context, name);
    return entry && entry->bytes > 0;
}

/* A tensor that no parameter of the model is named after would be left out silently. */
static Status check_names(const HfModel *model, Err *err)
{
    char name[PARAM_NAME_MAX];
    int64_t total = hf_weights_count(model->weights);
    int64_t known = param_names_known(NAMES_HF, &model->config, has_entry, model->weights);
    for (int64_t layer = 0; layer < model->config.n_layers; layer++) {
        snprintf(name, sizeof name, "model.layers.%lld.self_attn.rotary_emb.inv_freq",
                 (long long)layer);
        known += has_entry(model->weights, name); /* a constant that old files store */
    }
    if (known != total)
        return err_set(err,
                       "%s holds %lld tensors that a model of its config.json does not have (are "
                       "these the weights that belong to it?)",
                       model->folder, (long long)(total - known));
    return STATUS_OK;
}

/* `tokenizer`, `config`: their files. `weights`: a file of the folder that was named, or NULL. */
static Status import_open(HfModel *model, const char *weights, const char *tokenizer,
                          const char *config, const char *out, Err *err)
{
    TRY(read_config(model, err));
    TRY(hf_weights_open(&model->weights, model->folder, weights, err));
    settle_head(model);
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
    const char *weights = NULL;
    struct stat info;
    size_t length = strlen(path);
    /* A file in the folder stands for the folder. */
    if (stat(path, &info) == 0 && S_ISREG(info.st_mode)) {
        length = (size_t)(file_base_name(path) - path);
        free(model.folder);
        model.folder = length ? xstrndup(path, length) : xstrdup(".");
        weights = file_has_suffix(path, ".safetensors") ? file_base_name(path) : NULL;
    }
    for (length = strlen(model.folder); length > 1 && model.folder[length - 1] == '/';)
        model.folder[--length] = '\0';
    char *config = file_join(model.folder, "config.json");
    char *beside = file_join(model.folder, "tokenizer.json");
    Status status = import_open(&model, weights, tokenizer ? tokenizer : beside, config, out, err);
    free(config);
    free(beside);
    hf_weights_close(model.weights);
    free(model.folder);
    return status;
}
