#include "infer/eval/data_text.h"

#include <string.h>

#include "core/base/inputs.h"
#include "core/base/lines.h"
#include "core/text/utf8.h"

static const int64_t LIMIT = (int64_t)1 << 30; /* data sets of questions are megabytes */

Status data_text_check(const char *name, StrBuf *text, Err *err)
{
    static const char mark[] = "\xEF\xBB\xBF";
    if (text->size >= 3 && memcmp(text->data, mark, 3) == 0) {
        memmove(text->data, text->data + 3, (size_t)text->size - 2); /* and the closing zero */
        text->size -= 3;
    }
    bool blank = true;
    for (int64_t i = 0; i < text->size && blank; i++)
        blank = strchr(" \t\r\n", text->data[i]) != NULL && text->data[i] != '\0';
    if (blank)
        return err_set(err, "%s is empty; download it again", name);
    int64_t valid = utf8_valid_prefix(text->data, text->size);
    const char *zero = memchr(text->data, '\0', (size_t)text->size);
    if (zero && zero - text->data < valid)
        valid = zero - text->data;
    if (valid < text->size)
        return err_set(err,
                       "%s:%lld: the bytes there are not UTF-8 text; convert the file: 'iconv -f "
                       "ENCODING -t UTF-8'",
                       name, (long long)lines_count_feeds(text->data, valid) + 1);
    return STATUS_OK;
}

Status data_text_remedy(Status status, Err *err)
{
    if (status != STATUS_FAIL)
        return status;
    Err damage = *err;
    return err_set(err, "%s; mend that place, or download the file again", damage.text);
}

Status data_text_read(const char *path, StrBuf *out, Err *err)
{
    strbuf_reset(out);
    inputs_add(path);
    TRY(file_read(path, LIMIT, out, err));
    return data_text_check(path, out, err);
}
