/* POST /pictures: tokens as the pictures that a glyph model's table was made of. */
#ifndef CAMBIUM_INFER_SERVE_PICTURES_H
#define CAMBIUM_INFER_SERVE_PICTURES_H

#include "infer/serve/request.h"

/* {"tokens": [ids]} to {"side": S, "pictures": {"ID": base64 of S x S bytes, 0 for paper and 255
 * for ink}}, which the caller owns. A model without pictures has none: 404. */
Status request_pictures(const Protocol *protocol, const char *body, int64_t bytes, json_t **out,
                        ApiError *error);

#endif
