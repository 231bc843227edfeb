/* A template's source as tokens, with the white space gone that trim_blocks, lstrip_blocks and the
 * signs of the tags ({%- +%}) take away. Private to core/text/jinja. */
#ifndef CAMBIUM_CORE_TEXT_JINJA_JINJA_LEX_H
#define CAMBIUM_CORE_TEXT_JINJA_JINJA_LEX_H

#include "core/text/jinja/jinja_text.h"

typedef enum JinjaTokenKind {
    LEX_END,
    LEX_DATA,      /* text outside of tags */
    LEX_VAR_BEGIN, /* {{ */
    LEX_VAR_END,
    LEX_TAG_BEGIN, /* {% */
    LEX_TAG_END,
    LEX_NAME,
    LEX_STRING,
    LEX_INT,
    LEX_FLOAT,
    LEX_OPERATOR,
} JinjaTokenKind;

typedef struct JinjaToken {
    JinjaTokenKind kind;
    int line;
    const char *text; /* of a name or an operator, terminated */
    JinjaValue value; /* of data, a string or a number */
} JinjaToken;

typedef struct JinjaTokens {
    JinjaToken *items; /* the last is LEX_END */
    int64_t count, capacity;
} JinjaTokens;

/* `source` is valid UTF-8. */
JinjaTokens jinja_lex(JinjaWork *work, const char *source, int64_t bytes);

#endif
