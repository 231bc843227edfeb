/* Attention over paged keys and values, merging and writing them, against the reference. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/mem.h"
#include "core/cpu/cpu.h"
#include "tests/support/parity.h"

/* R sequences of `longest`, `longest` - 1 ... rows in shuffled pages; each has `queries` queries
 * that see the last rows, as a prompt's do. */
typedef struct Store {
    int64_t H, K, D, page_size, R, longest, queries;
    DType type, pages, out;
    bool uneven; /* the first sequence is much longer, and gives its queries in two pieces */
} Store;

static float scale_of(const Store *s)
{
    return 1.0f / sqrtf((float)s->D);
}

static int64_t length_of(const Store *s, int64_t r)
{
    int64_t shorter = s->uneven ? r * 200 : r;
    return s->longest > shorter ? s->longest - shorter : 0;
}

static int64_t max_pages(const Store *s)
{
    return (s->longest + s->page_size - 1) / s->page_size + 1;
}

/* Tensors: q, out, lse, rows, limits, k_pages, v_pages, page_table, k_scales, v_scales. */
static void call_decode(const Device *device, const Tensor *t, const void *context)
{
    const Store *s = context;
    KvPages kv = {.k_pages = t[5], .v_pages = t[6], .page_table = t[7]};
    if (s->pages == DTYPE_I8) {
        kv.k_scales = t[8];
        kv.v_scales = t[9];
    }
    AttnDecodeArgs args = {t[0], t[1], t[2], t[3], t[4], kv, scale_of(s)};
    device->ops->attn_decode(device->queue, &args);
}

/* Pages out of order and apart; entries that no limit reaches are no page numbers at all. */
static int64_t add_table(Parity *p, const Store *s, int32_t *table)
{
    int64_t n_pages = s->R * max_pages(s) + 3;
    int32_t *order = xmalloc((size_t)n_pages * sizeof *order);
    for (int64_t i = 0; i < n_pages; i++)
        order[i] = (int32_t)i;
    for (int64_t i = n_pages - 1; i > 0; i--) {
        int64_t j = rng_below(&p->rng, i + 1);
        int32_t kept = order[i];
        order[i] = order[j];
        order[j] = kept;
    }
    for (int64_t r = 0; r < s->R; r++)
        for (int64_t i = 0; i < max_pages(s); i++)
            table[r * max_pages(s) + i] =
                i * s->page_size < length_of(s, r) ? order[r * max_pages(s) + i] : -12345;
    free(order);
    return n_pages;
}

/* Rows that nobody sees hold NaN: in the data, or in the scales of int8 pages. */
static void poison(Parity *p, const Store *s, const int32_t *table, int64_t n_pages)
{
    bool *used = xcalloc((size_t)(n_pages * s->page_size), sizeof *used);
    for (int64_t r = 0; r < s->R; r++)
        for (int64_t j = 0; j < length_of(s, r); j++)
            used[table[r * max_pages(s) + j / s->page_size] * s->page_size + j % s->page_size] =
                true;
    for (int64_t row = 0; row < n_pages * s->page_size; row++)
        for (int64_t head = 0; !used[row] && head < s->K; head++) {
            int64_t at = (row / s->page_size * s->K + head) * s->page_size + row % s->page_size;
            for (int side = 0; side < 2; side++)
                if (s->pages == DTYPE_I8)
                    ((float *)p->items[8 + side].host)[at] = NAN;
                else
                    for (int64_t d = 0; d < s->D; d++)
                        element_put(p->items[5 + side].host, s->pages, at * s->D + d, NAN);
        }
    free(used);
}

