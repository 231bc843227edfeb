#include "core/cpu/page_check.h"

#include "core/cpu/cpu.h"

void slots_check(const KvWriteArgs *args)
{
    const Tensor *k = &args->k;
    const int32_t *slots = cpu_ptr(&args->slots);
    int64_t n_slots = args->kv.k_pages.shape[0] * args->kv.k_pages.shape[2];
    for (int64_t n = 0; n < k->shape[0]; n++)
        CHECK(slots[n] < n_slots, "slot %d of %lld", slots[n], (long long)n_slots);
}

void pages_check(const AttnDecodeArgs *args)
{
    const Tensor *q = &args->q, *pages = &args->kv.k_pages, *table = &args->kv.page_table;
    const int32_t *rows = cpu_ptr(&args->rows), *limits = cpu_ptr(&args->limits);
    const int32_t *entries = cpu_ptr(table);
    int64_t capacity = table->shape[1] * pages->shape[2];
    for (int64_t n = 0; n < q->shape[0]; n++) {
        CHECK(rows[n] >= 0 && rows[n] < table->shape[0], "row %d of %lld", rows[n],
              (long long)table->shape[0]);
        CHECK(limits[n] >= 0 && limits[n] <= capacity, "limit %d of %lld", limits[n],
              (long long)capacity);
        /* Queries of one sequence follow each other: only pages not yet looked at matter. */
        bool follows = n > 0 && rows[n] == rows[n - 1];
        const int32_t *row = entries + rows[n] * table->shape[1];
        for (int64_t p = follows ? limits[n - 1] / pages->shape[2] : 0;
             p * pages->shape[2] < limits[n]; p++)
            CHECK(row[p] >= 0 && row[p] < pages->shape[0], "page %d of %lld", row[p],
                  (long long)pages->shape[0]);
    }
}
