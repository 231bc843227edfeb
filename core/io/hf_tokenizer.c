#include "core/io/hf_tokenizer.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/file.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/text/json_read.h"
#include "core/text/token_roles.h"
#include "core/text/tokenizer_json.h"

enum { JSON_LIMIT = 1 << 24 };

Status hf_read_json(const char *folder, const char *name, json_t **out, char **path, Err *err)
{
    StrBuf content = {0};
    *out = NULL;
    *path = file_join(folder, name);
    if (!file_exists(*path))
        return STATUS_OK;
    Status status = file_read(*path, JSON_LIMIT, &content, err);
    if (status == STATUS_OK) {
        json_error_t fault;
        *out = json_read(content.data ? content.data : "", content.size, 0, &fault);
        if (!json_is_object(*out))
            status = err_set(err, "%s is not a JSON object: %s", *path, *out ? "" : fault.text);
    }
    strbuf_clear(&content);
    return status;
}

/* ---- roles ----------------------------------------------------------------------------------- */

/* What the files of a folder say; each is NULL where there is no such file. */
typedef struct Stated {
    json_t *tokenizer, *map, *config, *generation, *chat;
} Stated;

static Status stated_read(Stated *stated, const char *folder, Err *err)
{
    const struct {
        const char *name;
        json_t **to;
    } files[] = {{"tokenizer_config.json", &stated->tokenizer},
                 {"special_tokens_map.json", &stated->map},
                 {"config.json", &stated->config},
                 {"generation_config.json", &stated->generation},
                 {"chat_template.json", &stated->chat}};
    *stated = (Stated){0};
    Status status = STATUS_OK;
    for (size_t i = 0; i < sizeof files / sizeof *files && status == STATUS_OK; i++) {
        char *path;
        status = hf_read_json(folder, files[i].name, files[i].to, &path, err);
        free(path);
    }
    return status;
}

static void stated_clear(Stated *stated)
{
    json_decref(stated->tokenizer);
    json_decref(stated->map);
    json_decref(stated->config);
    json_decref(stated->generation);
    json_decref(stated->chat);
}

/* The token whose text the tokenizer's files give a role: a text, or an object with the text as
 * "content". False when they do not speak of the role; -1: they say that there is none, or name
 * what the vocabulary does not have. */
static bool named_token(const TokenizerSpec *spec, const Stated *stated, const char *key,
                        int32_t *out)
{
    const json_t *value = json_object_get(stated->tokenizer, key);
    if (!value)
        value = json_object_get(stated->map, key);
    if (!value)
        return false;
    if (json_is_object(value))
        value = json_object_get(value, "content");
    *out = json_is_string(value)
               ? token_role_find(spec, json_string_value(value), json_string_length(value))
               : -1;
    return true;
}

/* Adds the ids that a file states, one or a list. */
static void add_stated(const TokenizerSpec *spec, const json_t *json, const char *key,
                       const char *file, IdList *out)
{
    const json_t *value = json_object_get(json, key);
    size_t n = json_is_array(value) ? json_array_size(value) : 1;
    for (size_t i = 0; i < n && out->count < TOKENIZER_ENDS; i++) {
        const json_t *id = json_is_array(value) ? json_array_get(value, i) : value;
        if (!json_is_integer(id))
            continue;
        json_int_t number = json_integer_value(id);
        if (number >= 0 && number < spec->n_tokens)
            id_list_add(out, (int32_t)number);
        else
            log_warn("%s: '%s' is token %lld of %lld; it is left out", file, key, (long long)number,
                     (long long)spec->n_tokens);
    }
}

/* Of one role: the tokenizer's files come first, then those of the model, then `standard`. */
static int32_t role_of(const TokenizerSpec *spec, const Stated *stated, const char *role,
                       int32_t standard)
{
    char token[32], id[32];
    int32_t found;
    IdList ids = {0};
    snprintf(token, sizeof token, "%s_token", role);
    snprintf(id, sizeof id, "%s_token_id", role);
    if (named_token(spec, stated, token, &found))
        return found;
    add_stated(spec, stated->generation, id, "generation_config.json", &ids);
    add_stated(spec, stated->config, id, "config.json", &ids);
    found = ids.count > 0 ? ids.items[0] : standard;
    id_list_clear(&ids);
    return found;
}

/* Whatever one of the files says ends a text does. */
static void read_roles(const Stated *stated, TokenizerSpec *spec)
{
    IdList ends = {0};
    const json_t *add = json_object_get(stated->tokenizer, "add_bos_token");
    int32_t template_bos = spec->bare_start ? -1 : spec->bos;
    spec->bos = role_of(spec, stated, "bos", spec->bos);
    if (spec->bos < 0)
        spec->bos =
            template_bos; /* which tokenizer.json puts before texts, whatever it is called */
    spec->eos = role_of(spec, stated, "eos", spec->eos);
    spec->pad = role_of(spec, stated, "pad", spec->pad);
    if (json_is_boolean(add) && spec->bos >= 0)
        spec->bare_start = json_is_false(add);
    add_stated(spec, stated->generation, "eos_token_id", "generation_config.json", &ends);
    add_stated(spec, stated->config, "eos_token_id", "config.json", &ends);
    if (spec->eos < 0 && ends.count > 0)
        spec->eos = ends.items[0];
    for (int64_t i = 0; i < ends.count; i++)
        tokenizer_spec_add_end(spec, ends.items[i]);
    id_list_clear(&ends);
    token_roles_settle(spec);
}

