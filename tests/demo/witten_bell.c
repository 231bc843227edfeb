/* A byte n-gram model with Witten-Bell smoothing (1991): the baseline that a trained model has to
 * beat. A program of its own, without any part of Cambium.
 *
 *   witten_bell [-n ORDER] TRAIN HELDOUT...     prints bits per byte for each held-out text
 *
 * p(c | h) = (N(h c) + T(h) p(c | h')) / (N(h) + T(h)), where N counts occurrences, T(h) is the
 * number of different bytes seen after h, and h' is h without its first byte; below the empty
 * context stands the uniform distribution. Documents are separated by form feeds. As for
 * Cambium's models, a document begins behind the mark that ended the one before, and only its bytes
 * are counted. */
#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ORDER_MAX = 7, END = '\f' };

typedef struct Text {
    unsigned char *bytes;
    size_t count;
} Text;

/* Counts by key: open addressing, at most half full. */
typedef struct Entry {
    uint64_t key; /* 0: free */
    uint32_t count;
    uint32_t kinds;
} Entry;

typedef struct Table {
    Entry *entries;
    size_t places; /* a power of two */
    size_t used;
} Table;

static void *allocate(size_t count, size_t bytes)
{
    void *memory = calloc(count, bytes);
    if (!memory) {
        fprintf(stderr, "witten_bell: out of memory\n");
        exit(1);
    }
    return memory;
}

static size_t place_of(const Table *table, uint64_t key)
{
    uint64_t mixed = key * 0x9e3779b97f4a7c15u;
    size_t i = (size_t)(mixed ^ mixed >> 29) & (table->places - 1);
    while (table->entries[i].key && table->entries[i].key != key)
        i = (i + 1) & (table->places - 1);
    return i;
}

static Entry *find_or_add(Table *table, uint64_t key)
{
    if (2 * (table->used + 1) > table->places) {
        Table bigger = {.places = table->places ? 2 * table->places : 1 << 16, .used = table->used};
        bigger.entries = allocate(bigger.places, sizeof *bigger.entries);
        for (size_t i = 0; i < table->places; i++)
            if (table->entries[i].key)
                bigger.entries[place_of(&bigger, table->entries[i].key)] = table->entries[i];
        free(table->entries);
        *table = bigger;
    }
    Entry *entry = &table->entries[place_of(table, key)];
    table->used += entry->key == 0;
    entry->key = key;
    return entry;
}

/* A string of up to seven bytes as a number; the length keeps "" and "\0" apart. */
static uint64_t key_of(const unsigned char *bytes, int length)
{
    uint64_t key = (uint64_t)length + 1;
    for (int i = 0; i < length; i++)
        key = key << 8 | bytes[i];
    return key;
}

static void train(Table *table, const Text *text, int order)
{
    for (size_t i = 0; i < text->count; i++)
        for (int n = 0; n < order && (size_t)n <= i; n++) {
            const unsigned char *context = text->bytes + i - n;
            Entry *whole = find_or_add(table, key_of(context, n + 1));
            int is_new = whole->count++ == 0;
            /* The context's own entry counts what follows it, apart from how often it occurs
             * as a string: its key has the top bit set. */
            Entry *before = find_or_add(table, key_of(context, n) | UINT64_C(1) << 63);
            before->count++;
            before->kinds += (uint32_t)is_new;
        }
}

static double probability(const Table *table, const unsigned char *at, int longest)
{
    double p = 1.0 / 256.0;
    for (int n = 0; n <= longest; n++) {
        const Entry *before =
            &table->entries[place_of(table, key_of(at - n, n) | UINT64_C(1) << 63)];
        if (!before->key)
            break; /* longer contexts were not seen either */
        const Entry *whole = &table->entries[place_of(table, key_of(at - n, n + 1))];
        double kinds = before->kinds;
        p = ((whole->key ? whole->count : 0.0) + kinds * p) / (before->count + kinds);
    }
    return p;
}

static double bits_per_byte(const Table *table, const Text *text, int order, size_t *bytes)
{
    double bits = 0.0;
    *bytes = 0;
    for (size_t i = 0; i < text->count; i++) {
        int longest = i < (size_t)order - 1 ? (int)i : order - 1;
        if (text->bytes[i] == END)
            continue;
        bits -= log2(probability(table, text->bytes + i, longest));
        ++*bytes;
    }
    return bits / (double)*bytes;
}

/* The file with a form feed behind its last document. */
static Text read_text(const char *path)
{
    FILE *stream = fopen(path, "rb");
    Text text = {NULL, 0};
    size_t room = 0, got = 1;
    while (stream && got) {
        if (text.count + 1 >= room) {
            room = room ? 2 * room : 1 << 20;
            text.bytes = realloc(text.bytes, room);
            if (!text.bytes)
                break;
        }
        got = fread(text.bytes + text.count, 1, room - 1 - text.count, stream);
        text.count += got;
    }
    if (!stream || ferror(stream) || !text.bytes || text.count == 0) {
        fprintf(stderr, "witten_bell: cannot read %s: %s\n", path,
                errno ? strerror(errno) : "it is empty");
        exit(1);
    }
    fclose(stream);
    if (text.bytes[text.count - 1] != END)
        text.bytes[text.count++] = END;
    return text;
}

int main(int argc, char **argv)
{
    int order = 5, first = 1;
    if (argc > 2 && strcmp(argv[1], "-n") == 0) {
        order = atoi(argv[2]);
        first = 3;
    }
    if (argc < first + 2 || order < 1 || order >= ORDER_MAX) {
        fprintf(stderr, "usage: witten_bell [-n ORDER] TRAIN HELDOUT...   (ORDER 1 to %d)\n",
                ORDER_MAX - 1);
        return 2;
    }
    Table table = {NULL, 0, 0};
    Text text = read_text(argv[first]);
    train(&table, &text, order);
    free(text.bytes);
    for (int i = first + 1; i < argc; i++) {
        size_t bytes;
        text = read_text(argv[i]);
        double bits = bits_per_byte(&table, &text, order, &bytes);
        printf("%.4f %zu %s\n", bits, bytes, argv[i]);
        free(text.bytes);
    }
    free(table.entries);
    return 0;
}
