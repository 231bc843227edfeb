#include "core/model/config.h"

#include <stddef.h>

#include "core/model/params.h"

/* ---- the fields, once ------------------------------------------------------------------------ */

typedef enum FieldKind { FIELD_INT, FIELD_REAL, FIELD_BOOL, FIELD_CHOICE } FieldKind;

typedef struct Field {
    const char *name;
    FieldKind kind;
    size_t offset;
    const char *const *choices; /* names by value, NULL-terminated */
} Field;

static const char *const embedding_names[] = {"glyph", "codes", "learned", NULL};
static const char *const norm_names[] = {"layer", "rms", NULL};
static const char *const act_names[] = {"none", "gelu", "swiglu", NULL};

#define FIELD(name, kind)                                                                          \
    {                                                                                              \
#name, kind, offsetof(ModelConfig, name), NULL                                             \
    }
#define CHOICE(name, names)                                                                        \
    {                                                                                              \
#name, FIELD_CHOICE, offsetof(ModelConfig, name), names                                    \
    }

static const Field fields[] = {
    FIELD(vocab_size, FIELD_INT),   FIELD(n_embed, FIELD_INT),
    FIELD(d_model, FIELD_INT),      FIELD(n_layers, FIELD_INT),
    FIELD(n_heads, FIELD_INT),      FIELD(n_kv_heads, FIELD_INT),
    FIELD(head_dim, FIELD_INT),     FIELD(d_ff, FIELD_INT),
    FIELD(context, FIELD_INT),      CHOICE(embedding, embedding_names),
    FIELD(embed_scale, FIELD_REAL), CHOICE(norm, norm_names),
    FIELD(norm_eps, FIELD_REAL),    CHOICE(act, act_names),
    FIELD(bias_qkv, FIELD_BOOL),    FIELD(bias_out, FIELD_BOOL),
    FIELD(bias_ffn, FIELD_BOOL),    FIELD(bias_head, FIELD_BOOL),
    FIELD(norm_bias, FIELD_BOOL),   FIELD(tied_head, FIELD_BOOL),
    FIELD(rope_base, FIELD_REAL),   FIELD(lora_rank, FIELD_INT),
    FIELD(lora_alpha, FIELD_REAL),  FIELD(dropout, FIELD_REAL),
};
enum { N_FIELDS = sizeof fields / sizeof *fields };

/* Members of "rope_scaling", which models without it do not have. */
static const Field scaling_fields[] = {
    {"factor", FIELD_REAL, offsetof(ModelConfig, rope_scaling.factor), NULL},
    {"original_context", FIELD_INT, offsetof(ModelConfig, rope_scaling.original_context), NULL},
    {"low", FIELD_REAL, offsetof(ModelConfig, rope_scaling.low), NULL},
    {"high", FIELD_REAL, offsetof(ModelConfig, rope_scaling.high), NULL},
    {"attention", FIELD_REAL, offsetof(ModelConfig, rope_scaling.attention), NULL},
};
enum { N_SCALING_FIELDS = sizeof scaling_fields / sizeof *scaling_fields };

ModelConfig model_config_default(void)
{
    return (ModelConfig){
        .vocab_size = 8192,
        .n_embed = 384,
        .d_model = 384,
        .n_layers = 6,
        .n_heads = 6,
        .n_kv_heads = 6,
        .head_dim = 64,
        .d_ff = 1536,
        .context = 256,
        .embedding = EMBEDDING_GLYPH,
        .embed_scale = 1.0,
        .norm = NORM_LAYER,
        .norm_eps = 1e-5,
        .act = ACT_GELU,
        .bias_out = true,
        .bias_ffn = true,
        .bias_head = true,
        .norm_bias = true,
        .rope_base = 10000.0,
    };
}

/* ---- rules ---------------------------------------------------------------------------------- */

