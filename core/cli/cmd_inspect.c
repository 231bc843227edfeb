/* `cambium inspect`: what is in a file. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/cli/options.h"
#include "core/io/describe.h"

typedef struct InspectSettings {
    bool json;
    bool verify;
} InspectSettings;

static const Option inspect_options[] = {
    {"verify", OPTION_FLAG, offsetof(InspectSettings, verify), NULL, NULL,
     "read everything and check every hash, those of frozen tensors included", NULL, 0, NULL},
    {"json", OPTION_FLAG, offsetof(InspectSettings, json), NULL, NULL, "print one JSON object",
     NULL, 0, NULL},
    {0},
};

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static long long int_of(const json_t *object, const char *key)
{
    return (long long)json_integer_value(json_object_get(object, key));
}

/* "1,234,567", in one of four static buffers. */
static const char *grouped(long long value)
{
    static char buffers[4][40];
    static int next;
    char digits[32], *out = buffers[next++ % 4];
    int n = snprintf(digits, sizeof digits, "%lld", value), at = 0;
    for (int i = 0; i < n; i++) {
        if (i > 0 && (n - i) % 3 == 0 && digits[i - 1] != '-')
            out[at++] = ',';
        out[at++] = digits[i];
    }
    out[at] = '\0';
    return out;
}

static void print_expert(const json_t *expert, size_t index)
{
    const json_t *c = json_object_get(expert, "config");
    const json_t *p = json_object_get(expert, "parameters");
    printf("expert %-3zu %s\n", index, text_of(expert, "name"));
    printf("           %lld layers, d_model %lld, %lld heads of %lld (%lld KV), d_ff %lld, %s, %s "
           "norm%s\n",
           int_of(c, "n_layers"), int_of(c, "d_model"), int_of(c, "n_heads"), int_of(c, "head_dim"),
           int_of(c, "n_kv_heads"), int_of(c, "d_ff"), text_of(c, "act"), text_of(c, "norm"),
           json_is_true(json_object_get(c, "tied_head")) ? ", tied head" : "");
    printf("           context %s, rotary base %g", grouped(int_of(c, "context")),
           json_number_value(json_object_get(c, "rope_base")));
    const json_t *scaling = json_object_get(c, "rope_scaling");
    if (scaling)
        printf(", %s scaling by %g", text_of(scaling, "kind"),
               json_number_value(json_object_get(scaling, "factor")));
    putchar('\n');
    if (int_of(c, "lora_rank") > 0)
        printf("           LoRA of rank %lld\n", int_of(c, "lora_rank"));
    printf("           parameters: %s total, %s active, %s frozen\n", grouped(int_of(p, "total")),
           grouped(int_of(p, "active")), grouped(int_of(p, "frozen")));
    size_t i;
    json_t *stage;
    json_array_foreach(json_object_get(expert, "history"), i, stage)
    {
        char *line = json_dumps(stage, JSON_COMPACT | JSON_ENCODE_ANY);
        printf("           history %zu: %s\n", i + 1, line);
        free(line);
    }
}

/* Which tokens end a text. */
static void print_ends(const json_t *ends)
{
    size_t i;
    json_t *end;
    if (json_array_size(ends) == 0)
        return;
    printf("%-10s", "ends at");
    json_array_foreach(ends, i, end)
    {
        char *token = json_dumps(json_object_get(end, "token"), JSON_ENCODE_ANY);
        printf(" %lld %s", int_of(end, "id"), token ? token : "");
        free(token);
    }
    printf("\n");
}

/* What training has read of each pack. */
static void print_reading(const json_t *sources)
{
    size_t i;
    json_t *s;
    json_array_foreach(sources, i, s)
    {
        double all = json_number_value(json_object_get(s, "tokens"));
        double never = all - json_number_value(json_object_get(s, "seen"));
        printf("read       %s: %s tokens of %s, %.2f epochs, %.1f %% never read\n",
               text_of(s, "data"), grouped(int_of(s, "read")), grouped(int_of(s, "tokens")),
               json_number_value(json_object_get(s, "epochs")), 100.0 * never / fmax(all, 1.0));
    }
}

static void print_table(const char *name, const json_t *table)
{
    const json_t *recipe = json_object_get(table, "recipe");
    const char *hash = text_of(table, "sha256");
    printf("%-10s %lld x %lld, %s%s%s%s%s\n", name, int_of(table, "rows"), int_of(table, "cols"),
           hash[0] ? "SHA-256 " : "learned", hash, json_is_object(recipe) ? ", recipe " : "",
           text_of(recipe, "name"),
           json_is_true(json_object_get(table, "stored")) ? "" : ", not in this file");
}

