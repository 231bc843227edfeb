#include "infer/eval/csv.h"

#include <string.h>

static char peek(const CsvReader *r)
{
    return r->at < r->size ? r->text[r->at] : '\0';
}

/* A line end of either kind. */
static bool take_end(CsvReader *r)
{
    if (r->at < r->size && r->text[r->at] == '\r' &&
        (r->at + 1 == r->size || r->text[r->at + 1] == '\n'))
        r->at++;
    else if (peek(r) != '\n')
        return r->at == r->size;
    r->at += r->at < r->size;
    r->line++;
    return true;
}

static Status quoted_field(CsvReader *r, StrBuf *field, Err *err)
{
    int64_t opened = r->line + 1;
    for (r->at++; r->at < r->size; r->at++) {
        char c = r->text[r->at];
        if (c == '"' && r->at + 1 < r->size && r->text[r->at + 1] == '"')
            r->at++;
        else if (c == '"')
            break;
        r->line += c == '\n';
        strbuf_putc(field, c);
    }
    if (r->at == r->size)
        return err_set(err, "%s:%lld: nothing closes the quote that opens there", r->name,
                       (long long)opened);
    r->at++;
    if (r->at < r->size && !strchr(",\r\n", peek(r)))
        return err_set(err,
                       "%s:%lld: text follows a closing quote (quotes within a field are doubled)",
                       r->name, (long long)r->line + 1);
    return STATUS_OK;
}

static void plain_field(CsvReader *r, StrBuf *field)
{
    for (; r->at < r->size && peek(r) != ',' && peek(r) != '\n'; r->at++) {
        bool end = peek(r) == '\r' && (r->at + 1 == r->size || r->text[r->at + 1] == '\n');
        if (end)
            break;
        strbuf_putc(field, peek(r));
    }
}

Status csv_next(CsvReader *r, StringList *fields, int64_t *line, bool *found, Err *err)
{
    string_list_clear(fields);
    *found = false;
    while (r->at < r->size && take_end(r))
        ;
    if (r->at == r->size)
        return STATUS_OK;
    *line = r->line + 1;
    StrBuf field = {0};
    Status status = STATUS_OK;
    for (bool more = true; more && status == STATUS_OK;) {
        strbuf_reset(&field);
        strbuf_puts(&field, "");
        if (peek(r) == '"')
            status = quoted_field(r, &field, err);
        else
            plain_field(r, &field);
        if (status == STATUS_OK)
            string_list_add(fields, field.data);
        more = peek(r) == ',';
        r->at += more;
    }
    strbuf_clear(&field);
    if (status == STATUS_OK) {
        take_end(r);
        *found = true;
    }
    return status;
}
