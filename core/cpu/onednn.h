/* What differs between oneDNN 2 (Debian 12) and oneDNN 3 (Debian 13, Ubuntu 24.04): version 3 hides
 * a memory description behind a pointer that must be destroyed, and describes a product in one
 * call. Everything else of its C interface is called as it is. Thread-safe as oneDNN is. */
#ifndef CAMBIUM_CORE_CPU_ONEDNN_H
#define CAMBIUM_CORE_CPU_ONEDNN_H

#include <dnnl.h>

/* A matrix of `dims` elements that lie `strides` elements apart. End it with onednn_forget. */
dnnl_status_t onednn_describe(dnnl_memory_desc_t *out, const dnnl_dims_t dims,
                              dnnl_data_type_t type, const dnnl_dims_t strides);
void onednn_forget(dnnl_memory_desc_t *desc);

size_t onednn_bytes(const dnnl_memory_desc_t *desc);

/* A memory object without memory: its handle is set before each use. */
dnnl_status_t onednn_memory(dnnl_memory_t *out, const dnnl_memory_desc_t *desc,
                            dnnl_engine_t engine);

/* dst = src weights (+ bias, unless NULL). */
dnnl_status_t onednn_matmul(dnnl_primitive_desc_t *out, dnnl_engine_t engine,
                            const dnnl_memory_desc_t *src, const dnnl_memory_desc_t *weights,
                            const dnnl_memory_desc_t *bias, const dnnl_memory_desc_t *dst,
                            dnnl_primitive_attr_t attr);

/* The scratch memory that a primitive wants, as a description of its own. */
dnnl_status_t onednn_scratch(dnnl_memory_desc_t *out, dnnl_primitive_desc_t primitive);

/* The result is added to what dst holds. */
dnnl_status_t onednn_append_sum(dnnl_post_ops_t post);

#endif
