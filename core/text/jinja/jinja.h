/* Jinja templates, as chat models bring them: parsed once, run on JSON values.
 *
 * The language is that of `jinja2` in the sandbox of `transformers` (trim_blocks, lstrip_blocks,
 * loop controls, no autoescape, tojson that escapes no HTML). What is not supported is refused when
 * it is met, by its name and line; nothing is left out in silence. Steps, depth and memory are
 * limited.
 *
 * The text that a template writes remembers which of its bytes came from somebody else: from a
 * string of the variables, whatever was done to it on the way.
 *
 * A JinjaTemplate is immutable and may be used by several threads. */
#ifndef CAMBIUM_CORE_TEXT_JINJA_JINJA_H
#define CAMBIUM_CORE_TEXT_JINJA_JINJA_H

#include <jansson.h>
#include <time.h>

#include "core/base/err.h"
#include "core/base/strbuf.h"
#include "core/text/tokenizer.h"

typedef struct JinjaTemplate JinjaTemplate;

/* Fails on what is no template, with the line and the reason. */
Status jinja_parse(JinjaTemplate **out, const char *source, int64_t bytes, Err *err);
void jinja_free(JinjaTemplate *program);

typedef struct JinjaInput {
    const json_t *variables; /* an object: what others wrote */
    const json_t *own;       /* an object or NULL: what counts as the template's own text; only
                                what `variables` does not name */
    /* Texts that count as the template's own where a message's "role" is exactly one of them:
     * templates write names of tokens around them ("<|" ~ role ~ "|>"). Ends with NULL. */
    const char *const *roles;
    const struct tm *now; /* what strftime_now tells; NULL: the clock */
    int64_t max_steps;    /* 0: what no template of a model comes near */
} JinjaInput;

typedef struct JinjaOutput {
    StrBuf text;
    TextSpan *plain; /* what the template did not write, in order; owned */
    int64_t n_plain;
} JinjaOutput;

/* Fails on what the template refuses (raise_exception: its own words), on errors in it, on what is
 * not supported, and beyond the limits. `out` is then empty. */
Status jinja_render(const JinjaTemplate *program, const JinjaInput *input, JinjaOutput *out,
                    Err *err);
void jinja_output_clear(JinjaOutput *out);

#endif
