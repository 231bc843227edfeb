#include "infer/serve/pictures.h"

#include <inttypes.h>
#include <nettle/base64.h>
#include <stdlib.h>

#include "core/base/mem.h"
#include "infer/serve/request_fields.h"

enum { PICTURES_AT_ONCE = 1024 };

static json_t *draw(const TokenPictures *pictures, const IdList *ids)
{
    int64_t side = token_pictures_side(pictures);
    size_t bytes = (size_t)(side * side);
    uint8_t *ink = xmalloc(bytes);
    char *text = xmalloc(BASE64_ENCODE_RAW_LENGTH(bytes) + 1), name[24];
    json_t *all = json_object();
    for (int64_t i = 0; i < ids->count; i++) {
        if (ids->items[i] >= token_pictures_rows(pictures))
            continue; /* a vocabulary may be padded beyond its table */
        token_pictures_draw(pictures, ids->items[i], ink);
        base64_encode_raw(text, bytes, ink);
        text[BASE64_ENCODE_RAW_LENGTH(bytes)] = 0;
        snprintf(name, sizeof name, "%" PRId64, (int64_t)ids->items[i]);
        json_object_set_new(all, name, json_string(text));
    }
    free(text);
    free(ink);
    return json_pack("{s:I, s:o}", "side", (json_int_t)side, "pictures", all);
}

Status request_pictures(const Protocol *p, const char *body, int64_t bytes, json_t **out,
                        ApiError *error)
{
    json_t *object;
    *out = NULL;
    if (!p->pictures)
        return api_error(error, 404, "not_found", "this model's table keeps no pictures of tokens");
    TRY(request_json(body, bytes, &object, error));
    const json_t *tokens = json_object_get(object, "tokens");
    IdList ids = {0};
    Status status = json_is_array(tokens) && json_array_size(tokens) <= PICTURES_AT_ONCE
                        ? field_ids(tokens, "tokens", p->vocab_size, &ids, error)
                        : api_error_param(error, "tokens", "'tokens' is an array of at most %d ids",
                                          PICTURES_AT_ONCE);
    if (status == STATUS_OK)
        *out = draw(p->pictures, &ids);
    id_list_clear(&ids);
    json_decref(object);
    return status;
}
