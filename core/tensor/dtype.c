#include "core/tensor/dtype.h"

static const struct {
    const char *name;
    size_t bytes;
} dtypes[] = {
    [DTYPE_F32] = {"float32", 4}, [DTYPE_BF16] = {"bfloat16", 2}, [DTYPE_I8] = {"int8", 1},
    [DTYPE_I32] = {"int32", 4},   [DTYPE_U8] = {"uint8", 1},      [DTYPE_I64] = {"int64", 8},
    [DTYPE_U16] = {"uint16", 2},
};

size_t dtype_bytes(DType dtype)
{
    return dtypes[dtype].bytes;
}

const char *dtype_name(DType dtype)
{
    return dtypes[dtype].name;
}

Status dtype_parse(const char *name, DType *out, Err *err)
{
    for (int i = 0; i < (int)(sizeof dtypes / sizeof *dtypes); i++) {
        if (strcmp(dtypes[i].name, name) == 0) {
            *out = (DType)i;
            return STATUS_OK;
        }
    }
    return err_set(err,
                   "no data type '%s'; there are float32, bfloat16, int8, int32, uint8, int64 "
                   "and uint16",
                   name);
}
