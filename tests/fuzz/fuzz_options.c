/* Options from a command line and from a file, both of any bytes: the input up to its first zero
 * byte is the file, the pieces between further zero bytes are arguments. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/cli/verbs.h"
#include "tests/support/folder.h"

enum { ARGUMENTS_MAX = 16 };

extern const Verb verb_grow;
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool begun;
    if (!begun) {
        folder_begin();
        atexit(folder_end);
        begun = true;
    }
    char *text = xstrndup((const char *)data, size); /* ends with the file's part */
    int64_t file_bytes = (int64_t)strlen(text);
    char name[] = "--config", *arguments[ARGUMENTS_MAX] = {name};
    arguments[1] = (char *)(uintptr_t)folder_put("options.yaml", text, file_bytes);
    int count = 2;
    char *rest = xcalloc(size + 1, 1);
    memcpy(rest, data, size);
    for (size_t at = (size_t)file_bytes + 1; at < size && count < ARGUMENTS_MAX; count++) {
        arguments[count] = rest + at;
        at += strlen(rest + at) + 1;
    }
    void *settings = xcalloc(1, verb_grow.settings_size);
    StringList positionals = {0};
    Err err;
    if (options_parse(&verb_grow, count, arguments, settings, &positionals, &err) == STATUS_OK)
        json_decref(options_json(&verb_grow, settings));
    log_set_level(LOG_INFO);
    options_clear(&verb_grow, settings);
    string_list_clear(&positionals);
    free(settings);
    free(rest);
    free(text);
    return 0;
}