static void try_decode(Store s)
{
    Parity p;
    parity_begin(&p, "attn_decode H %d K %d D %d page %d R %d rows %d queries %d %s in %s",
                 (int)s.H, (int)s.K, (int)s.D, (int)s.page_size, (int)s.R, (int)s.longest,
                 (int)s.queries, dtype_name(s.type), dtype_name(s.pages));
    int64_t N = s.R * s.queries;
    int32_t *rows = xmalloc((size_t)N * sizeof *rows), *limits = xmalloc((size_t)N * sizeof *rows);
    int32_t *table = xmalloc((size_t)(s.R * max_pages(&s)) * sizeof *table);
    for (int64_t n = 0; n < N; n++) {
        int64_t query = s.uneven ? (n + s.queries / 2) % N : n;
        int64_t limit = length_of(&s, query / s.queries) - s.queries + 1 + query % s.queries;
        rows[n] = (int32_t)(query / s.queries);
        limits[n] = (int32_t)(limit > 0 ? limit : 0);
    }
    int64_t n_pages = add_table(&p, &s, table);
    Tensor pages = tensor_4d(NULL, s.pages, n_pages, s.K, s.page_size, s.D);
    parity_normal(&p, tensor_3d(NULL, s.type, N, s.H, s.D), 0.0, 2.0);
    parity_output(&p, tensor_3d(NULL, s.out, N, s.H, s.D));
    parity_output(&p, tensor_2d(NULL, DTYPE_F32, N, s.H));
    parity_values(&p, tensor_1d(NULL, DTYPE_I32, N), rows);
    parity_values(&p, tensor_1d(NULL, DTYPE_I32, N), limits);
    for (int side = 0; side < 2; side++)
        if (s.pages == DTYPE_I8)
            parity_integers(&p, pages, -127, 128);
        else
            parity_normal(&p, pages, 0.1, 1.0);
    parity_values(&p, tensor_2d(NULL, DTYPE_I32, s.R, max_pages(&s)), table);
    for (int side = 0; side < 2 && s.pages == DTYPE_I8; side++)
        parity_normal(&p, tensor_3d(NULL, DTYPE_F32, n_pages, s.K, s.page_size), 0.015, 0.002);
    poison(&p, &s, table, n_pages);
    parity_check(&p, "attn_decode", s.type, call_decode, &s);
    parity_end(&p);
    free(rows);
    free(limits);
    free(table);
}

static void decode_agrees(void **state)
{
    (void)state;
    const Store stores[] = {
        /* H, K, D, page_size, R, longest, queries */
        {1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0},       {3, 1, 17, 3, 3, 17, 1, 0, 0, 0, 0},
        {4, 4, 64, 16, 3, 65, 1, 0, 0, 0, 0},    {8, 2, 64, 16, 2, 1500, 1, 0, 0, 0, 0},
        {8, 1, 128, 5, 2, 63, 1, 0, 0, 0, 0},    {6, 3, 32, 16, 2, 2100, 3, 0, 0, 0, 0},
        {4, 2, 16, 7, 3, 130, 65, 0, 0, 0, 0},   {9, 3, 80, 16, 2, 300, 17, 0, 0, 0, 0},
        {16, 1, 64, 16, 1, 1300, 1, 0, 0, 0, 0}, {2, 1, 48, 4, 4, 3, 2, 0, 0, 0, 0},
        {2, 1, 200, 16, 1, 90, 1, 0, 0, 0, 0},   {2, 1, 304, 16, 1, 70, 1, 0, 0, 0, 0},
    };
    const DType types[][3] = {
        {DTYPE_F32, DTYPE_F32, DTYPE_F32},   {DTYPE_BF16, DTYPE_BF16, DTYPE_BF16},
        {DTYPE_BF16, DTYPE_BF16, DTYPE_F32}, {DTYPE_BF16, DTYPE_I8, DTYPE_F32},
        {DTYPE_F32, DTYPE_I8, DTYPE_F32},    {DTYPE_F32, DTYPE_BF16, DTYPE_F32},
        {DTYPE_BF16, DTYPE_F32, DTYPE_BF16}};
    for (size_t i = 0; i < sizeof stores / sizeof *stores; i++)
        for (size_t j = 0; j < sizeof types / sizeof *types; j++) {
            Store store = stores[i];
            store.type = types[j][0];
            store.pages = types[j][1];
            store.out = types[j][2];
            try_decode(store);
        }
}

/* A prompt's rows: 130 of two sequences of different lengths, so that a block of rows meets both,
 * in an order that comes back to the first. */
