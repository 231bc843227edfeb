/* Exact products of columns: by counting common bits, or by 16-bit products of grey values. */
#include <stdlib.h>
#include <string.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/parallel.h"
#include "embed/pca_parts.h"

enum {
    BIT_CHUNK = 512 * PCA_BIT_ROWS, /* rows at a time: a column of 4 KiB, in either form */
    GREY_CHUNK = 2048,
    TILE = 16, /* columns on either side that are multiplied while they are in cache */
};

typedef struct Products {
    const PcaInput *in;
    const PcaKernels *kernels;
    int64_t *sums;
    bool binary;
    int64_t first, rows; /* the chunk at hand */
    int64_t stride;      /* of a packed column, in words or 16-bit values */
    union {
        void *packed; /* (dim + 1) columns */
        uint64_t *bits;
        int16_t *grey;
    };
} Products;

static void pack_rows(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const Products *p = context;
    int64_t dim = p->in->dim;
    for (int64_t group = begin; group < end; group++) {
        int64_t row = group * PCA_BIT_ROWS;
        int64_t rows = p->rows - row < PCA_BIT_ROWS ? p->rows - row : PCA_BIT_ROWS;
        const uint8_t *pixels = p->in->pixels + (p->first + row) * dim;
        if (p->binary) {
            p->kernels->pack_bits(pixels, dim, rows, p->bits + group, p->stride);
            p->bits[dim * p->stride + group] = ~(uint64_t)0 >> (PCA_BIT_ROWS - rows);
        } else {
            p->kernels->pack_grey(pixels, dim, rows, p->grey + row, p->stride);
            for (int64_t r = 0; r < rows; r++)
                p->grey[dim * p->stride + row + r] = 1;
        }
    }
}

static void multiply_tiles(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const Products *p = context;
    int64_t columns = p->in->dim + 1;
    int64_t bits_end = (p->rows + PCA_BIT_ROWS - 1) / PCA_BIT_ROWS;
    int64_t words = (bits_end + PCA_BIT_WORDS - 1) / PCA_BIT_WORDS * PCA_BIT_WORDS;
    for (int64_t i0 = begin * TILE; i0 < end * TILE && i0 < columns; i0 += TILE)
        for (int64_t j0 = i0; j0 < columns; j0 += TILE)
            for (int64_t i = i0; i < i0 + TILE && i < columns; i++) {
                int64_t j = j0 > i ? j0 : i;
                int64_t last = j0 + TILE < columns ? j0 + TILE : columns;
                int64_t *sums = p->sums + i * columns + j;
                if (j >= last)
                    continue;
                if (p->binary)
                    p->kernels->multiply_bits(p->bits + i * p->stride, p->bits + j * p->stride,
                                              p->stride, words, last - j, sums);
                else
                    p->kernels->multiply_grey(p->grey + i * p->stride, p->grey + j * p->stride,
                                              p->stride, p->rows, last - j, sums);
            }
}

typedef struct Scan {
    const PcaInput *in;
    const PcaKernels *kernels;
    uint8_t *largest; /* one per row group */
} Scan;

enum { SCAN_ROWS = 256 };

static void scan_rows(void *context, int64_t begin, int64_t end, int worker)
{
    (void)worker;
    const Scan *scan = context;
    for (int64_t g = begin; g < end; g++) {
        int64_t row = g * SCAN_ROWS;
        int64_t rows = scan->in->rows - row < SCAN_ROWS ? scan->in->rows - row : SCAN_ROWS;
        scan->largest[g] =
            scan->kernels->largest(scan->in->pixels + row * scan->in->dim, rows * scan->in->dim);
    }
}

static bool is_binary(const PcaInput *in, const PcaKernels *kernels)
{
    int64_t groups = (in->rows + SCAN_ROWS - 1) / SCAN_ROWS;
    Scan scan = {in, kernels, xmalloc((size_t)groups)};
    parallel_for(groups, 1, scan_rows, &scan);
    bool binary = kernels->largest(scan.largest, groups) <= 1;
    free(scan.largest);
    return binary;
}

Status pca_products(const PcaInput *in, const PcaKernels *kernels, int64_t *sums, Err *err)
{
    int64_t columns = in->dim + 1;
    Products p = {.in = in, .kernels = kernels, .sums = sums, .binary = is_binary(in, kernels)};
    int64_t chunk = p.binary ? BIT_CHUNK : GREY_CHUNK;
    size_t item = p.binary ? sizeof *p.bits : sizeof *p.grey;
    /* A cache line more than a chunk needs, lest all columns fall into the same cache sets. */
    p.stride = (p.binary ? chunk / PCA_BIT_ROWS : chunk) + (int64_t)(MEM_ALIGN / item);
    size_t bytes = (size_t)(columns * p.stride) * item;
    TRY(mem_try(&p.packed, bytes, "packed columns of bitmaps", err));
    memset(sums, 0, (size_t)(columns * columns) * sizeof *sums);
    Status status = STATUS_OK;
    for (p.first = 0; p.first < in->rows; p.first += chunk) {
        if (stop_requested()) {
            err_set(err, "stopped while the covariance of bitmaps was computed");
            status = STATUS_STOPPED;
            break;
        }
        p.rows = in->rows - p.first < chunk ? in->rows - p.first : chunk;
        if (p.rows < chunk || p.first == 0)
            memset(p.packed, 0, bytes);
        parallel_for((p.rows + PCA_BIT_ROWS - 1) / PCA_BIT_ROWS, 1, pack_rows, &p);
        parallel_dynamic((columns + TILE - 1) / TILE, 1, multiply_tiles, &p);
    }
    free(p.packed);
    return status;
}
