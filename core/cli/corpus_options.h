/* The options of every verb that reads a corpus. */
#ifndef CAMBIUM_CORE_CLI_CORPUS_OPTIONS_H
#define CAMBIUM_CORE_CLI_CORPUS_OPTIONS_H

#include "core/cli/options.h"
#include "core/io/corpus_reader.h"

typedef struct CorpusSettings {
    char *field;
    bool skip_bad;
} CorpusSettings;

/* Rows of a verb's option table; `settings` is its CorpusSettings. */
#define CORPUS_OPTIONS(Settings, settings)                                                         \
    {"field",                                                                                      \
     OPTION_TEXT,                                                                                  \
     offsetof(Settings, settings) + offsetof(CorpusSettings, field),                               \
     "NAME",                                                                                       \
     "text",                                                                                       \
     "member of JSON lines that holds the text (meta.text: the member text of the member meta); "  \
     "given, standard input holds JSON lines, too",                                                \
     NULL,                                                                                         \
     0,                                                                                            \
     NULL},                                                                                        \
    {                                                                                              \
        "skip-bad", OPTION_FLAG,                                                                   \
            offsetof(Settings, settings) + offsetof(CorpusSettings, skip_bad), NULL, NULL,         \
            "leave out lines and documents that cannot be read, and count them", NULL, 0, NULL     \
    }

/* What they mean. `skips`, kept, is where --skip-bad counts. */
static inline CorpusOptions corpus_options(const CorpusSettings *settings, CorpusSkips *skips)
{
    return (CorpusOptions){.field = settings->field,
                           .standard_input_json = options_given("field"),
                           .skips = settings->skip_bad ? skips : NULL};
}

#endif