static void prefill_agrees(void **state)
{
    (void)state;
    const DType types[][3] = {{DTYPE_F32, DTYPE_F32, DTYPE_F32},
                              {DTYPE_BF16, DTYPE_BF16, DTYPE_BF16},
                              {DTYPE_BF16, DTYPE_I8, DTYPE_F32}};
    const int64_t heads[][3] = {{4, 2, 64}, {1, 1, 136}, {40, 2, 16}, {5, 1, 128}}; /* H, K, D */
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
        for (size_t j = 0; j < sizeof types / sizeof *types; j++)
            try_decode((Store){.H = heads[i][0],
                               .K = heads[i][1],
                               .D = heads[i][2],
                               .page_size = 16,
                               .R = 2,
                               .longest = 333,
                               .queries = 65,
                               .uneven = true,
                               .type = types[j][0],
                               .pages = types[j][1],
                               .out = types[j][2]});
}

/* Heads for which a GPU with little shared memory takes smaller tiles, and those that fill what it
 * has: by one row, and by two rows of more heads than one warp takes. */
static void decode_of_wide_heads_agrees(void **state)
{
    (void)state;
    const DType types[][2] = {{DTYPE_F32, DTYPE_F32},
                              {DTYPE_F32, DTYPE_BF16},
                              {DTYPE_F32, DTYPE_I8},
                              {DTYPE_BF16, DTYPE_BF16},
                              {DTYPE_BF16, DTYPE_I8}};
    const int64_t widths[] = {128, 256, 512};
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 5; j++) {
            Store store = {.H = 2,
                           .K = 1,
                           .D = widths[i],
                           .page_size = 16,
                           .R = 1,
                           .longest = 150,
                           .queries = 1,
                           .type = types[j][0],
                           .pages = types[j][1],
                           .out = types[j][0]};
            try_decode(store);
            store.H = 17;
            store.queries = 2;
            try_decode(store);
        }
}

/* A sequence gives the same bits alone and among others. */
static void decode_of_one_is_decode_of_many(void **state)
{
    (void)state;
    enum { R = 3, H = 4, K = 2, D = 64, PAGE = 16, PAGES = 40, ROWS = PAGE * PAGES };
    Err err;
    Device device;
    assert_int_equal(device_open(&device, "cpu", &err), STATUS_OK);
    Tensor q = tensor_3d(NULL, DTYPE_BF16, R, H, D), out = q;
    Tensor pages = tensor_4d(NULL, DTYPE_BF16, PAGES, K, PAGE, D);
    Tensor rows = tensor_1d(NULL, DTYPE_I32, R), limits = rows;
    Tensor table = tensor_2d(NULL, DTYPE_I32, R, PAGES);
    Tensor *all[] = {&q, &out, &pages, &rows, &limits, &table};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        assert_int_equal(device_tensor(&device, all[i], "a test tensor", &err), STATUS_OK);
    Rng rng;
    rng_init(&rng, 7, 0);
    static uint16_t q_host[R * H * D], page_host[PAGES * K * PAGE * D];
    static int32_t table_host[R * PAGES];
    for (int i = 0; i < R * H * D; i++)
        q_host[i] = f32_to_bf16((float)rng_normal(&rng));
    for (int i = 0; i < PAGES * K * PAGE * D; i++)
        page_host[i] = f32_to_bf16((float)rng_normal(&rng));
    for (int i = 0; i < R * PAGES; i++)
        table_host[i] = (i % PAGES * 7 + i / PAGES) % PAGES;
    int32_t row_host[R] = {0, 1, 2}, limit_host[R] = {ROWS, 77, 300};
    assert_int_equal(device_upload(&device, &q, q_host, &err), STATUS_OK);
    assert_int_equal(device_upload(&device, &pages, page_host, &err), STATUS_OK);
    assert_int_equal(device_upload(&device, &rows, row_host, &err), STATUS_OK);
    assert_int_equal(device_upload(&device, &limits, limit_host, &err), STATUS_OK);
    assert_int_equal(device_upload(&device, &table, table_host, &err), STATUS_OK);
    AttnDecodeArgs args = {.q = q,
                           .out = out,
                           .rows = rows,
                           .limits = limits,
                           .kv = {.k_pages = pages, .v_pages = pages, .page_table = table},
                           .scale = 0.125f};
    uint16_t together[R * H * D], alone[H * D];
    device.ops->attn_decode(device.queue, &args);
    assert_int_equal(device_download(&device, &out, together, &err), STATUS_OK);
    for (int n = 0; n < R; n++) {
        args.q = tensor_slice(&q, n, 1);
        args.out = tensor_slice(&out, n, 1);
        args.rows = tensor_slice(&rows, n, 1);
        args.limits = tensor_slice(&limits, n, 1);
        device.ops->attn_decode(device.queue, &args);
        assert_int_equal(device_download(&device, &args.out, alone, &err), STATUS_OK);
        assert_memory_equal(alone, together + n * H * D, sizeof alone);
    }
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        device.ops->free(all[i]->data);
    device_close(&device);
}