static Status check_sizes(const ModelConfig *c, Err *err)
{
    const struct {
        const char *name;
        int64_t value, low, high;
    } sizes[] = {
        {"vocab_size", c->vocab_size, 1, INT32_MAX}, {"n_embed", c->n_embed, 1, 1 << 20},
        {"d_model", c->d_model, 1, 1 << 20},         {"n_layers", c->n_layers, 0, 1 << 16},
        {"n_heads", c->n_heads, 1, 1 << 16},         {"n_kv_heads", c->n_kv_heads, 1, 1 << 16},
        {"head_dim", c->head_dim, 2, 1 << 16},       {"d_ff", c->d_ff, 1, 1 << 24},
        {"context", c->context, 1, INT32_MAX},       {"lora_rank", c->lora_rank, 0, 1 << 16},
    };
    for (int i = 0; i < (int)(sizeof sizes / sizeof *sizes); i++)
        if (sizes[i].value < sizes[i].low || sizes[i].value > sizes[i].high)
            return err_set(err, "model: %s is %lld; it must be from %lld to %lld", sizes[i].name,
                           (long long)sizes[i].value, (long long)sizes[i].low,
                           (long long)sizes[i].high);
    return STATUS_OK;
}

Status model_config_check(const ModelConfig *c, Err *err)
{
    TRY(check_sizes(c, err));
    if (c->d_model % c->n_embed != 0)
        return err_set(err, "model: d_model %lld is not a multiple of the table's width %lld",
                       (long long)c->d_model, (long long)c->n_embed);
    if (c->n_heads % c->n_kv_heads != 0)
        return err_set(err, "model: %lld heads cannot share %lld KV heads evenly",
                       (long long)c->n_heads, (long long)c->n_kv_heads);
    if (c->head_dim % 2 != 0)
        return err_set(err, "model: head_dim %lld is odd; rotary positions need pairs",
                       (long long)c->head_dim);
    if (c->tied_head && c->n_embed != c->d_model)
        return err_set(err, "model: a tied head needs a table as wide as d_model (%lld, not %lld)",
                       (long long)c->d_model, (long long)c->n_embed);
    if (c->act != ACT_GELU && c->act != ACT_SWIGLU)
        return err_set(err, "model: the activation must be gelu or swiglu");
    if (c->norm == NORM_RMS && c->norm_bias)
        return err_set(err, "model: RMS norms have no bias (norm_bias)");
    if (!(c->norm_eps > 0.0 && c->norm_eps < 1.0))
        return err_set(err, "model: norm_eps %g is not between 0 and 1", c->norm_eps);
    if (!(c->rope_base > 1.0))
        return err_set(err, "model: rope_base %g is not above 1", c->rope_base);
    TRY(rope_scaling_check(&c->rope_scaling, err));
    if (!(c->embed_scale > 0.0 && c->embed_scale < 1e6))
        return err_set(err, "model: embed_scale %g is not above 0", c->embed_scale);
    if (!(c->dropout >= 0.0 && c->dropout < 1.0))
        return err_set(err, "model: dropout %g is not in [0, 1)", c->dropout);
    if (c->lora_rank > 0 && !(c->lora_alpha > 0.0))
        return err_set(err, "model: lora_alpha %g is not above 0", c->lora_alpha);
    return STATUS_OK;
}

/* ---- JSON ----------------------------------------------------------------------------------- */

static const void *field_of(const ModelConfig *config, const Field *field)
{
    return (const char *)config + field->offset;
}

static void put_fields(json_t *object, const ModelConfig *config, const Field *list, int n)
{
    for (int i = 0; i < n; i++) {
        const Field *field = &list[i];
        const void *at = field_of(config, field);
        json_t *value = NULL;
        switch (field->kind) {
        case FIELD_INT:
            value = json_integer(*(const int64_t *)at);
            break;
        case FIELD_REAL:
            value = json_real(*(const double *)at);
            break;
        case FIELD_BOOL:
            value = json_boolean(*(const bool *)at);
            break;
        case FIELD_CHOICE:
            value = json_string(field->choices[*(const int *)at]);
            break;
        }
        json_object_set_new(object, field->name, value);
    }
}

json_t *model_config_json(const ModelConfig *config)
{
    json_t *object = json_object();
    put_fields(object, config, fields, N_FIELDS);
    const char *kind = rope_scaling_name(config->rope_scaling.kind);
    if (kind) {
        json_t *scaling = json_pack("{s:s}", "kind", kind);
        put_fields(scaling, config, scaling_fields, N_SCALING_FIELDS);
        json_object_set_new(object, "rope_scaling", scaling);
    }
    return object;
}

