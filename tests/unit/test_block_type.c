/* Blocks of every type give the numbers that GGML's Python package reads from them, to the last
 * bit, and numbers become the blocks that it writes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/io/block_type.h"

enum { BYTES = 2048, VALUES = 1024 };

typedef struct Golden {
    BlockType type;
    bool quantise;
    uint8_t data[BYTES + 1]; /* one more: it is also read from an odd address */
    float values[VALUES];
    int64_t n_bytes, n_values;
} Golden;

static BlockType type_named(const char *name)
{
    for (int i = 0; i < 64; i++)
        if (block_known(i) && strcmp(block_name(i), name) == 0)
            return (BlockType)i;
    fail_msg("type %s", name);
    return BLOCK_F32;
}

/* Of a line of the golden file. */
static void parse(char *line, Golden *g)
{
    char *rest = line, *word = strsep(&rest, " ");
    *g = (Golden){.quantise = strcmp(word, "quantise") == 0};
    if (g->quantise)
        word = strsep(&rest, " ");
    g->type = type_named(word);
    word = strsep(&rest, " ");
    for (; word[2 * g->n_bytes]; g->n_bytes++) {
        char digits[3] = {word[2 * g->n_bytes], word[2 * g->n_bytes + 1], 0};
        assert_true(g->n_bytes < BYTES);
        g->data[g->n_bytes] = (uint8_t)strtoul(digits, NULL, 16);
    }
    while ((word = strsep(&rest, " \n"))) {
        uint32_t bits = (uint32_t)strtoul(word, NULL, 16);
        if (!*word)
            continue;
        assert_true(g->n_values < VALUES);
        memcpy(&g->values[g->n_values++], &bits, sizeof bits);
    }
}

static void assert_read(Golden *g)
{
    float got[VALUES];
    int64_t step = block_values(g->type);
    memmove(g->data + 1, g->data, (size_t)g->n_bytes);
    assert_int_equal(g->n_values / step * block_bytes(g->type), g->n_bytes);
    block_to_f32(g->data + 1, g->type, 0, g->n_values, got);
    assert_memory_equal(got, g->values, (size_t)g->n_values * sizeof *got);
    for (int64_t i = 0; i < g->n_values; i += step)
        block_to_f32(g->data + 1, g->type, i, step, got + i);
    assert_memory_equal(got, g->values, (size_t)g->n_values * sizeof *got);
}

static void blocks_are_those_of_ggml(void **state)
{
    (void)state;
    char *line = NULL;
    size_t capacity = 0;
    int read = 0, written = 0;
    FILE *file = fopen("tests/golden/gguf_blocks.txt", "r");
    assert_non_null(file);
    while (getline(&line, &capacity, file) > 0) {
        Golden g;
        uint8_t got[BYTES];
        parse(line, &g);
        if (g.quantise) {
            block_from_f32(g.values, g.type, g.n_values, got);
            assert_memory_equal(got, g.data, (size_t)g.n_bytes);
            written++;
        } else {
            assert_read(&g);
            read++;
        }
    }
    free(line);
    fclose(file);
    assert_int_equal(read, 17);
    assert_int_equal(written, 3);
}

/* Every half-precision number but the NaNs survives the way to float32 and back. */
static void halves_come_back(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 0x10000; i++) {
        uint16_t bits = (uint16_t)i, back;
        float value;
        block_to_f32(&bits, BLOCK_F16, 0, 1, &value);
        block_from_f32(&value, BLOCK_F16, 1, &back);
        if ((bits & 0x7fff) <= 0x7c00)
            assert_int_equal(back, bits);
        else
            assert_true((back & 0x7fff) > 0x7c00);
    }
}

static void types_that_are_not_read_have_names(void **state)
{
    (void)state;
    assert_false(block_known(15));
    assert_string_equal(block_name(15), "Q8_K");
    assert_false(block_known(34));
    assert_string_equal(block_name(34), "TQ1_0");
    assert_false(block_known(-1));
    assert_false(block_known(4));
    assert_string_equal(block_name(4), "?");
    assert_string_equal(block_name(INT64_MAX), "?");
    assert_int_equal(block_of(STORED_BF16), BLOCK_BF16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_are_those_of_ggml),
        cmocka_unit_test(halves_come_back),
        cmocka_unit_test(types_that_are_not_read_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
