#include "core/text/jinja/jinja.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/text/jinja/jinja_run.h"
#include "core/text/utf8.h"

enum {
    PARSE_DEPTH = 250,
    RUN_DEPTH = 1200,
    PARSE_BYTES = 64 << 20,
    RUN_BYTES = 512 << 20,
    PARSE_STEPS = 100 << 20,
    RUN_STEPS = 20 << 20,
};

struct JinjaTemplate {
    JinjaChunk *chunks; /* where all of it lies */
    JinjaNodes body;
};

/* On the heap: what changes between setjmp and longjmp must not be a local variable. */
static JinjaWork *work_new(int64_t bytes, int64_t steps, int depth, Err *err)
{
    JinjaWork *work = xcalloc(1, sizeof *work);
    work->max_bytes = bytes;
    work->max_steps = steps;
    work->max_depth = depth;
    work->err = err;
    return work;
}

static void work_free(JinjaWork *work)
{
    jinja_pool_free(work->chunks);
    free(work);
}

Status jinja_parse(JinjaTemplate **out, const char *source, int64_t bytes, Err *err)
{
    *out = NULL;
    if (utf8_valid_prefix(source, bytes) != bytes)
        return err_set(err, "it is not UTF-8");
    JinjaWork *work = work_new(PARSE_BYTES, PARSE_STEPS, PARSE_DEPTH, err);
    if (setjmp(work->out)) {
        work_free(work);
        return STATUS_FAIL;
    }
    JinjaNodes body = jinja_parse_nodes(work, source, bytes);
    *out = xcalloc(1, sizeof **out);
    **out = (JinjaTemplate){work->chunks, body};
    free(work);
    return STATUS_OK;
}

void jinja_free(JinjaTemplate *program)
{
    if (!program)
        return;
    jinja_pool_free(program->chunks);
    free(program);
}

/* ---- variables ------------------------------------------------------------------------------- */

static JinjaValue from_json(JinjaWork *work, const json_t *json, bool plain);

static JinjaValue list_from(JinjaWork *work, const json_t *json, bool plain)
{
    JinjaList *list = jinja_list_new(work);
    size_t i;
    json_t *one;
    json_array_foreach(json, i, one) jinja_list_add(work, list, from_json(work, one, plain));
    return jinja_of_list(JINJA_LIST, list);
}

static JinjaValue dict_from(JinjaWork *work, const json_t *json, bool plain)
{
    JinjaDict *dict = jinja_dict_new(work);
    json_t *object = (json_t *)(uintptr_t)json;
    for (void *at = json_object_iter(object); at; at = json_object_iter_next(object, at)) {
        const char *key = json_object_iter_key(at);
        int64_t bytes = (int64_t)json_object_iter_key_len(at);
        jinja_dict_put(work, dict, jinja_of_text(text_of(work, key, bytes, plain)),
                       from_json(work, json_object_iter_value(at), plain));
    }
    return jinja_of_dict(dict);
}

static JinjaValue from_json(JinjaWork *work, const json_t *json, bool plain)
{
    JinjaValue value = jinja_none();
    jinja_deeper(work);
    switch (json_typeof(json)) {
    case JSON_OBJECT:
        value = dict_from(work, json, plain);
        break;
    case JSON_ARRAY:
        value = list_from(work, json, plain);
        break;
    case JSON_STRING:
        value = jinja_of_text(
            text_of(work, json_string_value(json), (int64_t)json_string_length(json), plain));
        break;
    case JSON_INTEGER:
        value = jinja_int(json_integer_value(json));
        break;
    case JSON_REAL:
        value = jinja_float(json_real_value(json));
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        value = jinja_bool(json_is_true(json));
        break;
    default:
        break;
    }
    jinja_shallower(work);
    value.plain = plain;
    return value;
}

/* The roles of messages that are well known are no texts of others. */
static void trust_roles(JinjaWork *work, JinjaDict *variables, const char *const *roles)
{
    const JinjaValue *messages = jinja_dict_find_name(work, variables, "messages");
    for (int64_t i = 0; messages && messages->kind == JINJA_LIST && i < messages->list->count;
         i++) {
        JinjaValue message = messages->list->items[i];
        JinjaValue *role =
            message.kind == JINJA_DICT ? jinja_dict_find_name(work, message.dict, "role") : NULL;
        for (const char *const *r = roles; role && role->kind == JINJA_TEXT && *r; r++)
            if (text_is(role->text, *r))
                *role = text_value(work, *r);
    }
}

static JinjaDict *variables_of(JinjaWork *work, const JinjaInput *input)
{
    JinjaDict *variables = dict_from(work, input->variables, true).dict;
    const JinjaDict *own = input->own ? dict_from(work, input->own, false).dict : NULL;
    for (int64_t i = 0; own && i < own->count; i++)
        if (!jinja_dict_find(work, variables, own->keys[i]))
            jinja_dict_put(work, variables, own->keys[i], own->values[i]);
    if (input->roles)
        trust_roles(work, variables, input->roles);
    return variables;
}

/* ---- rendering ------------------------------------------------------------------------------- */

static JinjaText *run_program(JinjaWork *work, const JinjaTemplate *program,
                              const JinjaInput *input)
{
    JinjaRun run = {.work = work};
    time_t clock = time(NULL);
    if (input->now)
        run.now = *input->now;
    else
        localtime_r(&clock, &run.now);
    JinjaBuild out = build_new(work, NULL);
    run.out = &out;
    run.variables = variables_of(work, input);
    run.scope = scope_enter(&run, NULL);
    jinja_exec(&run, &program->body);
    return build_done(&out);
}

/* Neighbouring spans become one. */
static void copy_spans(JinjaOutput *out, const JinjaText *text)
{
    out->plain = xcalloc((size_t)text->n_plain, sizeof *out->plain);
    for (int64_t i = 0; i < text->n_plain; i++) {
        TextSpan span = text->plain[i];
        if (out->n_plain > 0 && out->plain[out->n_plain - 1].end == span.begin)
            out->plain[out->n_plain - 1].end = span.end;
        else
            out->plain[out->n_plain++] = span;
    }
}

Status jinja_render(const JinjaTemplate *program, const JinjaInput *input, JinjaOutput *out,
                    Err *err)
{
    *out = (JinjaOutput){0};
    JinjaWork *work =
        work_new(RUN_BYTES, input->max_steps ? input->max_steps : RUN_STEPS, RUN_DEPTH, err);
    if (setjmp(work->out)) {
        work_free(work);
        return STATUS_FAIL;
    }
    const JinjaText *text = run_program(work, program, input);
    strbuf_append(&out->text, text->data, (size_t)text->size);
    copy_spans(out, text);
    work_free(work);
    return STATUS_OK;
}

void jinja_output_clear(JinjaOutput *out)
{
    strbuf_clear(&out->text);
    free(out->plain);
    *out = (JinjaOutput){0};
}