static void print_head(const json_t *file)
{
    const json_t *table = json_object_get(file, "table"), *t = json_object_get(file, "tokenizer");
    size_t i;
    json_t *expert;
    json_array_foreach(json_object_get(file, "experts"), i, expert) print_expert(expert, i);
    const json_t *merge = json_object_get(file, "merge");
    if (i > 1) {
        char *weights =
            json_dumps(json_object_get(merge, "weights"), JSON_COMPACT | JSON_REAL_PRECISION(6));
        printf("merge      %s, weights %s\n", text_of(merge, "rule"), weights);
        free(weights);
    }
    if (table)
        print_table("table", table);
    json_array_foreach(json_object_get(file, "experts"), i, expert)
    {
        char name[32];
        snprintf(name, sizeof name, "table %zu", i);
        if (json_object_get(expert, "table"))
            print_table(name, json_object_get(expert, "table"));
    }
    if (t)
        printf("tokenizer  %s: %lld tokens (%lld of bytes, %lld special), %lld merges, SHA-256 "
               "%.12s...\n",
               text_of(t, "name"), int_of(t, "tokens"), int_of(t, "byte_tokens"),
               int_of(t, "special_tokens"), int_of(t, "merges"), text_of(t, "sha256"));
    if (t)
        print_ends(json_object_get(t, "ends"));
    print_reading(json_object_get(file, "reading"));
    const char *const others[] = {"meta", "statistics"};
    for (int k = 0; k < 2; k++) {
        const json_t *other = json_object_get(file, others[k]);
        if (!other)
            continue;
        char *line = json_dumps(other, JSON_COMPACT | JSON_ENCODE_ANY);
        printf("%-10s %s\n", others[k], line);
        free(line);
    }
}

static void print_tensor(const json_t *tensor, int width)
{
    char shape[160] = "(";
    size_t at = 1, i;
    json_t *size;
    json_array_foreach(json_object_get(tensor, "shape"), i, size) at +=
        (size_t)snprintf(shape + at, sizeof shape - at, "%s%lld", i ? ", " : "",
                         (long long)json_integer_value(size));
    snprintf(shape + at, sizeof shape - at, ")");
    printf("%-*s %-9s %-18s %14s B  %.12s%s\n", width, text_of(tensor, "name"),
           text_of(tensor, "type"), shape, grouped(int_of(tensor, "bytes")),
           text_of(tensor, "digest"), json_object_get(tensor, "frozen") ? "  frozen" : "");
}

static void print_file(const json_t *file)
{
    const json_t *tensors = json_object_get(file, "tensors");
    const char *kind = text_of(file, "kind");
    printf("%s: %s%s%s, %s bytes, %zu tensors\n", text_of(file, "file"), text_of(file, "format"),
           kind[0] ? " " : "", kind, grouped(int_of(file, "bytes")), json_array_size(tensors));
    print_head(file);
    size_t i;
    json_t *item;
    int width = 12;
    json_array_foreach(tensors, i, item)
    {
        int length = (int)strlen(text_of(item, "name"));
        width = length > width ? length : width;
    }
    json_array_foreach(tensors, i, item) print_tensor(item, width);
    json_array_foreach(json_object_get(file, "texts"), i, item)
        printf("%-*s text\n", width, json_string_value(item));
    if (json_object_get(file, "verified"))
        puts("all hashes agree");
}

static Status inspect_run(const void *settings, const StringList *positionals, Err *err)
{
    const InspectSettings *s = settings;
    json_t *file;
    TRY(describe_file(positionals->items[0], s->verify, &file, err));
    if (s->json) {
        json_dumpf(file, stdout, JSON_INDENT(1));
        putchar('\n');
    } else {
        print_file(file);
    }
    json_decref(file);
    return STATUS_OK;
}

const Verb verb_inspect = {
    .name = "inspect",
    .summary = "what is in a file: shapes, types, hashes, history, parameter counts",
    .positionals = "FILE",
    .positionals_min = 1,
    .positionals_max = 1,
    .details = "FILE is anything that Cambium writes, or a .gguf, .safetensors or .npy file. The "
               "12 digits behind a tensor are equal where its data are equal.",
    .examples =
        {
            "inspect ru/model.h5",
            "inspect both.h5 --verify",
        },
    .options = inspect_options,
    .settings_size = sizeof(InspectSettings),
    .run = inspect_run,
};
