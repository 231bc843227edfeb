/* /loader of checkpoints, as any JSON: what is accepted is written back alike, and read on from. */
#include <stddef.h>
#include <stdint.h>

#include "core/base/mem.h"
#include "train/reading.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_on(ReadSource *source, int64_t window, bool from_start)
{
    if (read_windows(source->tokens, window) == 0)
        return;
    ReadCursor cursor;
    read_cursor_init(&cursor, source, window, 1, 0, from_start);
    for (int i = 0; i < 100; i++) {
        int64_t drawn = read_cursor_next(&cursor, true);
        CHECK(drawn >= 0 && drawn < cursor.windows, "window %lld", (long long)drawn);
    }
    read_cursor_skip(&cursor, 100000);
    ReadCoverage c = read_coverage(source);
    CHECK(c.seen >= 0 && c.seen <= source->tokens && c.never >= 0, "coverage");
    read_cursor_clear(&cursor);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_error_t why;
    Reading reading, back;
    Err err;
    json_t *json = json_loadb((const char *)data, size, 0, &why);
    if (!json)
        return 0;
    if (reading_parse(json, "input", &reading, &err) == STATUS_OK) {
        bool small = true; /* marking tokens takes time */
        for (int64_t i = 0; i < reading.n_sources; i++)
            small &= reading.sources[i].tokens < 1 << 16;
        for (int64_t i = 0; small && i < reading.n_sources; i++) {
            read_on(&reading.sources[i], 12, false);
            read_on(&reading.sources[i], 8, false);
            read_on(&reading.sources[i], 12, true);
        }
        if (small) {
            json_t *again = reading_json(&reading);
            CHECK(reading_parse(again, "output", &back, &err) == STATUS_OK, "%s", err.text);
            json_decref(again);
            reading_clear(&back);
        }
        reading_clear(&reading);
    }
    json_decref(json);
    return 0;
}
