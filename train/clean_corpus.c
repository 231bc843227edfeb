#include "train/clean_corpus.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/rng.h"
#include "train/clean_page.h"
#include "core/io/corpus_file.h"
#include "core/io/unpack.h"

enum { PAGE_LIMIT = 256 << 20 };

/* A set of text keys: open addressing, at most half full. Key 0 marks a free place, so 0 itself
 * counts as 1. */
typedef struct KeySet {
    uint64_t *keys;
    int64_t places; /* a power of two, or 0 */
    int64_t count;
} KeySet;

static uint64_t *key_place(const KeySet *set, uint64_t key)
{
    uint64_t mask = (uint64_t)set->places - 1;
    uint64_t i = key & mask;
    while (set->keys[i] && set->keys[i] != key)
        i = (i + 1) & mask;
    return &set->keys[i];
}

static bool key_in(const KeySet *set, uint64_t key)
{
    return set->count && *key_place(set, key + !key);
}

static void key_add(KeySet *set, uint64_t key)
{
    key += !key;
    if (2 * (set->count + 1) > set->places) {
        KeySet bigger = {.places = set->places ? 2 * set->places : 1 << 12, .count = set->count};
        bigger.keys = xcalloc((size_t)bigger.places, sizeof *bigger.keys);
        for (int64_t i = 0; i < set->places; i++)
            if (set->keys[i])
                *key_place(&bigger, set->keys[i]) = set->keys[i];
        free(set->keys);
        *set = bigger;
    }
    uint64_t *place = key_place(set, key);
    set->count += *place == 0;
    *place = key;
}

typedef struct Output {
    FileDraft draft;
    FILE *stream;
} Output;

typedef struct Cleaner {
    const CleanPlan *plan;
    CleanReport *report;
    KeySet unwanted; /* paragraphs of the references */
    KeySet seen;
    Output outputs[CLEAN_PARTS];
    StrBuf page;
    StrBuf document;
    Paragraphs paragraphs;
} Cleaner;

/* What is done with a page whose paragraphs are read; `name` is relative to its input. */
typedef Status PageFn(Cleaner *cleaner, const char *name, Err *err);

/* Line breaks and blanks of verbatim paragraphs do not make them different. */
static uint64_t paragraph_key(const char *text, int64_t bytes, StrBuf *scratch)
{
    strbuf_reset(scratch);
    for (int64_t i = 0; i < bytes; i++) {
        char c = text[i] == '\n' ? ' ' : text[i];
        if (c != ' ' || (scratch->size && scratch->data[scratch->size - 1] != ' '))
            strbuf_putc(scratch, c);
    }
    return text_key(scratch->data, scratch->size);
}

static Status forbid_page(Cleaner *cleaner, const char *name, Err *err)
{
    (void)name, (void)err;
    for (int64_t i = 0, bytes; i < cleaner->paragraphs.count; i++) {
        const char *text = paragraph_at(&cleaner->paragraphs, i, &bytes);
        key_add(&cleaner->unwanted, paragraph_key(text, bytes, &cleaner->document));
    }
    return STATUS_OK;
}

static bool keep_paragraph(Cleaner *cleaner, const char *text, int64_t bytes, StrBuf *scratch)
{
    CleanReport *report = cleaner->report;
    report->paragraphs++;
    uint64_t key = paragraph_key(text, bytes, scratch);
    if (key_in(&cleaner->unwanted, key)) {
        report->in_reference++;
        return false;
    }
    if (script_share(text, bytes, cleaner->plan->script) < cleaner->plan->share) {
        report->wrong_script++;
        return false;
    }
    if (key_in(&cleaner->seen, key)) {
        report->duplicates++;
        return false;
    }
    key_add(&cleaner->seen, key);
    return true;
}

static bool held_out(const CleanPlan *plan, const char *name)
{
    /* Packed or not, a page has one name. */
    int64_t bytes = (int64_t)unpack_name_length(name);
    uint64_t coin = hash_mix64(text_key(name, bytes) ^ hash_mix64(plan->seed));
    return (double)(coin >> 11) * 0x1p-53 < plan->holdout;
}

static Status keep_page(Cleaner *cleaner, const char *name, Err *err)
{
    StrBuf *document = &cleaner->document, scratch = {0};
    strbuf_reset(document);
    for (int64_t i = 0, bytes; i < cleaner->paragraphs.count; i++) {
        const char *text = paragraph_at(&cleaner->paragraphs, i, &bytes);
        if (!keep_paragraph(cleaner, text, bytes, &scratch))
            continue;
        if (document->size)
            strbuf_puts(document, "\n\n");
        strbuf_append(document, text, (size_t)bytes);
    }
    strbuf_clear(&scratch);
    if (!document->size)
        return STATUS_OK;
    int part = held_out(cleaner->plan, name) ? CLEAN_HELDOUT : CLEAN_TRAIN;
    FILE *stream = cleaner->outputs[part].stream;
    if (cleaner->report->documents[part]++ && fputc('\f', stream) == EOF)
        return err_set(err, "cannot write %s: %s", cleaner->outputs[part].draft.path,
                       strerror(errno));
    strbuf_putc(document, '\n');
    if (fwrite(document->data, 1, (size_t)document->size, stream) != (size_t)document->size)
        return err_set(err, "cannot write %s: %s", cleaner->outputs[part].draft.path,
                       strerror(errno));
    cleaner->report->bytes[part] += document->size;
    return STATUS_OK;
}

