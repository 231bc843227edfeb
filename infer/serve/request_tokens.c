#include "core/io/json_put.h"
#include "infer/serve/request_chat.h"
#include "infer/serve/request_fields.h"

/* The ids of "prompt", a text. */
static Status read_text(const json_t *object, const Protocol *p, IdList *ids, ApiError *error)
{
    const json_t *prompt = field_get(object, "prompt");
    PromptForm form = {.start = true};
    TRY(field_bool(object, "add_special_tokens", &form.start, error));
    TRY(field_bool(object, "parse_special", &form.specials, error));
    if (!json_is_string(prompt))
        return api_error_param(error, "prompt", "'prompt' is a string");
    prompt_encode_text(p->tokenizer, prompt, &form, ids);
    return STATUS_OK;
}

static Status read_chat(const json_t *object, const Protocol *p, IdList *ids, ApiError *error)
{
    StringList stops = {0};
    int32_t end;
    Status status = request_conversation(object, p, ids, &end, &stops, error);
    string_list_clear(&stops);
    return status;
}

Status request_tokenize(const Protocol *p, const char *body, int64_t bytes, json_t **out,
                        ApiError *error)
{
    json_t *object;
    *out = NULL;
    TRY(request_json(body, bytes, &object, error));
    IdList ids = {0};
    Status status = field_given(object, "messages") ? read_chat(object, p, &ids, error)
                                                    : read_text(object, p, &ids, error);
    if (status == STATUS_OK) {
        json_t *tokens = json_array(), *pieces = json_array();
        for (int64_t i = 0; i < ids.count; i++) {
            int64_t size;
            const char *piece = tokenizer_token(p->tokenizer, ids.items[i], &size);
            json_array_append_new(tokens, json_integer(ids.items[i]));
            json_array_append_new(pieces, json_text(piece, size));
        }
        *out = json_pack("{s:I, s:I, s:o, s:o}", "count", (json_int_t)ids.count, "max_model_len",
                         (json_int_t)p->context, "tokens", tokens, "pieces", pieces);
    }
    id_list_clear(&ids);
    json_decref(object);
    return status;
}

Status request_detokenize(const Protocol *p, const char *body, int64_t bytes, json_t **out,
                          ApiError *error)
{
    json_t *object;
    *out = NULL;
    TRY(request_json(body, bytes, &object, error));
    const json_t *tokens = json_object_get(object, "tokens");
    IdList ids = {0};
    Status status = json_is_array(tokens)
                        ? field_ids(tokens, "tokens", p->vocab_size, &ids, error)
                        : api_error_param(error, "tokens", "'tokens' is an array of token ids");
    if (status == STATUS_OK) {
        StrBuf text = {0};
        tokenizer_decode(p->tokenizer, ids.items, ids.count, false, &text);
        *out = json_pack("{s:o}", "prompt", json_text(text.data ? text.data : "", text.size));
        strbuf_clear(&text);
    }
    id_list_clear(&ids);
    json_decref(object);
    return status;
}
