/* The embedding table of a file, for other programs. */
#ifndef CAMBIUM_CORE_IO_TABLE_EXPORT_H
#define CAMBIUM_CORE_IO_TABLE_EXPORT_H

#include "core/base/err.h"

/* Writes /embedding of a table or model file as .npy (float32, or uint8 for bits) or as safetensors
 * (one tensor "embedding", of its own type). */
Status table_export_npy(const char *path, const char *out, Err *err);
Status table_export_safetensors(const char *path, const char *out, Err *err);

#endif
