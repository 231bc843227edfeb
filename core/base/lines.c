#include "core/base/lines.h"

#include <string.h>

TextLine lines_of(const char *text, int64_t bytes)
{
    return (TextLine){.next = text, .end = bytes > 0 ? text + bytes : text};
}

bool lines_next(TextLine *line)
{
    if (line->next == line->end)
        return false;
    const char *feed = memchr(line->next, '\n', (size_t)(line->end - line->next));
    line->text = line->next;
    line->bytes = (feed ? feed : line->end) - line->text;
    line->ended = feed != NULL;
    line->next = feed ? feed + 1 : line->end;
    line->number++;
    return true;
}

int64_t lines_count_feeds(const char *text, int64_t bytes)
{
    int64_t feeds = 0;
    for (TextLine line = lines_of(text, bytes); lines_next(&line);)
        feeds += line.ended;
    return feeds;
}
