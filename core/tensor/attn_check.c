#include "core/tensor/attn_check.h"

static void check_shape(const Tensor *t, const char *name, DType dtype, int n_dims,
                        const int64_t *shape)
{
    CHECK(tensor_present(t), "%s is absent", name);
    CHECK(t->dtype == dtype, "%s is %s, not %s", name, dtype_name(t->dtype), dtype_name(dtype));
    CHECK(t->n_dims == n_dims, "%s has %d dimensions, not %d", name, t->n_dims, n_dims);
    for (int i = 0; i < n_dims; i++)
        CHECK(t->shape[i] == shape[i], "%s: dimension %d is %lld, not %lld", name, i,
              (long long)t->shape[i], (long long)shape[i]);
}

AttnShape attn_check(const AttnArgs *args)
{
    const Tensor *q = &args->q;
    CHECK(q->n_dims == 4 && args->k.n_dims == 4, "q and k need 4 dimensions");
    AttnShape s = {q->shape[0], q->shape[1], q->shape[2], args->k.shape[2], q->shape[3]};
    CHECK(is_compute_type(q->dtype), "q is %s", dtype_name(q->dtype));
    CHECK(s.K > 0 && s.H % s.K == 0, "%lld query heads on %lld KV heads", (long long)s.H,
          (long long)s.K);
    int64_t kv[4] = {s.B, s.T, s.K, s.D}, stats[3] = {s.B, s.H, s.T};
    check_shape(&args->k, "k", q->dtype, 4, kv);
    check_shape(&args->v, "v", q->dtype, 4, kv);
    check_shape(&args->out, "out", q->dtype, 4, q->shape);
    if (tensor_present(&args->lse))
        check_shape(&args->lse, "lse", DTYPE_F32, 3, stats);
    return s;
}

AttnShape attn_backward_check(const AttnBackwardArgs *args)
{
    AttnArgs forward = {args->q, args->k, args->v, args->out, args->lse, args->scale};
    AttnShape s = attn_check(&forward);
    DType type = args->q.dtype;
    int64_t stats[3] = {s.B, s.H, s.T};
    check_shape(&args->lse, "lse", DTYPE_F32, 3, stats);
    check_shape(&args->scratch, "scratch", DTYPE_F32, 3, stats);
    check_shape(&args->dout, "dout", type, 4, args->q.shape);
    check_shape(&args->dq, "dq", type, 4, args->q.shape);
    check_shape(&args->dk, "dk", type, 4, args->k.shape);
    check_shape(&args->dv, "dv", type, 4, args->k.shape);
    return s;
}

/* Pages and, for int8, their scales. */
static void check_pages(const KvPages *kv, int64_t K, int64_t D)
{
    const Tensor *pages = &kv->k_pages;
    CHECK(pages->n_dims == 4 && pages->shape[1] == K && pages->shape[3] == D,
          "pages do not hold %lld heads of %lld", (long long)K, (long long)D);
    CHECK(is_compute_type(pages->dtype) || pages->dtype == DTYPE_I8, "pages are %s",
          dtype_name(pages->dtype));
    check_shape(&kv->v_pages, "v_pages", pages->dtype, 4, pages->shape);
    if (pages->dtype == DTYPE_I8) {
        check_shape(&kv->k_scales, "k_scales", DTYPE_F32, 3, pages->shape);
        check_shape(&kv->v_scales, "v_scales", DTYPE_F32, 3, pages->shape);
    }
}

void kv_write_check(const KvWriteArgs *args)
{
    const Tensor *k = &args->k;
    CHECK(k->n_dims == 3 && is_compute_type(k->dtype), "k must be (N, K, D) of a compute type");
    check_shape(&args->v, "v", k->dtype, 3, k->shape);
    check_shape(&args->slots, "slots", DTYPE_I32, 1, k->shape);
    check_pages(&args->kv, k->shape[1], k->shape[2]);
}

