/* Other programs' models where one of this program's files is wanted: what they are, by their
 * content, and what to do with them. */
#ifndef CAMBIUM_CORE_IO_FOREIGN_H
#define CAMBIUM_CORE_IO_FOREIGN_H

#include "core/base/err.h"

typedef enum ForeignKind {
    FOREIGN_UNKNOWN, /* anything else, and what is not there or cannot be read */
    FOREIGN_OURS,    /* HDF5 */
    FOREIGN_GGUF,
    FOREIGN_HF_FOLDER, /* with config.json */
    FOREIGN_RUN,       /* a folder with a model.h5 */
    FOREIGN_FOLDER,    /* another folder */
    FOREIGN_SAFETENSORS,
    FOREIGN_PICKLE, /* PyTorch's .bin, .pt and .pth */
    FOREIGN_JSON,
} ForeignKind;

ForeignKind foreign_kind(const char *path);

/* Fails, with what the path is and the command that makes a model file of it, unless it is HDF5 or
 * of an unknown kind. */
Status foreign_refuse(const char *path, Err *err);

#endif
