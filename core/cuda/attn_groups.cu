#include "core/cuda/attn_groups.h"

/* Bytes at once; few under emulation, so that tests meet several pieces. */
#ifdef CAMBIUM_EMULATE
static const int64_t MOST = 40 << 10;
#else
static const int64_t MOST = (int64_t)1 << 30;
#endif

/* Where query heads share keys, their gradients are kept for each of them before they are summed.
 */
int64_t attn_groups_bytes(const AttnShape *s)
{
    int64_t row = s->T + (s->H > s->K ? 2 * s->D : 0);
    return s->B * s->H * s->T * row * (int64_t)sizeof(bf16);
}

/* The largest divisor of `n` that is at most `most`, and 1 at least. */
static int64_t divisor(int64_t n, int64_t most)
{
    int64_t d = n < most ? n : most;
    while (d > 1 && n % d != 0)
        d--;
    return d < 1 ? 1 : d;
}

AttnGroups attn_groups(const AttnShape *whole)
{
    AttnShape row = *whole;
    row.B = 1;
    AttnGroups g = {*whole, 1, 1, 0};
    int64_t fit = MOST / (attn_groups_bytes(&row) > 0 ? attn_groups_bytes(&row) : 1);
    g.part.B = divisor(whole->B, fit);
    if (fit == 0) {
        g.part.K = divisor(whole->K, MOST / (attn_groups_bytes(&row) / whole->K));
        g.splits = whole->K / g.part.K;
        g.part.H = whole->H / g.splits;
    }
    g.count = whole->B / g.part.B * g.splits;
    g.workspace = (size_t)attn_groups_bytes(&g.part);
    return g;
}

/* `heads` of every position, then D elements of each. */
static void move(Tensor *t, const AttnGroups *g, int64_t row, int64_t split, int64_t heads)
{
    int64_t elements = (row * g->part.T * g->splits + split) * heads * g->part.D;
    t->data = (char *)t->data + elements * (int64_t)dtype_bytes(t->dtype);
}

/* T float32 of every head. */
static void move_statistic(Tensor *t, const AttnGroups *g, int64_t row, int64_t split)
{
    t->data = (float *)t->data + (row * g->splits + split) * g->part.H * g->part.T;
}

AttnBackwardArgs attn_groups_piece(const AttnGroups *g, const AttnBackwardArgs *args, int64_t piece)
{
    AttnBackwardArgs part = *args;
    int64_t row = piece / g->splits * g->part.B, split = piece % g->splits;
    Tensor *const of_queries[] = {&part.q, &part.out, &part.dout, &part.dq};
    Tensor *const of_keys[] = {&part.k, &part.v, &part.dk, &part.dv};
    for (int i = 0; i < 4; i++) {
        move(of_queries[i], g, row, split, g->part.H);
        move(of_keys[i], g, row, split, g->part.K);
    }
    move_statistic(&part.lse, g, row, split);
    move_statistic(&part.scratch, g, row, split);
    return part;
}