void attn_decode_check(const AttnDecodeArgs *args)
{
    const Tensor *q = &args->q, *pages = &args->kv.k_pages, *table = &args->kv.page_table;
    CHECK(q->n_dims == 3 && is_compute_type(q->dtype), "q must be (N, H, D) of a compute type");
    CHECK(pages->n_dims == 4 && pages->shape[1] > 0 && q->shape[1] % pages->shape[1] == 0,
          "query heads do not divide over the KV heads");
    check_pages(&args->kv, pages->shape[1], q->shape[2]);
    CHECK(args->out.dtype == q->dtype || args->out.dtype == DTYPE_F32, "out is %s",
          dtype_name(args->out.dtype));
    check_shape(&args->out, "out", args->out.dtype, 3, q->shape);
    if (tensor_present(&args->lse))
        check_shape(&args->lse, "lse", DTYPE_F32, 2, q->shape);
    check_shape(&args->rows, "rows", DTYPE_I32, 1, q->shape);
    check_shape(&args->limits, "limits", DTYPE_I32, 1, q->shape);
    CHECK(table->dtype == DTYPE_I32 && table->n_dims == 2, "page_table must be (R, max_pages)");
}

void attn_merge_check(const AttnMergeArgs *args)
{
    const Tensor *parts = &args->parts;
    CHECK(parts->n_dims == 4 && is_compute_type(parts->dtype),
          "parts must be (S, N, H, D) of a compute type");
    check_shape(&args->part_lse, "part_lse", DTYPE_F32, 3, parts->shape);
    CHECK(is_compute_type(args->out.dtype), "out is %s", dtype_name(args->out.dtype));
    check_shape(&args->out, "out", args->out.dtype, 3, parts->shape + 1);
    if (tensor_present(&args->lse))
        check_shape(&args->lse, "lse", DTYPE_F32, 2, parts->shape + 1);
}

int64_t attn_pack_pad(DType type)
{
    return (int64_t)(sizeof(float) / dtype_bytes(type));
}

static void check_packed(const Tensor *packed, const Tensor *values, const Tensor *lse)
{
    DType type = packed->dtype;
    CHECK(is_compute_type(type) && packed->n_dims == 2, "packed must be (rows, D + pad)");
    int64_t D = packed->shape[1] - attn_pack_pad(type);
    CHECK(D > 0 && D % 2 == 0, "a packed head of %lld elements", (long long)D);
    CHECK(values->dtype == type && tensor_count(values) == packed->shape[0] * D,
          "values do not hold the packed rows");
    CHECK(lse->dtype == DTYPE_F32 && tensor_count(lse) == packed->shape[0],
          "lse does not hold one number for each packed row");
}

void attn_pack_check(const AttnPackArgs *args)
{
    const Tensor *values = &args->values;
    check_packed(&args->packed, values, &args->lse);
    CHECK(values->n_dims == 3, "values must be (N, H, D)");
    CHECK(args->n_chunks > 0 && args->n_chunks <= ATTN_PACK_CHUNKS, "%d chunks", args->n_chunks);
    CHECK(args->cuts[0] == 0 && args->cuts[args->n_chunks] == values->shape[1],
          "chunks must cover all heads");
    for (int c = 0; c < args->n_chunks; c++)
        CHECK(args->cuts[c] <= args->cuts[c + 1], "cuts must rise");
}

void attn_unpack_check(const AttnUnpackArgs *args)
{
    check_packed(&args->packed, &args->values, &args->lse);
}

void rope_check(const RopeArgs *args)
{
    const Tensor *x = &args->x;
    CHECK(x->n_dims == 3 && is_compute_type(x->dtype), "x must be (N, heads, D) of a compute type");
    CHECK(x->shape[2] % 2 == 0, "a head of %lld has no pairs", (long long)x->shape[2]);
    int64_t half[1] = {x->shape[2] / 2};
    check_shape(&args->positions, "positions", DTYPE_I32, 1, x->shape);
    check_shape(&args->inv_freq, "inv_freq", DTYPE_F32, 1, half);
}
