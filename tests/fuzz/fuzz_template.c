/* Chat templates of any bytes, run on a conversation. */
#include <stdint.h>
#include <stdlib.h>

#include "core/text/jinja/jinja.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static json_t *conversation(void)
{
    return json_pack("{s:[{s:s, s:s}, {s:s, s:n, s:[{s:s, s:{s:i, s:f}}]}], s:[{s:s}], s:b, s:s}",
                     "messages", "role", "user", "content", "Hi <b>\xC3\x9F\xF0\x9F\x98\x80",
                     "role", "assistant", "content", "tool_calls", "name", "f", "arguments", "n", 3,
                     "x", 1.5, "tools", "name", "f", "add_generation_prompt", 1, "s", " a,b ");
}

/* Spans lie within the text, in order, and do not touch. */
static void check(const JinjaOutput *out)
{
    int64_t last = -1;
    for (int64_t i = 0; i < out->n_plain; i++) {
        if (out->plain[i].begin <= last || out->plain[i].end <= out->plain[i].begin)
            __builtin_trap();
        last = out->plain[i].end;
    }
    if (last > out->text.size)
        __builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static json_t *variables;
    Err err;
    JinjaTemplate *program;
    JinjaOutput out;
    if (!variables)
        variables = conversation();
    if (jinja_parse(&program, (const char *)data, (int64_t)size, &err) != STATUS_OK)
        return 0;
    JinjaInput input = {.variables = variables, .max_steps = 1 << 16};
    if (jinja_render(program, &input, &out, &err) == STATUS_OK)
        check(&out);
    jinja_output_clear(&out);
    jinja_free(program);
    return 0;
}
