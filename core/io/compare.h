/* Which datasets of two files differ, and by how much. */
#ifndef CAMBIUM_CORE_IO_COMPARE_H
#define CAMBIUM_CORE_IO_COMPARE_H

#include "core/io/container.h"
#include "core/io/tensor_file.h"

typedef enum DifferenceKind {
    DIFFERENCE_VALUES, /* same shape: the numbers below say how much */
    DIFFERENCE_SHAPE,  /* other shape, or a text against a tensor */
    DIFFERENCE_TEXT,
    DIFFERENCE_ONLY_FIRST,
    DIFFERENCE_ONLY_SECOND,
} DifferenceKind;

typedef struct Difference {
    DifferenceKind kind;
    const char *path; /* borrowed from one of the files */
    int64_t count;    /* values beyond the tolerance */
    int64_t total;
    double max_abs; /* infinity when one of the two is not finite and they differ */
    double max_rel; /* |a - b| / max(|a|, |b|) */
} Difference;

typedef struct DifferenceList {
    Difference *items;
    int64_t count, capacity;
    int64_t compared; /* datasets in either file */
} DifferenceList;

/* Values that differ by at most `tolerance` count as equal; two NaNs are equal. Types may differ
 * where the values agree. The list is cleared with free(list->items). */
Status containers_compare(const Container *a, const Container *b, double tolerance,
                          DifferenceList *out, Err *err);

/* The same for tensors of npy, GGUF and safetensors files, of one format or two. */
void tensor_files_compare(const TensorFile *a, const TensorFile *b, double tolerance,
                          DifferenceList *out);

#endif
