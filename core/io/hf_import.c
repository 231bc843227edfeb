/* A Hugging Face folder: config.json, one or several safetensors files, tokenizer.json. Rotary
 * pairs are half-split there, as here. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/base/file.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/io/hf_config.h"
#include "core/io/hf_own.h"
#include "core/io/hf_tokenizer.h"
#include "core/io/hf_weights.h"
#include "core/io/model_import.h"
#include "core/io/param_names.h"

typedef struct HfModel {
    char *folder;
    HfWeights *weights;
    json_t *config;
    bool is_own; /* a folder that export wrote for modeling_cambium.py */
    CheckpointInfo info;
} HfModel;

static const char table_name[] = "model.embed_tokens.weight", head_name[] = "lm_head.weight";

static Status read_config(HfModel *model, Err *err)
{
    char *path;
    Status status = hf_read_json(model->folder, "config.json", &model->config, &path, err);
    free(path);
    if (status == STATUS_OK && !model->config)
        status = err_set(err, "%s has no config.json: it is no Hugging Face model", model->folder);
    model->is_own = hf_own_is(model->config);
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
static void settle_head(const HfModel *model, ModelConfig *config)
{
    const json_t *said = json_object_get(model->config, "tie_word_embeddings");
    const SafeEntry *table = hf_weights_find(model->weights, table_name);
    const SafeEntry *head = hf_weights_find(model->weights, head_name);
    if ((!said || json_is_null(said)) && !head)
        config->tied_head = true;
    if (!config->tied_head || !head || !table || same_values(table, head))
        return;
    log_warn("%s: config.json ties the head to the table, and the weights hold a head that "
             "differs; it is read as its own",
             model->folder);
    config->tied_head = false;
}

/* What /meta is to say. */
static Status read_info(HfModel *model, const char *where, Err *err)
{
    const char *name = file_base_name(model->folder);
    if (model->is_own)
        return hf_own_info(model->config, where, name, model->weights, &model->info, err);
    ModelConfig config;
    TRY(hf_config_parse(model->config, where, &config, err));
    settle_head(model, &config);
    import_info_init(&model->info, &config, name, "Hugging Face");
    hf_provenance_read(model->config, &model->info);
    return STATUS_OK;
}

static const SafeEntry *entry_of(const HfModel *model, int64_t expert, const char *param,
                                 char **name)
{
    char family[PARAM_NAME_MAX];
    if (model->is_own) {
        *name = hf_own_name(expert, param);
        return hf_weights_find(model->weights, *name);
    }
    CHECK(param_name(NAMES_HF, param, family), "parameter %s", param);
    *name = xstrdup(family);
    const SafeEntry *entry = hf_weights_find(model->weights, family);
    if (!entry && model->info.experts[0].config.tied_head && strcmp(family, table_name) == 0)
        entry = hf_weights_find(model->weights, head_name);
    return entry;
}

static Status check_entry(const HfModel *model, const SafeEntry *entry, const char *name,
                          const Tensor *shape, Err *err)
{
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
    return STATUS_OK;
}

static Status find_param(void *context, int64_t expert, const char *param, const Tensor *shape,
                         ImportTensor *out, Err *err)
{
    char *name;
    const SafeEntry *entry = entry_of(context, expert, param, &name);
    Status status = check_entry(context, entry, name, shape, err);
    free(name);
    if (status == STATUS_OK)
        *out = (ImportTensor){.data = entry->data, .type = block_of(entry->type)};
    return status;
}

static bool has_entry(const void *context, const char *name)
{
    const SafeEntry *entry = hf_weights_find(context, name);
    return entry && entry->bytes > 0;
}

static int64_t known_of_family(const HfModel *model)
{
    const ModelConfig *config = &model->info.experts[0].config;
    char name[PARAM_NAME_MAX];
    int64_t known = param_names_known(NAMES_HF, config, has_entry, model->weights);
    for (int64_t layer = 0; layer < config->n_layers; layer++) {
        snprintf(name, sizeof name, "model.layers.%lld.self_attn.rotary_emb.inv_freq",
                 (long long)layer);
        known += has_entry(model->weights, name); /* a constant that old files store */
    }
    return known;
}

/* A tensor that no parameter of the model is named after would be left out silently. */
static Status check_names(const HfModel *model, Err *err)
{
    int64_t total = hf_weights_count(model->weights);
    int64_t known =
        model->is_own ? hf_own_known(&model->info, model->weights) : known_of_family(model);
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
    TRY(read_info(model, config, err));
    TRY(check_names(model, err));
    TokenizerSpec spec;
    TRY(hf_tokenizer_read(model->folder, tokenizer, &spec, err));
    hf_provenance_tokenizer(model->config, &spec);
    Tokenizer *checked = tokenizer_new(&spec, err);
    if (!checked)
        return err_wrap(err, "%s", tokenizer);
    ImportModel import = {.path = out,
                          .config_file = config,
                          .tokenizer_file = tokenizer,
                          .info = &model->info,
                          .tokenizer = tokenizer_spec(checked),
                          .find = find_param,
                          .context = model};
    if (model->is_own)
        hf_own_pictures(&model->info, model->weights, &import.picture_side, &import.pictures_kept);
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
    checkpoint_info_clear(&model.info);
    json_decref(model.config);
    free(model.folder);
    return status;
}
