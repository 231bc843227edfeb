#include "core/text/spec_edit.h"

#include "core/base/mem.h"

void spec_edit_begin(SpecEdit *edit, TokenizerSpec *spec)
{
    *edit = (SpecEdit){.spec = spec};
    *spec = (TokenizerSpec){.kind = TOKENIZER_RANKED, .pad = -1, .bos = -1, .eos = -1, .unk = -1};
    spec->offsets = mem_grow(NULL, &edit->offset_capacity, 1, sizeof *spec->offsets);
    spec->offsets[0] = 0;
}

int32_t spec_edit_token(SpecEdit *edit, const char *text, int64_t bytes, TokenType type)
{
    TokenizerSpec *spec = edit->spec;
    int64_t id = spec->n_tokens++;
    strbuf_append(&edit->text, text, (size_t)bytes);
    spec->offsets = mem_grow(spec->offsets, &edit->offset_capacity, id + 2, sizeof *spec->offsets);
    spec->offsets[id + 1] = edit->text.size;
    spec->types = mem_grow(spec->types, &edit->type_capacity, id + 1, sizeof *spec->types);
    spec->types[id] = (uint8_t)type;
    return (int32_t)id;
}

void spec_edit_merge(SpecEdit *edit, int32_t left, int32_t right, int32_t result)
{
    TokenizerSpec *spec = edit->spec;
    spec->merges =
        mem_grow(spec->merges, &edit->merge_capacity, spec->n_merges + 1, 3 * sizeof *spec->merges);
    int32_t *merge = spec->merges + 3 * spec->n_merges++;
    merge[0] = left, merge[1] = right, merge[2] = result;
}

void spec_edit_end(SpecEdit *edit)
{
    edit->spec->text = strbuf_detach(&edit->text);
}