static void call_merge(const Device *device, const Tensor *t, const void *context)
{
    (void)context;
    AttnMergeArgs args = {t[0], t[1], t[2], t[3]};
    device->ops->attn_merge(device->queue, &args);
}

/* Every third part is empty and full of NaN; the first row has no part at all. */
static void merge_agrees(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++)
        for (int j = 0; j < 3; j++) {
            DType type = j ? DTYPE_BF16 : DTYPE_F32;
            int64_t S = parity_sizes[i] % 20 + 1, N = 1 + i, H = 3, D = parity_sizes[4 - i];
            Parity p;
            parity_begin(&p, "attn_merge S %d N %d D %d", (int)S, (int)N, (int)D);
            parity_normal(&p, tensor_4d(NULL, type, S, N, H, D), 0.1, 1.0);
            parity_normal(&p, tensor_3d(NULL, DTYPE_F32, S, N, H), 3.0, 4.0);
            parity_output(&p, tensor_3d(NULL, j == 1 ? DTYPE_BF16 : DTYPE_F32, N, H, D));
            parity_output(&p, tensor_2d(NULL, DTYPE_F32, N, H));
            float *lse = p.items[1].host;
            for (int64_t row = 0; row < S * N * H; row++)
                if (row % (N * H) == 0 || row % 3 == 1) {
                    lse[row] = -INFINITY;
                    for (int64_t d = 0; d < D; d++)
                        element_put(p.items[0].host, type, row * D + d, NAN);
                }
            parity_check(&p, "attn_merge", type, call_merge, NULL);
            parity_end(&p);
        }
}

/* Uneven chunks, an empty one among them; rows come back in the packed order. */
static const int32_t pack_cuts[] = {0, 2, 2, 3, 7};

/* Tensors: values, lse, packed, values again, lse again. */
static void call_pack(const Device *device, const Tensor *t, const void *context)
{
    (void)context;
    AttnPackArgs pack = {
        .values = t[0], .lse = t[1], .packed = t[2], .cuts = pack_cuts, .n_chunks = 4};
    device->ops->attn_pack(device->queue, &pack);
    device->ops->attn_unpack(device->queue,
                             &(AttnUnpackArgs){.packed = t[2], .values = t[3], .lse = t[4]});
}

static void pack_agrees(void **state)
{
    (void)state;
    for (int i = 0; i < 6; i++) {
        DType type = i % 2 ? DTYPE_BF16 : DTYPE_F32;
        int64_t N = parity_sizes[i / 2], H = 7, D = i < 3 ? 64 : 6;
        int64_t pad = type == DTYPE_F32 ? 1 : 2;
        Parity p;
        parity_begin(&p, "attn_pack N %d D %d", (int)N, (int)D);
        parity_normal(&p, tensor_3d(NULL, type, N, H, D), 0.1, 1.0);
        parity_normal(&p, tensor_2d(NULL, DTYPE_F32, N, H), 3.0, 4.0);
        parity_output(&p, tensor_2d(NULL, type, N * H, D + pad));
        parity_output(&p, tensor_2d(NULL, type, N * H, D));
        parity_output(&p, tensor_1d(NULL, DTYPE_F32, N * H));
        parity_check(&p, "attn_pack", type, call_pack, NULL);
        parity_end(&p);
    }
}

