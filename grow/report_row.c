#include "grow/report_row.h"

#include "core/io/json_get.h"

Status report_row_number(const json_t *row, const char *key, bool optional, double most,
                         const char *where, double *out, Err *err)
{
    if (optional && !json_object_get(row, key))
        return STATUS_OK;
    TRY(json_get_real(row, key, where, out, err));
    if (!(*out >= 0.0 && *out <= most))
        return err_set(err, "%s: '%s' is between 0 and %g, not %g", where, key, most, *out);
    return STATUS_OK;
}

Status report_row_count(const json_t *row, const char *key, int64_t most, const char *where,
                        int64_t *out, Err *err)
{
    if (!json_object_get(row, key))
        return STATUS_OK;
    TRY(json_get_int(row, key, where, out, err));
    if (*out < 0 || *out > most)
        return err_set(err, "%s: '%s' is between 0 and %lld, not %lld", where, key, (long long)most,
                       (long long)*out);
    return STATUS_OK;
}