/* ---- the chat template ------------------------------------------------------------------------
 */

/* The template of this name among several: a list of names and templates, or an object. */
static const char *named_template(const json_t *value, const char *name)
{
    size_t i;
    json_t *one;
    json_array_foreach(value, i, one)
    {
        const char *is = json_string_value(json_object_get(one, "name"));
        if (is && strcmp(is, name) == 0)
            return json_string_value(json_object_get(one, "template"));
    }
    return json_string_value(json_object_get(value, name));
}

static void set_template(char **field, const char *jinja)
{
    if (!jinja)
        return;
    free(*field);
    *field = xstrdup(jinja);
}

/* One template, or several with names, of which two are known. */
static void take_templates(const json_t *value, TokenizerSpec *spec)
{
    set_template(&spec->chat_template, json_is_string(value) ? json_string_value(value)
                                                             : named_template(value, "default"));
    set_template(&spec->tool_template, named_template(value, "tool_use"));
}

/* A template in a file of its own, which goes before what other files say. */
static Status read_template_file(const char *folder, const char *name, char **field, Err *err)
{
    char *path = file_join(folder, name);
    Status status = STATUS_OK;
    if (file_exists(path)) {
        StrBuf content = {0};
        status = file_read(path, JSON_LIMIT, &content, err);
        if (status == STATUS_OK && content.size > 0 &&
            memchr(content.data, '\0', (size_t)content.size))
            status = err_set(err, "%s holds a zero byte", path);
        if (status == STATUS_OK)
            set_template(field, content.data ? content.data : "");
        strbuf_clear(&content);
    }
    free(path);
    return status;
}

/* Older folders keep it in tokenizer_config.json, those of models with pictures in
 * chat_template.json, newer ones in files of their own. */
static Status read_chat_template(const char *folder, const Stated *stated, TokenizerSpec *spec,
                                 Err *err)
{
    take_templates(json_object_get(stated->tokenizer, "chat_template"), spec);
    take_templates(json_object_get(stated->chat, "chat_template"), spec);
    TRY(read_template_file(folder, "chat_template.jinja", &spec->chat_template, err));
    return read_template_file(folder, "additional_chat_templates/tool_use.jinja",
                              &spec->tool_template, err);
}

json_t *hf_chat_template_json(const TokenizerSpec *spec)
{
    if (!spec->tool_template)
        return spec->chat_template ? json_string(spec->chat_template) : NULL;
    json_t *list = json_array();
    if (spec->chat_template)
        json_array_append_new(
            list, json_pack("{s:s, s:s}", "name", "default", "template", spec->chat_template));
    json_array_append_new(
        list, json_pack("{s:s, s:s}", "name", "tool_use", "template", spec->tool_template));
    return list;
}

Status hf_tokenizer_read(const char *folder, const char *path, TokenizerSpec *spec, Err *err)
{
    Stated stated;
    *spec = (TokenizerSpec){.pad = -1, .bos = -1, .eos = -1, .unk = -1};
    Status status = stated_read(&stated, folder, err);
    if (status == STATUS_OK)
        status = tokenizer_json_read_with(
            path, json_object_get(stated.tokenizer, "added_tokens_decoder"), spec, err);
    if (status == STATUS_OK) {
        read_roles(&stated, spec);
        status = read_chat_template(folder, &stated, spec, err);
    }
    stated_clear(&stated);
    if (status != STATUS_OK)
        tokenizer_spec_clear(spec);
    return status;
}

/* ---- writing ----------------------------------------------------------------------------------
 */

json_t *hf_generation_json(const Tokenizer *tokenizer)
{
    const TokenizerSpec *spec = tokenizer_spec(tokenizer);
    json_t *json = json_object(), *list = json_array();
    IdList ends = {0};
    tokenizer_ends(tokenizer, &ends);
    for (int64_t i = 0; i < ends.count; i++)
        json_array_append_new(list, json_integer(ends.items[i]));
    if (spec->bos >= 0)
        json_object_set_new(json, "bos_token_id", json_integer(spec->bos));
    if (ends.count == 1)
        json_object_set(json, "eos_token_id", json_array_get(list, 0));
    else if (ends.count > 1)
        json_object_set(json, "eos_token_id", list);
    if (spec->pad >= 0)
        json_object_set_new(json, "pad_token_id", json_integer(spec->pad));
    json_decref(list);
    id_list_clear(&ends);
    return json;
}
