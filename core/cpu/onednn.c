#include "core/cpu/onednn.h"

#include <stddef.h>

#if DNNL_VERSION_MAJOR >= 3

dnnl_status_t onednn_describe(dnnl_memory_desc_t *out, const dnnl_dims_t dims,
                              dnnl_data_type_t type, const dnnl_dims_t strides)
{
    return dnnl_memory_desc_create_with_strides(out, 2, dims, type, strides);
}

void onednn_forget(dnnl_memory_desc_t *desc)
{
    dnnl_memory_desc_destroy(*desc);
}

size_t onednn_bytes(const dnnl_memory_desc_t *desc)
{
    return dnnl_memory_desc_get_size(*desc);
}

dnnl_status_t onednn_memory(dnnl_memory_t *out, const dnnl_memory_desc_t *desc,
                            dnnl_engine_t engine)
{
    return dnnl_memory_create(out, *desc, engine, DNNL_MEMORY_NONE);
}

dnnl_status_t onednn_matmul(dnnl_primitive_desc_t *out, dnnl_engine_t engine,
                            const dnnl_memory_desc_t *src, const dnnl_memory_desc_t *weights,
                            const dnnl_memory_desc_t *bias, const dnnl_memory_desc_t *dst,
                            dnnl_primitive_attr_t attr)
{
    return dnnl_matmul_primitive_desc_create(out, engine, *src, *weights, bias ? *bias : NULL, *dst,
                                             attr);
}

dnnl_status_t onednn_scratch(dnnl_memory_desc_t *out, dnnl_primitive_desc_t primitive)
{
    return dnnl_memory_desc_clone(
        out, dnnl_primitive_desc_query_md(primitive, dnnl_query_scratchpad_md, 0));
}

dnnl_status_t onednn_append_sum(dnnl_post_ops_t post)
{
    return dnnl_post_ops_append_sum(post, 1.0f, 0, dnnl_data_type_undef);
}

#else

dnnl_status_t onednn_describe(dnnl_memory_desc_t *out, const dnnl_dims_t dims,
                              dnnl_data_type_t type, const dnnl_dims_t strides)
{
    return dnnl_memory_desc_init_by_strides(out, 2, dims, type, strides);
}

void onednn_forget(dnnl_memory_desc_t *desc)
{
    (void)desc; /* a plain structure */
}

size_t onednn_bytes(const dnnl_memory_desc_t *desc)
{
    return dnnl_memory_desc_get_size(desc);
}

dnnl_status_t onednn_memory(dnnl_memory_t *out, const dnnl_memory_desc_t *desc,
                            dnnl_engine_t engine)
{
    return dnnl_memory_create(out, desc, engine, DNNL_MEMORY_NONE);
}

dnnl_status_t onednn_matmul(dnnl_primitive_desc_t *out, dnnl_engine_t engine,
                            const dnnl_memory_desc_t *src, const dnnl_memory_desc_t *weights,
                            const dnnl_memory_desc_t *bias, const dnnl_memory_desc_t *dst,
                            dnnl_primitive_attr_t attr)
{
    dnnl_matmul_desc_t desc;
    dnnl_status_t status = dnnl_matmul_desc_init(&desc, src, weights, bias, dst);
    return status == dnnl_success ? dnnl_primitive_desc_create(out, &desc, attr, engine, NULL)
                                  : status;
}

dnnl_status_t onednn_scratch(dnnl_memory_desc_t *out, dnnl_primitive_desc_t primitive)
{
    *out = *dnnl_primitive_desc_query_md(primitive, dnnl_query_scratchpad_md, 0);
    return dnnl_success;
}

dnnl_status_t onednn_append_sum(dnnl_post_ops_t post)
{
    return dnnl_post_ops_append_sum(post, 1.0f);
}

#endif