static Status choice_read(const Field *field, const char *name, int *out, Err *err)
{
    for (int i = 0; name && field->choices[i]; i++)
        if (strcmp(field->choices[i], name) == 0) {
            *out = i;
            return STATUS_OK;
        }
    return err_set(err, "model: '%s' is not a value of %s", name ? name : "(no text)", field->name);
}

static Status field_read(const Field *field, const json_t *value, ModelConfig *out, Err *err)
{
    void *at = (char *)out + field->offset;
    switch (field->kind) {
    case FIELD_INT:
        if (!json_is_integer(value))
            return err_set(err, "model: %s is not a whole number", field->name);
        *(int64_t *)at = json_integer_value(value);
        break;
    case FIELD_REAL:
        if (!json_is_number(value))
            return err_set(err, "model: %s is not a number", field->name);
        *(double *)at = json_number_value(value);
        break;
    case FIELD_BOOL:
        if (!json_is_boolean(value))
            return err_set(err, "model: %s is neither true nor false", field->name);
        *(bool *)at = json_is_true(value);
        break;
    case FIELD_CHOICE:
        return choice_read(field, json_string_value(value), at, err);
    }
    return STATUS_OK;
}

static Status get_fields(const json_t *json, const Field *list, int n, ModelConfig *out, Err *err)
{
    for (int i = 0; i < n; i++) {
        const json_t *value = json_object_get(json, list[i].name);
        if (!value)
            return err_set(err, "model: the configuration lacks %s", list[i].name);
        TRY(field_read(&list[i], value, out, err));
    }
    return STATUS_OK;
}

static Status get_scaling(const json_t *json, ModelConfig *out, Err *err)
{
    const char *kind = json_string_value(json_object_get(json, "kind"));
    if (!json)
        return STATUS_OK;
    out->rope_scaling.kind = kind ? rope_scaling_parse(kind) : ROPE_UNSCALED;
    if (out->rope_scaling.kind == ROPE_UNSCALED)
        return err_set(err, "model: rope_scaling is of no known kind");
    return get_fields(json, scaling_fields, N_SCALING_FIELDS, out, err);
}

Status model_config_from_json(const json_t *json, ModelConfig *out, Err *err)
{
    if (!json_is_object(json))
        return err_set(err, "model: the configuration is not a JSON object");
    *out = (ModelConfig){0};
    TRY(get_fields(json, fields, N_FIELDS, out, err));
    TRY(get_scaling(json_object_get(json, "rope_scaling"), out, err));
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)json, key, value)
    {
        bool known = strcmp(key, "rope_scaling") == 0;
        for (int i = 0; i < N_FIELDS; i++)
            known = known || strcmp(fields[i].name, key) == 0;
        if (!known)
            return err_set(err, "model: '%s' is not a key of the configuration", key);
    }
    return model_config_check(out, err);
}

/* ---- sizes ---------------------------------------------------------------------------------- */

static int64_t shape_count(Tensor shape)
{
    return shape.n_dims ? tensor_count(&shape) : 0;
}

ModelSize model_size(const ModelConfig *config)
{
    ModelSize size = {.embedding = config->vocab_size * config->n_embed};
    for (int i = 0; i < BLOCK_PARAM_COUNT; i++) {
        size.block += shape_count(block_param_shape(config, i));
        size.lora += shape_count(lora_a_shape(config, i)) + shape_count(lora_b_shape(config, i));
    }
    for (int i = 0; i < HEAD_PARAM_COUNT; i++)
        size.head += shape_count(head_param_shape(config, i));
    size.total = size.embedding + config->n_layers * (size.block + size.lora) + size.head;
    return size;
}

ModelFlops model_flops(const ModelConfig *config, int64_t t)
{
    ModelFlops flops = {0};
    for (int i = 0; i < BLOCK_PARAM_COUNT; i++) {
        Tensor shape = block_param_shape(config, i);
        if (shape.n_dims == 2)
            flops.block += 2.0 * (double)tensor_count(&shape);
        flops.lora += 2.0 * (double)(shape_count(lora_a_shape(config, i)) +
                                     shape_count(lora_b_shape(config, i)));
    }
    /* Scores and weighted values: 2 products of D for each of t / 2 visible positions and head. */
    flops.attention = 2.0 * (double)t * (double)(config->n_heads * config->head_dim);
    flops.head = 2.0 * (double)config->vocab_size * (double)config->d_model;
    return flops;
}
