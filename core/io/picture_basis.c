#include "core/io/picture_basis.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/tensor/dtype.h"

static const char mean_path[] = "/pictures/mean", components_path[] = "/pictures/components",
                  lengths_path[] = "/pictures/lengths";

Status picture_basis_put(ContainerWriter *writer, const PictureBasis *basis, Err *err)
{
    int64_t pixels = basis->side * basis->side;
    Tensor mean = tensor_2d(NULL, DTYPE_F32, basis->side, basis->side);
    Tensor components = tensor_2d(NULL, DTYPE_F32, basis->kept, pixels);
    Tensor lengths = tensor_1d(NULL, DTYPE_F32, basis->rows);
    TRY(container_put(writer, mean_path, &mean, basis->mean, err));
    TRY(container_put(writer, components_path, &components, basis->components, err));
    return container_put(writer, lengths_path, &lengths, basis->lengths, err);
}

Status picture_basis_copy(ContainerWriter *writer, const Container *from, Err *err)
{
    if (!container_find(from, mean_path))
        return STATUS_OK;
    TRY(container_copy(writer, mean_path, from, mean_path, err));
    TRY(container_copy(writer, components_path, from, components_path, err));
    return container_copy(writer, lengths_path, from, lengths_path, err);
}

struct TokenPictures {
    Container *container;
    PictureBasis basis;
    Tensor table; /* (rows, columns) */
};

static Status map_floats(TokenPictures *p, const char *path, int64_t rows, int64_t cols,
                         const float **out, Err *err)
{
    Tensor shape;
    const void *data;
    TRY(container_shape(p->container, path, &shape, err));
    int64_t count = tensor_count(&shape);
    if (shape.dtype != DTYPE_F32 || count != rows * cols)
        return err_set(err, "%s: %s has %lld values where the table's pictures have %lld x %lld",
                       container_file(p->container), path, (long long)count, (long long)rows,
                       (long long)cols);
    TRY(container_map(p->container, path, &data, err));
    *out = data;
    return STATUS_OK;
}

static Status open_parts(TokenPictures *p, Err *err)
{
    enum { LARGEST_SIDE = 1024 };
    Tensor mean, components;
    const void *data;
    TRY(container_shape(p->container, "/embedding", &p->table, err));
    TRY(container_shape(p->container, mean_path, &mean, err));
    TRY(container_shape(p->container, components_path, &components, err));
    if (p->table.n_dims != 2 || mean.n_dims != 2 || components.n_dims != 2 ||
        mean.shape[0] != mean.shape[1] || mean.shape[0] > LARGEST_SIDE ||
        components.shape[0] > p->table.shape[1] ||
        (p->table.dtype != DTYPE_F32 && p->table.dtype != DTYPE_BF16))
        return err_set(err, "%s: /pictures does not belong to its /embedding",
                       container_file(p->container));
    p->basis = (PictureBasis){
        .side = mean.shape[0], .kept = components.shape[0], .rows = p->table.shape[0]};
    int64_t pixels = p->basis.side * p->basis.side;
    TRY(map_floats(p, mean_path, 1, pixels, &p->basis.mean, err));
    TRY(map_floats(p, components_path, p->basis.kept, pixels, &p->basis.components, err));
    TRY(map_floats(p, lengths_path, 1, p->basis.rows, &p->basis.lengths, err));
    TRY(container_map(p->container, "/embedding", &data, err));
    p->table.data = (void *)(uintptr_t)data;
    return STATUS_OK;
}

Status token_pictures_open(TokenPictures **out, const char *path, Err *err)
{
    *out = NULL;
    TokenPictures *p = xcalloc(1, sizeof *p);
    Status status = container_open(&p->container, path, err);
    bool has = status == STATUS_OK && container_find(p->container, mean_path) &&
               container_find(p->container, "/embedding");
    if (has)
        status = open_parts(p, err);
    if (has && status == STATUS_OK)
        *out = p;
    else
        token_pictures_close(p);
    return status;
}

void token_pictures_close(TokenPictures *pictures)
{
    if (!pictures)
        return;
    container_close(pictures->container);
    free(pictures);
}

int64_t token_pictures_side(const TokenPictures *pictures)
{
    return pictures->basis.side;
}

int64_t token_pictures_rows(const TokenPictures *pictures)
{
    return pictures->basis.rows;
}

static double row_value(const Tensor *table, int64_t token, int64_t column)
{
    int64_t at = token * table->shape[1] + column;
    return table->dtype == DTYPE_F32 ? (double)((const float *)table->data)[at]
                                     : (double)bf16_to_f32(((const uint16_t *)table->data)[at]);
}

void token_pictures_draw(const TokenPictures *pictures, int64_t token, uint8_t *out)
{
    const PictureBasis *b = &pictures->basis;
    int64_t pixels = b->side * b->side;
    double square = 0;
    double *ink = xmalloc((size_t)pixels * sizeof *ink);
    for (int64_t i = 0; i < pixels; i++)
        ink[i] = (double)b->mean[i];
    for (int64_t k = 0; k < b->kept; k++) {
        double x = row_value(&pictures->table, token, k);
        square += x * x;
    }
    double scale = square > 0 ? (double)b->lengths[token] / sqrt(square) : 0;
    for (int64_t k = 0; k < b->kept; k++) {
        double x = scale * row_value(&pictures->table, token, k);
        for (int64_t i = 0; i < pixels; i++)
            ink[i] += x * (double)b->components[k * pixels + i];
    }
    for (int64_t i = 0; i < pixels; i++)
        out[i] = ink[i] <= 0 ? 0 : ink[i] >= 1 ? 255 : (uint8_t)lrint(255 * ink[i]);
    free(ink);
}
