/* Element types that other programs' files hold (safetensors, npy), and their values as float32. */
#ifndef CAMBIUM_CORE_IO_STORED_TYPE_H
#define CAMBIUM_CORE_IO_STORED_TYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/tensor/dtype.h"

typedef enum StoredType {
    STORED_F64,
    STORED_F32,
    STORED_F16,
    STORED_BF16,
    STORED_I64,
    STORED_I32,
    STORED_I16,
    STORED_I8,
    STORED_U64,
    STORED_U32,
    STORED_U16,
    STORED_U8,
    STORED_BOOL,
    STORED_F8_E4M3,
    STORED_F8_E5M2,
    STORED_COUNT,
} StoredType;

size_t stored_bytes(StoredType type);
const char *stored_name(StoredType type);  /* as safetensors spells it: "F32", "BF16" */
StoredType stored_parse(const char *name); /* STORED_COUNT: no such type */
const char *stored_npy(StoredType type);   /* as npy spells it ("<f4"), or NULL */
StoredType stored_of(DType dtype);

/* Whether a tensor of this type can be a weight: F64, F32, BF16 or F16. */
bool stored_is_float(StoredType type);

/* out[i] = float32 of element `first + i`; the types of stored_is_float (F64 is rounded), and U8.
 * `data` need not be aligned. */
void stored_to_f32(const void *data, StoredType type, int64_t first, int64_t count, float *out);

/* The same of every type. Integers beyond 2^53 are rounded. */
void stored_to_f64(const void *data, StoredType type, int64_t first, int64_t count, double *out);

#endif