/* `given`: the user named this very file, so its content decides when its name says nothing. */
static Status read_page(Cleaner *cleaner, const char *path, const char *name, bool given,
                        PageFn *use, Err *err)
{
    PageKind kind = page_kind_of_name(path);
    if (kind == PAGE_OTHER && !given)
        return STATUS_OK;
    strbuf_reset(&cleaner->page);
    TRY(corpus_file_whole(path, PAGE_LIMIT, &cleaner->page, err));
    Err why;
    cleaner->report->files++;
    if (page_to_utf8(&cleaner->page, cleaner->plan->encoding, &why) != STATUS_OK) {
        log_warn("%s is left out: %s", path, why.text);
        cleaner->report->files_unreadable++;
        return STATUS_OK;
    }
    if (kind == PAGE_OTHER)
        kind = page_kind_of_content(cleaner->page.data, cleaner->page.size);
    paragraphs_reset(&cleaner->paragraphs);
    page_read(kind, &cleaner->page, cleaner->plan->skip, &cleaner->paragraphs);
    return use(cleaner, name, err);
}

static Status read_all(Cleaner *cleaner, const StringList *roots, PageFn *use, Err *err)
{
    Status status = STATUS_OK;
    for (int64_t r = 0; status == STATUS_OK && r < roots->count; r++) {
        StringList files = {0};
        Progress progress;
        const char *root = roots->items[r];
        status = file_list(root, &files, err);
        progress_start(&progress, "page", files.count);
        for (int64_t i = 0; status == STATUS_OK && i < files.count; i++) {
            const char *path = files.items[i];
            bool given = strcmp(path, root) == 0;
            const char *name = given ? file_base_name(path) : path + strlen(root);
            while (*name == '/')
                name++;
            status =
                stop_requested() ? STATUS_STOPPED : read_page(cleaner, path, name, given, use, err);
            progress_update(&progress, i + 1, NULL);
        }
        progress_end(&progress);
        string_list_clear(&files);
    }
    return status;
}

static Status open_output(Output *output, const char *prefix, const char *suffix, Err *err)
{
    char *path = xasprintf("%s.%s.txt", prefix, suffix);
    Status status = file_draft_init(&output->draft, path, err);
    free(path);
    TRY(status);
    output->stream = fopen(output->draft.temporary, "wb");
    if (!output->stream)
        return err_set(err, "cannot create %s: %s", output->draft.path, strerror(errno));
    return STATUS_OK;
}

/* Commits when all went well so far, else removes the draft. */
static Status close_output(Output *output, Status status, Err *err)
{
    if (output->stream && fclose(output->stream) != 0 && status == STATUS_OK)
        status = err_set(err, "cannot write %s: %s", output->draft.path, strerror(errno));
    if (status == STATUS_OK)
        return file_draft_commit(&output->draft, err);
    file_draft_abandon(&output->draft);
    return status;
}

Status corpus_clean(const CleanPlan *plan, const char *prefix, CleanReport *report, Err *err)
{
    *report = (CleanReport){0};
    CleanReport of_references = {0};
    Cleaner cleaner = {.plan = plan, .report = &of_references};
    Status status = open_output(&cleaner.outputs[CLEAN_TRAIN], prefix, "train", err);
    if (status == STATUS_OK)
        status = open_output(&cleaner.outputs[CLEAN_HELDOUT], prefix, "heldout", err);
    if (status == STATUS_OK)
        status = read_all(&cleaner, plan->references, forbid_page, err);
    cleaner.report = report;
    if (status == STATUS_OK)
        status = read_all(&cleaner, plan->inputs, keep_page, err);
    if (status == STATUS_OK && !report->documents[CLEAN_TRAIN] && !report->documents[CLEAN_HELDOUT])
        status =
            err_set(err,
                    "nothing is left of the %lld pages that were read (%lld paragraphs, %lld in "
                    "another script); check the folders and --script",
                    (long long)report->files, (long long)report->paragraphs,
                    (long long)report->wrong_script);
    for (int part = 0; part < CLEAN_PARTS; part++)
        status = close_output(&cleaner.outputs[part], status, err);
    free(cleaner.unwanted.keys);
    free(cleaner.seen.keys);
    strbuf_clear(&cleaner.page);
    strbuf_clear(&cleaner.document);
    paragraphs_clear(&cleaner.paragraphs);
    return status;
}
