/* String literals of templates. Private to core/text/jinja. */
#ifndef CAMBIUM_CORE_TEXT_JINJA_JINJA_STRING_H
#define CAMBIUM_CORE_TEXT_JINJA_JINJA_STRING_H

#include "core/text/jinja/jinja_text.h"

/* What stands between the quotation marks, its escapes undone as Python's unicode-escape does. */
JinjaText *jinja_unescape(JinjaWork *work, const char *text, int64_t bytes);

#endif