/* Chunk after chunk, row after row: where each head's number must have gone. */
static void packed_rows_lie_by_chunk(void **state)
{
    (void)state;
    enum { N = 3, H = 7, D = 2 };
    Device device;
    Err err;
    assert_int_equal(device_open(&device, "cpu", &err), STATUS_OK);
    float values[N * H * D], lse[N * H], packed[N * H * (D + 1)];
    for (int i = 0; i < N * H; i++) {
        values[i * D] = (float)i;
        values[i * D + 1] = (float)i + 0.5f;
        lse[i] = (float)-i;
    }
    Tensor v = tensor_3d(NULL, DTYPE_F32, N, H, D), l = tensor_2d(NULL, DTYPE_F32, N, H);
    Tensor out = tensor_2d(NULL, DTYPE_F32, N * H, D + 1);
    assert_int_equal(device_tensor(&device, &v, "values", &err), STATUS_OK);
    assert_int_equal(device_tensor(&device, &l, "lse", &err), STATUS_OK);
    assert_int_equal(device_tensor(&device, &out, "packed", &err), STATUS_OK);
    assert_int_equal(device_upload(&device, &v, values, &err), STATUS_OK);
    assert_int_equal(device_upload(&device, &l, lse, &err), STATUS_OK);
    AttnPackArgs args = {.values = v, .lse = l, .packed = out, .cuts = pack_cuts, .n_chunks = 4};
    device.ops->attn_pack(device.queue, &args);
    assert_int_equal(device_download(&device, &out, packed, &err), STATUS_OK);
    int at = 0;
    for (int c = 0; c < 4; c++)
        for (int n = 0; n < N; n++)
            for (int h = pack_cuts[c]; h < pack_cuts[c + 1]; h++, at++) {
                assert_true(packed[at * 3] == (float)(n * H + h));
                assert_true(packed[at * 3 + 2] == (float)-(n * H + h));
            }
    Tensor *all[] = {&v, &l, &out};
    for (int i = 0; i < 3; i++)
        device.ops->free(all[i]->data);
    device_close(&device);
}

/* Tensors: k, v, slots, k_pages, v_pages, k_scales, v_scales. */
static void call_write(const Device *device, const Tensor *t, const void *context)
{
    (void)context;
    KvPages kv = {.k_pages = t[3], .v_pages = t[4]};
    if (t[3].dtype == DTYPE_I8) {
        kv.k_scales = t[5];
        kv.v_scales = t[6];
    }
    KvWriteArgs args = {t[0], t[1], t[2], kv};
    device->ops->kv_write(device->queue, &args);
}

static void write_agrees(void **state)
{
    (void)state;
    const DType types[] = {DTYPE_F32, DTYPE_BF16, DTYPE_I8};
    for (int i = 0; i < 5; i++)
        for (int j = 0; j < 6; j++) {
            DType type = j % 2 ? DTYPE_BF16 : DTYPE_F32, pages = types[j / 2];
            int64_t N = parity_sizes[i], K = 3, page_size = 7;
            int64_t D = i == 1 ? 64 : parity_sizes[(i + j) % 5];
            int32_t slots[65];
            for (int64_t n = 0; n < N; n++)
                slots[n] = n % 5 == 3 ? -1 : (int32_t)((n * 29) % (10 * page_size));
            Parity p;
            parity_begin(&p, "kv_write N %d D %d %s to %s", (int)N, (int)D, dtype_name(type),
                         dtype_name(pages));
            parity_normal(&p, tensor_3d(NULL, type, N, K, D), 0.0, 3.0);
            parity_normal(&p, tensor_3d(NULL, type, N, K, D), 0.0, 1e-3);
            parity_values(&p, tensor_1d(NULL, DTYPE_I32, N), slots);
            for (int side = 0; side < 2; side++)
                parity_integers(&p, tensor_4d(NULL, pages, 10, K, page_size, D), -9, 9);
            for (int side = 0; side < 2; side++)
                parity_integers(&p, tensor_3d(NULL, DTYPE_F32, 10, K, page_size), -9, 9);
            memset(p.items[0].host, 0, (size_t)D * dtype_bytes(type)); /* a row of zeros */
            parity_check(&p, "kv_write", type, call_write, NULL);
            parity_end(&p);
        }
}

int main(void)
{
    backend_cpu_register();
    cmocka_set_test_filter(getenv("TEST_FILTER"));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decode_agrees),
        cmocka_unit_test(prefill_agrees),
        cmocka_unit_test(decode_of_wide_heads_agrees),
        cmocka_unit_test(decode_of_one_is_decode_of_many),
        cmocka_unit_test(merge_agrees),
        cmocka_unit_test(pack_agrees),
        cmocka_unit_test(packed_rows_lie_by_chunk),
        cmocka_unit_test(write_agrees),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
