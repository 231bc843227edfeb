#include "infer/serve/parked.h"

#include <stdlib.h>

#include "core/base/mem.h"

typedef struct Place {
    int64_t sequence;
    IdList ids;
    uint64_t used; /* the larger, the later */
} Place;

struct Parked {
    Decoder *decoder;
    Place *places; /* (capacity) */
    int64_t count, capacity;
    uint64_t clock;
};

Parked *parked_new(Decoder *decoder, int64_t capacity)
{
    Parked *parked = xcalloc(1, sizeof *parked);
    parked->decoder = decoder;
    parked->capacity = capacity;
    parked->places = xcalloc((size_t)capacity + 1, sizeof *parked->places);
    return parked;
}

void parked_free(Parked *parked)
{
    if (!parked)
        return;
    while (parked_evict(parked))
        ;
    free(parked->places);
    free(parked);
}

bool parked_evict(Parked *parked)
{
    if (parked->count == 0)
        return false;
    int64_t oldest = 0;
    for (int64_t i = 1; i < parked->count; i++)
        if (parked->places[i].used < parked->places[oldest].used)
            oldest = i;
    Place *place = &parked->places[oldest];
    decoder_close(parked->decoder, place->sequence);
    id_list_clear(&place->ids);
    *place = parked->places[--parked->count];
    return true;
}

void parked_add(Parked *parked, int64_t sequence, const IdList *ids)
{
    if (parked->count == parked->capacity)
        parked_evict(parked);
    Place *place = &parked->places[parked->count++];
    *place = (Place){.sequence = sequence, .used = ++parked->clock};
    int64_t length = decoder_length(parked->decoder, sequence);
    for (int64_t i = 0; i < length; i++)
        id_list_add(&place->ids, ids->items[i]);
    if (parked->capacity == 0) /* nothing is kept */
        parked_evict(parked);
}

int64_t common_prefix(const int32_t *a, int64_t n_a, const int32_t *b, int64_t n_b)
{
    int64_t n = n_a < n_b ? n_a : n_b, i = 0;
    while (i < n && a[i] == b[i])
        i++;
    return i;
}

int64_t parked_find(Parked *parked, const IdList *ids, int64_t *length)
{
    Place *best = NULL;
    for (int64_t i = 0; i < parked->count; i++) {
        Place *place = &parked->places[i];
        int64_t common = common_prefix(place->ids.items, place->ids.count, ids->items, ids->count);
        if (common > *length) {
            *length = common;
            best = place;
        }
    }
    if (!best)
        return -1;
    best->used = ++parked->clock;
    return best->sequence;
}
